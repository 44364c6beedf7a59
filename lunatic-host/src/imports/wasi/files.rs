//! Functions on files and folders, except reading, writing and listing.
//!
//! [`blocking`] executes a function if its descriptors are files or folders. Otherwise it fails immediately, or
//! concerns a standard stream, which never blocks. Denials are logged, paths that a process did not get are remembered
//! for the report of its failure, and the limit of open files is enforced.

use lunatic_kernel::budget::Payer as _;
use lunatic_kernel::stock::EXHAUSTED;
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;
use wiggle::GuestMemory;

use super::blocking::{self, Loan};
use super::{FILE_SIZE, NAMESPACE, ProcessWasi, bounds, errno, parts, set_fuel};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::report::files::Refusal;
use crate::rights::denial;

/// If `code` says that a path is denied or not there, remembers that for the report of a failure; logs a denial.
fn note_refusal(caller: &mut Caller<'_, Ctx>, code: i32, what: &'static str, path: i32, len: i32) {
    let denied = match code {
        errno::PERM | errno::ROFS | errno::NOTCAPABLE => Some(what),
        errno::NOENT => None,
        _ => return,
    };
    let Ok((bytes, ctx)) = guest_memory::slice(caller, path.cast_unsigned(), len.cast_unsigned()) else {
        return;
    };
    let refused = Refusal::new(bytes, denied);
    let process = ctx.process();
    if denied.is_some() {
        denial::log(process, what, &refused.path, "--dir HOST::GUEST");
    }
    process.local.remember_refusal(refused, process.purse());
}

/// Functions with their parameters: which of these are descriptors, paths with their lengths, and places for results
/// with theirs; and the text of a denial, which names the first path.
macro_rules! files {
    ($linker:ident: $(
        $name:ident($($argument:ident: $type:ty),*) of $($fd:ident)+
        $(, paths $($path:ident $len:ident)+)? $(, out $($out:ident $size:expr;)+)? $(, denied $what:literal)?;
    )*) => {$(
        $linker.timed_async(
            NAMESPACE,
            stringify!($name),
            |mut caller: Caller<'_, Ctx>, ($($argument,)*): ($($type,)*)| {
                Box::new(async move {
                    $(if [$($len),+].into_iter().any(bounds::is_too_long) {
                        return Ok(errno::NAMETOOLONG);
                    })?
                    if ![$($fd),+].into_iter().all(|fd| ProcessWasi::of(caller.data_mut()).is_file(fd)) {
                        let (mut memory, wasi) = parts(&mut caller)?;
                        return preview1::$name(&mut wasi.context, &mut memory, $($argument),*).await;
                    }
                    #[allow(unused_mut, reason = "some functions have no memory")]
                    let mut loan = Loan::default();
                    $(let told = [$(($path, $len)),+][0];
                    $(let $path = loan.input(&mut caller, $path, $len)?;)+)?
                    $($(let $out = loan.output(&mut caller, $out, $size)?;)+)?
                    let code = blocking::call(&mut caller, loan, async move |context, memory| {
                        preview1::$name(context, memory, $($argument),*).await
                    });
                    let code = code.await?;
                    $(note_refusal(&mut caller, code, $what, told.0, told.1);)?
                    Result::Ok(code)
                })
            },
        )?;
    )*};
}

impl ProcessWasi {
    /// The `filestat` of a file as WASI defines it, or an error code.
    pub(super) fn filestat(&mut self, fd: i32) -> Result<[u8; FILESTAT as usize], i32> {
        let mut loan = Loan::default();
        let out = loan.zeros(FILESTAT as u32);
        let mut memory = loan.memory();
        match blocking::now(preview1::fd_filestat_get(&mut self.context, &mut memory, fd, out)) {
            Ok(errno::SUCCESS) => Ok(loan.read(out, FILESTAT as u32).try_into().expect("it is as long")),
            Ok(code) => Err(code),
            Err(_) => Err(errno::INVAL),
        }
    }
}

/// Sizes of results of WASI, in bytes: `filestat`, `size`, `filesize`.
const FILESTAT: i32 = 64;
const SIZE: i32 = 4;
const FILESIZE: i32 = 8;
/// The longest link.
const LINK_MAX: i32 = 4096;

pub(super) fn add(linker: &mut Linker<Ctx>) -> Result<()> {
    add_open_and_close(linker)?;
    files! { linker:
        fd_datasync(fd: i32) of fd;
        fd_filestat_get(fd: i32, out: i32) of fd, out out FILESTAT;;
        fd_filestat_set_size(fd: i32, size: i64) of fd;
        fd_filestat_set_times(fd: i32, access: i64, change: i64, which: i32) of fd;
        fd_sync(fd: i32) of fd;
        path_create_directory(fd: i32, path: i32, len: i32) of fd, paths path len, denied "may not create";
        path_filestat_get(fd: i32, flags: i32, path: i32, len: i32, out: i32)
            of fd, paths path len, out out FILESTAT;, denied "may not look at";
        path_filestat_set_times(fd: i32, flags: i32, path: i32, len: i32, access: i64, change: i64, which: i32)
            of fd, paths path len, denied "may not change";
        path_link(fd: i32, flags: i32, path: i32, len: i32, to: i32, name: i32, name_len: i32)
            of fd to, paths path len name name_len, denied "may not link";
        path_remove_directory(fd: i32, path: i32, len: i32) of fd, paths path len, denied "may not remove";
        path_rename(fd: i32, path: i32, len: i32, to: i32, name: i32, name_len: i32)
            of fd to, paths path len name name_len, denied "may not rename";
        path_symlink(target: i32, target_len: i32, fd: i32, path: i32, len: i32)
            of fd, paths path len target target_len, denied "may not create";
        path_unlink_file(fd: i32, path: i32, len: i32) of fd, paths path len, denied "may not remove";
    }
    linker.timed_async(
        NAMESPACE,
        "path_readlink",
        |caller, (fd, path, len, to, to_len, out)| Box::new(path_readlink(caller, fd, path, len, to, to_len, out)),
    )?;
    add_checked(linker)
}

/// Reads a link, but no more than the operating system can store.
async fn path_readlink(
    mut caller: Caller<'_, Ctx>,
    fd: i32,
    path: i32,
    len: i32,
    to: i32,
    to_len: i32,
    out: i32,
) -> Result<i32> {
    if bounds::is_too_long(len) {
        return Ok(errno::NAMETOOLONG);
    }
    if !ProcessWasi::of(caller.data_mut()).is_file(fd) {
        let (mut memory, wasi) = parts(&mut caller)?;
        return preview1::path_readlink(&mut wasi.context, &mut memory, fd, path, len, to, to_len, out).await;
    }
    let to_len = to_len.cast_unsigned().min(LINK_MAX as u32).cast_signed();
    let mut loan = Loan::default();
    let lent = loan.input(&mut caller, path, len)?;
    let (to, out) = (
        loan.output(&mut caller, to, to_len)?,
        loan.output(&mut caller, out, SIZE)?,
    );
    let code = blocking::call(&mut caller, loan, async move |context, memory| {
        preview1::path_readlink(context, memory, fd, lent, len, to, to_len, out).await
    });
    let code = code.await?;
    note_refusal(&mut caller, code, "may not read", path, len);
    Ok(code)
}

/// Functions with an argument that can have only a few values: wasmtime-wasi traps on others, for which a C library
/// expects EINVAL.
fn add_checked(linker: &mut Linker<Ctx>) -> Result<()> {
    linker.timed_async(NAMESPACE, "fd_advise", |caller, (fd, at, len, advice)| {
        Box::new(fd_advise(caller, fd, at, len, advice))
    })?;
    linker.timed_async(NAMESPACE, "fd_seek", |caller, (fd, by, whence, out)| {
        Box::new(fd_seek(caller, fd, by, whence, out))
    })?;
    Ok(())
}

async fn fd_advise(mut caller: Caller<'_, Ctx>, fd: i32, at: i64, len: i64, advice: i32) -> Result<i32> {
    const ADVICE_MAX: i32 = 5;
    if !(0..=ADVICE_MAX).contains(&advice) {
        return Ok(errno::INVAL);
    }
    if !ProcessWasi::of(caller.data_mut()).is_file(fd) {
        return Ok(errno::BADF);
    }
    blocking::call(&mut caller, Loan::default(), async move |context, memory| {
        preview1::fd_advise(context, memory, fd, at, len, advice).await
    })
    .await
}

async fn fd_seek(mut caller: Caller<'_, Ctx>, fd: i32, by: i64, whence: i32, out: i32) -> Result<i32> {
    const WHENCE_MAX: i32 = 2;
    /// From the end, which requires asking for the size of the file.
    const END: i32 = 2;
    if !(0..=WHENCE_MAX).contains(&whence) {
        return Ok(errno::INVAL);
    }
    if whence != END || !ProcessWasi::of(caller.data_mut()).is_file(fd) {
        let (mut memory, wasi) = parts(&mut caller)?;
        return preview1::fd_seek(&mut wasi.context, &mut memory, fd, by, whence, out).await;
    }
    let mut loan = Loan::default();
    let out = loan.output(&mut caller, out, FILESIZE)?;
    blocking::call(&mut caller, loan, async move |context, memory| {
        preview1::fd_seek(context, memory, fd, by, whence, out).await
    })
    .await
}

/// Functions that change the number of open files.
fn add_open_and_close(linker: &mut Linker<Ctx>) -> Result<()> {
    linker.timed_async(NAMESPACE, "path_open", |caller, opening: Opening| {
        Box::new(path_open(caller, opening))
    })?;
    linker.timed_async(NAMESPACE, "fd_close", |caller, (fd,)| Box::new(fd_close(caller, fd)))?;
    linker.timed_async(NAMESPACE, "fd_renumber", |caller, (from, to)| {
        Box::new(fd_renumber(caller, from, to))
    })?;
    Ok(())
}

/// Reserves what an open file needs; the error is the code of the refusal.
fn make_room(caller: &mut Caller<'_, Ctx>) -> Result<(), i32> {
    let files_max = caller.data().process().local.rights.files_max;
    let wasi = ProcessWasi::of(caller.data_mut());
    if wasi.open.len() >= files_max as usize {
        denial::log(
            caller.data().process(),
            "may not open more files than",
            &files_max.to_string(),
            "--max-files N",
        );
        return Err(errno::MFILE);
    }
    wasi.paid.grow(FILE_SIZE).map_err(|_| errno::NOMEM)?;
    if !wasi.descriptors.grow(1) {
        ProcessWasi::closed(caller);
        denial::log(caller.data().process(), "may not open a file", EXHAUSTED, "");
        return Err(errno::NFILE);
    }
    Ok(())
}

/// The parameters of `path_open`.
type Opening = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// Calls the function of wasmtime-wasi.
async fn open(context: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>, opening: Opening) -> Result<i32> {
    let (fd, how, path, len, create, rights, inheriting, flags, out) = opening;
    preview1::path_open(
        context, memory, fd, how, path, len, create, rights, inheriting, flags, out,
    )
    .await
}

/// Opens a file, unless the process has reached its limit of open files, or the host has no descriptor for it.
async fn path_open(mut caller: Caller<'_, Ctx>, opening: Opening) -> Result<i32> {
    let (fd, how, path, len, create, rights, inheriting, flags, out) = opening;
    if bounds::is_too_long(len) {
        return Ok(errno::NAMETOOLONG);
    }
    // Where the number of the file is written.
    let Ok(_) = guest_memory::slice(&mut caller, out.cast_unsigned(), SIZE as u32) else {
        return Ok(errno::FAULT);
    };
    if !ProcessWasi::of(caller.data_mut()).is_file(fd) {
        let (mut memory, wasi) = parts(&mut caller)?;
        return open(&mut wasi.context, &mut memory, opening).await;
    }
    let mut loan = Loan::default();
    let lent = loan.input(&mut caller, path, len)?;
    let own = loan.output(&mut caller, out, SIZE)?;
    if let Err(code) = make_room(&mut caller) {
        return Ok(code);
    }
    set_fuel(&mut caller);
    let permit = blocking::permit(&mut caller).await;
    let opened = blocking::run(&mut caller, permit, move |wasi| {
        let opening = (fd, how, lent, len, create, rights, inheriting, flags, own);
        let code = blocking::now(open(&mut wasi.context, &mut loan.memory(), opening));
        // Here, and not when the process continues, which it may never do.
        match code {
            Ok(errno::SUCCESS) => wasi.opened(loan.read(own, SIZE as u32)),
            _ => wasi.descriptors.shrink(1),
        }
        (loan, code)
    });
    let (loan, code) = opened.await?;
    let code = code?;
    if code == errno::SUCCESS {
        loan.give_back(&mut caller)?;
    }
    ProcessWasi::closed(&mut caller);
    note_refusal(&mut caller, code, "may not open", path, len);
    Ok(code)
}

async fn fd_close(mut caller: Caller<'_, Ctx>, fd: i32) -> Result<i32> {
    if !ProcessWasi::of(caller.data_mut()).is_file(fd) {
        let (mut memory, wasi) = parts(&mut caller)?;
        return preview1::fd_close(&mut wasi.context, &mut memory, fd).await;
    }
    let permit = blocking::permit(&mut caller).await;
    let code = blocking::run(&mut caller, permit, move |wasi| {
        let code = blocking::now(preview1::fd_close(&mut wasi.context, &mut empty(), fd));
        if let Ok(errno::SUCCESS) = code {
            wasi.forget(fd);
        }
        code
    });
    let code = code.await?;
    ProcessWasi::closed(&mut caller);
    code
}

async fn fd_renumber(mut caller: Caller<'_, Ctx>, from: i32, to: i32) -> Result<i32> {
    let renumber = move |wasi: &mut ProcessWasi| {
        let code = blocking::now(preview1::fd_renumber(&mut wasi.context, &mut empty(), from, to));
        // What was open as `to` is closed.
        if let (Ok(errno::SUCCESS), true) = (&code, from != to) {
            wasi.renumber(from, to);
        }
        code
    };
    let permit = blocking::permit(&mut caller).await;
    let code = blocking::run(&mut caller, permit, renumber).await?;
    ProcessWasi::closed(&mut caller);
    code
}

/// The memory for a function that needs none.
fn empty() -> GuestMemory<'static> {
    GuestMemory::Unshared(&mut [])
}
