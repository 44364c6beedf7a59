//! `wasi_snapshot_preview1`, by wasmtime-wasi. A process that never calls it pays nothing for it.
//!
//! Functions that open files or name paths are watched here: the limit of open files is kept, and denials are logged. What
//! would take long is cut short in `bounds`.

mod bounds;

use std::sync::Arc;

use lunatic_kernel::budget::{Exhausted, Payer, Receipt, Resource};
use lunatic_kernel::hash::NumberSet;
use lunatic_kernel::stock::{EXHAUSTED, Portion};
use lunatic_kernel::time::Time;
use wasmtime::{AsContextMut as _, Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};
use wasmtime_wasi::{HostMonotonicClock, I32Exit};
use wiggle::GuestMemory;

use crate::guest_memory;
use crate::instance::Ctx;
use crate::report::PanicCapture;
use crate::rights::denial;
use crate::wasm::Process;

const NAMESPACE: &str = "wasi_snapshot_preview1";

/// Codes of WASI preview 1, `errno` in its `typenames.witx`.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const INVAL: i32 = 28;
    pub(super) const FAULT: i32 = 21;
    pub(super) const MFILE: i32 = 33;
    pub(super) const NFILE: i32 = 41;
    pub(super) const NAMETOOLONG: i32 = 37;
    pub(super) const NOMEM: i32 = 48;
    pub(super) const PERM: i32 = 63;
    pub(super) const ROFS: i32 = 69;
    pub(super) const NOTCAPABLE: i32 = 76;
}

/// The WASI side of one process.
struct ProcessWasi {
    context: WasiP1Ctx,
    /// The numbers of files that the process has opened and not closed. What it was given is not among them.
    open: NumberSet<i32>,
    /// A descriptor for each of them.
    descriptors: Portion,
    /// What the process pays for the context and the files.
    paid: Receipt,
}

/// What a file that is open takes up in the host, in bytes, and what a context does without files, folders and texts.
const FILE_SIZE: usize = 1 << 10;
const CONTEXT_SIZE: usize = 4 << 10;

impl ProcessWasi {
    fn new(process: &Process, panic: &PanicCapture) -> Self {
        let system = &process.system;
        let clock = SystemClock(system.time.clone());
        let rights = &process.local.rights;
        Self {
            context: rights.wasi.context(system.is_main(process.id), panic, clock),
            open: NumberSet::default(),
            descriptors: Portion::none(&rights.descriptors, &rights.group),
            paid: Receipt::new(process.purse().to_account(), Resource::Bodies),
        }
    }

    /// Pays for what is there now: less than before, but for the context when that is new.
    fn settle(&mut self, process: &Process) -> Result<(), Exhausted> {
        let files = self.open.len() * FILE_SIZE;
        self.paid
            .settle(CONTEXT_SIZE + process.local.rights.wasi.size() + files)
    }

    /// A file that is not open any more, if it was opened by the process.
    fn forget(&mut self, fd: i32) -> bool {
        let was_open = self.open.remove(&fd);
        if was_open {
            self.descriptors.shrink(1);
        }
        was_open
    }

    /// There may be fewer files than were paid for.
    fn closed(caller: &mut Caller<'_, Ctx>) {
        let process = caller.data().process().clone();
        // What becomes less is never refused.
        let _ = Self::of(caller.data_mut()).settle(&process);
    }

    /// The WASI side of the process, made when it is first needed.
    fn of(ctx: &mut Ctx) -> &mut Self {
        if ctx.find_state::<Self>().is_none() {
            // The panic that the process may be writing to standard error: whoever sees its end asks for it.
            let panic = ctx.state(PanicCapture::default).clone();
            let (kernel, process) = (ctx.kernel.clone(), ctx.process().clone());
            let new = ctx.state(|| Self::new(&process, &panic));
            if let Err(exhausted) = new.settle(&process) {
                kernel.out_of_memory(&process, exhausted);
            }
            return new;
        }
        ctx.state(|| unreachable!("it was there just now"))
    }
}

/// The monotonic clock that guests read: it begins with the system, and is one for all its processes.
struct SystemClock(Time<Arc<Process>>);

impl HostMonotonicClock for SystemClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.since_start().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Prints what was held back of the text of a panic, because the process has caught the panic.
pub fn print_held_panic(ctx: &Ctx) {
    let Some(panic) = ctx.find_state::<PanicCapture>() else {
        return;
    };
    let text = panic.release();
    if !text.is_empty() {
        let text = String::from_utf8_lossy(&text);
        ctx.process().local.rights.wasi.stderr().report(&text);
    }
}

/// The memory of the caller, and its WASI side.
fn parts<'a>(caller: &'a mut Caller<'_, Ctx>) -> wasmtime::Result<(GuestMemory<'a>, &'a mut ProcessWasi)> {
    let memory = crate::guest_memory::memory(caller)?;
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (bytes, ctx) = memory.data_and_store_mut(caller);
    let wasi = ProcessWasi::of(ctx);
    preview1::WasiSnapshotPreview1::set_hostcall_fuel(&mut wasi.context, fuel);
    Ok((GuestMemory::Unshared(bytes), wasi))
}

/// Writes a denial into the log, if `code` is one.
fn note_denial(caller: &mut Caller<'_, Ctx>, code: i32, what: &str, path: i32, len: i32) {
    if !matches!(code, errno::PERM | errno::ROFS | errno::NOTCAPABLE) {
        return;
    }
    if !caller.data().process().system.data.config.log_denials {
        return;
    }
    let Ok((bytes, ctx)) = crate::guest_memory::slice(caller, path as u32, len as u32) else {
        return;
    };
    let path = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned();
    denial::log(ctx.process(), what, &path, "--dir HOST::GUEST");
}

/// Functions whose denials are logged: their parameters, which of them are the path, and which are the lengths of all paths.
macro_rules! paths {
    ($linker:ident: $($name:ident($($argument:ident: $type:ty),*) at $path:ident $len:ident, $($lens:ident)+, $what:literal;)*) => {$(
        $linker.func_wrap_async(
            NAMESPACE,
            stringify!($name),
            |mut caller: Caller<'_, Ctx>, ($($argument,)*): ($($type,)*)| {
                Box::new(async move {
                    if [$($lens),+].into_iter().any(bounds::is_too_long) {
                        return Ok(errno::NAMETOOLONG);
                    }
                    let (mut memory, wasi) = parts(&mut caller)?;
                    let code = preview1::$name(&mut wasi.context, &mut memory, $($argument),*).await?;
                    note_denial(&mut caller, code, $what, $path, $len);
                    wasmtime::Result::Ok(code)
                })
            },
        )?;
    )*};
}

pub(crate) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    add_to_linker_async(linker, |ctx: &mut Ctx| &mut ProcessWasi::of(ctx).context)?;
    linker.allow_shadowing(true);
    // wasmtime-wasi traps on codes above 125; a program may use all that its system has.
    linker.func_wrap(NAMESPACE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(I32Exit(code).into())
    })?;
    add_open_and_close(linker)?;
    paths! { linker:
        path_create_directory(fd: i32, path: i32, len: i32) at path len, len, "may not create";
        path_filestat_get(fd: i32, flags: i32, path: i32, len: i32, out: i32) at path len, len, "may not look at";
        path_filestat_set_times(fd: i32, flags: i32, path: i32, len: i32, access: i64, change: i64, which: i32)
            at path len, len, "may not change";
        path_link(fd: i32, flags: i32, path: i32, len: i32, to: i32, name: i32, name_len: i32)
            at path len, len name_len, "may not link";
        path_readlink(fd: i32, path: i32, len: i32, to: i32, to_len: i32, out: i32) at path len, len, "may not read";
        path_remove_directory(fd: i32, path: i32, len: i32) at path len, len, "may not remove";
        path_rename(fd: i32, path: i32, len: i32, to: i32, name: i32, name_len: i32) at path len, len name_len, "may not rename";
        path_symlink(target: i32, target_len: i32, fd: i32, path: i32, len: i32) at path len, len target_len, "may not create";
        path_unlink_file(fd: i32, path: i32, len: i32) at path len, len, "may not remove";
    }
    add_checked(linker)?;
    bounds::add(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The functions that change how many files are open.
fn add_open_and_close(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        NAMESPACE,
        "path_open",
        |caller, (fd, how, path, len, create, rights, inheriting, flags, out)| {
            Box::new(path_open(
                caller,
                (fd, how, path, len, create, rights, inheriting, flags, out),
            ))
        },
    )?;
    linker.func_wrap_async(NAMESPACE, "fd_close", |caller, (fd,)| Box::new(fd_close(caller, fd)))?;
    linker.func_wrap_async(NAMESPACE, "fd_renumber", |caller, (from, to)| {
        Box::new(fd_renumber(caller, from, to))
    })?;
    Ok(())
}

/// Opens a file, unless the process has as many open as it may, or the host has no descriptor for it.
async fn path_open(
    mut caller: Caller<'_, Ctx>,
    (fd, how, path, len, create, rights, inheriting, flags, out): (i32, i32, i32, i32, i32, i64, i64, i32, i32),
) -> wasmtime::Result<i32> {
    if bounds::is_too_long(len) {
        return Ok(errno::NAMETOOLONG);
    }
    let files_max = caller.data().process().local.rights.files_max;
    // Where the number of the file goes, so that it can be read there.
    let Ok(_) = guest_memory::slice(&mut caller, out.cast_unsigned(), 4) else {
        return Ok(errno::FAULT);
    };
    let (mut memory, wasi) = parts(&mut caller)?;
    if wasi.open.len() >= files_max as usize {
        denial::log(
            caller.data().process(),
            "may not open more files than",
            &files_max.to_string(),
            "--max-files N",
        );
        return Ok(errno::MFILE);
    }
    if wasi.paid.grow(FILE_SIZE).is_err() {
        return Ok(errno::NOMEM);
    }
    if !wasi.descriptors.grow(1) {
        ProcessWasi::closed(&mut caller);
        denial::log(caller.data().process(), "may not open a file", EXHAUSTED, "");
        return Ok(errno::NFILE);
    }
    let opened = preview1::path_open(
        &mut wasi.context,
        &mut memory,
        fd,
        how,
        path,
        len,
        create,
        rights,
        inheriting,
        flags,
        out,
    );
    let code = opened.await?;
    match code {
        errno::SUCCESS => {
            let fd = i32::from_le_bytes(guest_memory::read(&mut caller, out.cast_unsigned())?);
            ProcessWasi::of(caller.data_mut()).open.insert(fd);
        }
        _ => wasi.descriptors.shrink(1),
    }
    ProcessWasi::closed(&mut caller);
    note_denial(&mut caller, code, "may not open", path, len);
    Ok(code)
}

async fn fd_close(mut caller: Caller<'_, Ctx>, fd: i32) -> wasmtime::Result<i32> {
    let (mut memory, wasi) = parts(&mut caller)?;
    let code = preview1::fd_close(&mut wasi.context, &mut memory, fd).await?;
    if code == errno::SUCCESS {
        wasi.forget(fd);
    }
    ProcessWasi::closed(&mut caller);
    Ok(code)
}

async fn fd_renumber(mut caller: Caller<'_, Ctx>, from: i32, to: i32) -> wasmtime::Result<i32> {
    let (mut memory, wasi) = parts(&mut caller)?;
    let code = preview1::fd_renumber(&mut wasi.context, &mut memory, from, to).await?;
    // What was open as `to` is closed.
    if code == errno::SUCCESS && from != to {
        wasi.forget(to);
        if wasi.open.remove(&from) {
            wasi.open.insert(to);
        }
    }
    ProcessWasi::closed(&mut caller);
    Ok(code)
}

/// The functions that take one of a few numbers: wasmtime-wasi traps on others, where a C library expects EINVAL.
fn add_checked(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    const CLOCK_MAX: i32 = 3;
    const ADVICE_MAX: i32 = 5;
    const WHENCE_MAX: i32 = 2;
    linker.func_wrap(
        NAMESPACE,
        "clock_res_get",
        |mut caller: Caller<'_, Ctx>, clock: i32, out: i32| {
            if !(0..=CLOCK_MAX).contains(&clock) {
                return Ok(errno::INVAL);
            }
            let (mut memory, wasi) = parts(&mut caller)?;
            preview1::clock_res_get(&mut wasi.context, &mut memory, clock, out)
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "clock_time_get",
        |mut caller: Caller<'_, Ctx>, clock: i32, precision: i64, out: i32| {
            if !(0..=CLOCK_MAX).contains(&clock) {
                return Ok(errno::INVAL);
            }
            let (mut memory, wasi) = parts(&mut caller)?;
            preview1::clock_time_get(&mut wasi.context, &mut memory, clock, precision, out)
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_advise",
        |mut caller: Caller<'_, Ctx>, (fd, at, len, advice): (i32, i64, i64, i32)| {
            Box::new(async move {
                if !(0..=ADVICE_MAX).contains(&advice) {
                    return Ok(errno::INVAL);
                }
                let (mut memory, wasi) = parts(&mut caller)?;
                preview1::fd_advise(&mut wasi.context, &mut memory, fd, at, len, advice).await
            })
        },
    )?;
    linker.func_wrap_async(
        NAMESPACE,
        "fd_seek",
        |mut caller: Caller<'_, Ctx>, (fd, by, whence, out): (i32, i64, i32, i32)| {
            Box::new(async move {
                if !(0..=WHENCE_MAX).contains(&whence) {
                    return Ok(errno::INVAL);
                }
                let (mut memory, wasi) = parts(&mut caller)?;
                preview1::fd_seek(&mut wasi.context, &mut memory, fd, by, whence, out).await
            })
        },
    )?;
    Ok(())
}
