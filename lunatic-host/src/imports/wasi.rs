//! `wasi_snapshot_preview1`, by wasmtime-wasi. A process that never calls it pays nothing for it.
//!
//! What a call does on files and folders, a thread does that may block (`blocking`, `files`). What would take long is cut short
//! in `bounds`. The rest is done at once.

mod blocking;
mod bounds;
mod files;
mod listing;
mod poll;

use std::sync::Arc;

pub(crate) use blocking::FILE_OPERATIONS_MAX;
use lunatic_kernel::budget::{Exhausted, Payer, Receipt, Resource};
use lunatic_kernel::hash::NumberSet;
use lunatic_kernel::stock::Portion;
use lunatic_kernel::time::Time;
use wasmtime::{AsContextMut as _, Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};
use wasmtime_wasi::{HostMonotonicClock, I32Exit};
use wiggle::GuestMemory;

use crate::instance::Ctx;
use crate::report::PanicCapture;
use crate::wasm::Process;

const NAMESPACE: &str = "wasi_snapshot_preview1";

/// Codes of WASI preview 1, `errno` in its `typenames.witx`.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const BADF: i32 = 8;
    pub(super) const INVAL: i32 = 28;
    #[cfg(target_os = "linux")]
    pub(super) const ILSEQ: i32 = 25;
    pub(super) const FAULT: i32 = 21;
    pub(super) const MFILE: i32 = 33;
    pub(super) const NFILE: i32 = 41;
    pub(super) const NAMETOOLONG: i32 = 37;
    pub(super) const NOMEM: i32 = 48;
    #[cfg(target_os = "linux")]
    pub(super) const NOTDIR: i32 = 54;
    pub(super) const PERM: i32 = 63;
    pub(super) const ROFS: i32 = 69;
    pub(super) const NOTCAPABLE: i32 = 76;
}

/// Where the WASI side of a process is kept. It is away while a thread works with it, and the process waits.
struct Home(Option<Box<ProcessWasi>>);

/// The WASI side of one process.
struct ProcessWasi {
    context: WasiP1Ctx,
    /// The numbers of files and folders that the process has opened and not closed.
    open: NumberSet<i32>,
    /// The numbers of the folders that it was given and has not closed.
    given: NumberSet<i32>,
    /// The folder that was listed last.
    listing: Option<listing::Listing>,
    /// A descriptor for each that is open, and for the folder that is listed.
    descriptors: Portion,
    /// What the process pays for the context and the files.
    paid: Receipt,
}

/// What a file that is open takes up in the host, in bytes, and what a context does without files, folders and texts, but with one
/// folder that is listed.
const FILE_SIZE: usize = 1 << 10;
const CONTEXT_SIZE: usize = (4 << 10) + FILE_SIZE;
/// The first numbers are those of the standard streams; those of given folders follow.
const STREAMS: i32 = 3;

impl ProcessWasi {
    fn new(process: &Process, panic: &PanicCapture) -> Self {
        let system = &process.system;
        let clock = SystemClock(system.time.clone());
        let rights = &process.local.rights;
        let mut context = rights.wasi.context(system.is_main(process.id), panic, clock);
        // Any call makes the table of descriptors, with the folders that the context has then. That this one fails is no matter.
        let _ = preview1::fd_tell(&mut context, &mut GuestMemory::Unshared(&mut []), 0, 0);
        Self {
            context,
            open: NumberSet::default(),
            listing: None,
            given: (STREAMS..).take(rights.wasi.folder_count()).collect(),
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

    /// Whether a number is that of a file or folder. All others are of standard streams, or of nothing.
    fn is_file(&self, fd: i32) -> bool {
        self.open.contains(&fd) || self.given.contains(&fd)
    }

    /// A file has been opened, whose number is written so.
    fn opened(&mut self, fd: &[u8]) {
        let fd = fd.try_into().expect("a number has four bytes");
        self.open.insert(i32::from_le_bytes(fd));
    }

    /// A file that is not open any more.
    fn forget(&mut self, fd: i32) {
        if self.open.remove(&fd) {
            self.descriptors.shrink(1);
        }
        self.given.remove(&fd);
        if self.listing.as_ref().is_some_and(|listing| listing.fd() == fd) {
            self.stop_listing();
        }
    }

    /// No folder is listed any more.
    fn stop_listing(&mut self) {
        if self.listing.take().is_some() {
            self.descriptors.shrink(1);
        }
    }

    /// What was open as `to` is closed, and what is open as `from` has its number now.
    fn renumber(&mut self, from: i32, to: i32) {
        self.forget(to);
        self.stop_listing();
        for numbers in [&mut self.open, &mut self.given] {
            if numbers.remove(&from) {
                numbers.insert(to);
            }
        }
    }

    /// There may be fewer files than were paid for.
    fn closed(caller: &mut Caller<'_, Ctx>) {
        let process = caller.data().process().clone();
        // What becomes less is never refused.
        let _ = Self::of(caller.data_mut()).settle(&process);
    }

    /// The WASI side of the process, made when it is first needed.
    fn of(ctx: &mut Ctx) -> &mut Self {
        let is_there = ctx.find_state::<Home>().is_some_and(|home| home.0.is_some());
        if !is_there {
            // The panic that the process may be writing to standard error: whoever sees its end asks for it.
            let panic = ctx.state(PanicCapture::default).clone();
            let (kernel, process) = (ctx.kernel.clone(), ctx.process().clone());
            let mut new = Box::new(Self::new(&process, &panic));
            if let Err(exhausted) = new.settle(&process) {
                kernel.out_of_memory(&process, exhausted);
            }
            Self::put(ctx, new);
        }
        let home = ctx.state(|| Home(None));
        home.0.as_mut().expect("it is there, or was made just now")
    }

    /// Takes it away from the process, which has to wait until it is [put](Self::put) back.
    fn take(ctx: &mut Ctx) -> Box<Self> {
        Self::of(ctx);
        let home = ctx.state(|| Home(None));
        home.0.take().expect("it was there just now")
    }

    fn put(ctx: &mut Ctx, wasi: Box<Self>) {
        ctx.state(|| Home(None)).0 = Some(wasi);
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
    set_fuel(caller);
    let (bytes, ctx) = memory.data_and_store_mut(caller);
    Ok((GuestMemory::Unshared(bytes), ProcessWasi::of(ctx)))
}

/// The next call may copy as much as calls may.
fn set_fuel(caller: &mut Caller<'_, Ctx>) {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let wasi = ProcessWasi::of(caller.data_mut());
    preview1::WasiSnapshotPreview1::set_hostcall_fuel(&mut wasi.context, fuel);
}

pub(crate) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    add_to_linker_async(linker, |ctx: &mut Ctx| &mut ProcessWasi::of(ctx).context)?;
    linker.allow_shadowing(true);
    // wasmtime-wasi traps on codes above 125; a program may use all that its system has.
    linker.func_wrap(NAMESPACE, "proc_exit", |code: i32| -> wasmtime::Result<()> {
        Err(I32Exit(code).into())
    })?;
    add_clocks(linker)?;
    files::add(linker)?;
    listing::add(linker)?;
    bounds::add(linker)?;
    poll::add(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// wasmtime-wasi traps on other numbers of clocks, where a C library expects EINVAL.
fn add_clocks(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    const CLOCK_MAX: i32 = 3;
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
    Ok(())
}
