//! `wasi_snapshot_preview1`, implemented by wasmtime-wasi. It costs nothing for a process that never calls it.
//!
//! Operations on files and folders run on a thread that may block (`blocking`, `files`). Long operations are cut short
//! in `bounds`. Everything else is done directly.

pub(super) mod blocking;
pub(super) mod bounds;
mod files;
mod listing;
mod poll;

use std::sync::Arc;

pub(crate) use blocking::FILE_OPERATIONS_MAX;
use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Exhausted, Payer, Receipt, Resource};
use lunatic_kernel::hash::NumberSet;
use lunatic_kernel::stock::Portion;
use lunatic_kernel::time::Time;
use lunatic_kernel::wait::ready;
use lunatic_sys::codes::NO_TIMEOUT;
use wasmtime::{AsContextMut as _, Caller, Linker};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};
use wasmtime_wasi::{HostMonotonicClock, I32Exit};
use wiggle::GuestMemory;

use super::wait::{show, wait};
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::report::PanicCapture;
use crate::states::Merge;
use crate::wasm::Process;

const NAMESPACE: &str = "wasi_snapshot_preview1";

/// Error codes of WASI preview 1, `errno` in its `typenames.witx`.
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
    pub(super) const NOENT: i32 = 44;
    pub(super) const NOMEM: i32 = 48;
    #[cfg(target_os = "linux")]
    pub(super) const NOTDIR: i32 = 54;
    pub(super) const PERM: i32 = 63;
    pub(super) const ROFS: i32 = 69;
    pub(super) const NOTCAPABLE: i32 = 76;
}

/// Holds the WASI state of a process. It is empty while a thread works with the state, and the process waits.
struct Home(Option<Box<ProcessWasi>>);

/// Numbers of files mean something to the code that has opened them. That of the predecessor is gone, so its files are closed.
impl Merge for Home {
    fn merge(&mut self, _former: Self) {}
}

/// It belongs to the standard error of the [`Home`] with which it was made.
impl Merge for PanicCapture {
    fn merge(&mut self, _former: Self) {}
}

/// The WASI state of one process.
struct ProcessWasi {
    context: WasiP1Ctx,
    /// The numbers of the files and folders that the process has opened and not closed.
    open: NumberSet<i32>,
    /// The numbers of the folders that it was given and has not closed.
    given: NumberSet<i32>,
    /// The folder that was listed last.
    listing: Option<listing::Listing>,
    /// One descriptor for each that is open, and one for the folder that is listed.
    descriptors: Portion,
    /// The text of a panic that the process may be writing to standard error.
    panic: PanicCapture,
    /// The size of the context without files, in bytes.
    size: usize,
    /// The charge for the context, the files, and the text of a panic.
    paid: Receipt,
}

/// The size of an open file in the host, in bytes; and that of a context without files, folders and texts, but with one
/// folder that is listed and the end of what was written to standard error.
const FILE_SIZE: usize = 1 << 10;
const CONTEXT_SIZE: usize = (4 << 10) + FILE_SIZE + 512;
/// The first numbers are those of the standard streams; those of given folders follow.
const STREAMS: i32 = 3;

impl ProcessWasi {
    fn new(process: &Process, panic: &PanicCapture) -> Self {
        let system = &process.system;
        let clock = SystemClock(system.time.clone());
        let rights = &process.local.rights;
        let mut context = rights.wasi.context(system.is_main(process.id), panic, clock);
        // Any call makes the table of descriptors, with the folders that the context has then. It does not matter that
        // this one fails.
        let _ = preview1::fd_tell(&mut context, &mut GuestMemory::Unshared(&mut []), 0, 0);
        Self {
            context,
            open: NumberSet::default(),
            listing: None,
            given: (STREAMS..).take(rights.wasi.folder_count()).collect(),
            descriptors: Portion::none(&rights.descriptors, &rights.group),
            panic: panic.clone(),
            size: CONTEXT_SIZE + rights.wasi.size(),
            paid: Receipt::new(process.purse().to_account(), Resource::Bodies),
        }
    }

    /// Adjusts the charge to the current size.
    fn settle(&mut self) -> Result<(), Exhausted> {
        let files = self.open.len() * FILE_SIZE;
        self.paid.settle(self.size + files + self.panic.size())
    }

    /// The same for the state of a process, which ends if it cannot pay.
    fn settle_of(ctx: &mut Ctx) {
        if let Err(exhausted) = Self::of(ctx).settle() {
            ctx.kernel.out_of_memory(ctx.process(), exhausted);
        }
    }

    /// Takes bytes for the time of a call, or returns the code of an error.
    fn pay(&mut self, bytes: usize) -> Result<(), i32> {
        self.paid.grow(bytes).map_err(|_| errno::NOMEM)
    }

    /// Gives back what was [paid](Self::pay).
    fn give_back(&mut self, bytes: usize) {
        self.paid.shrink(bytes);
    }

    /// Whether a number belongs to a file or folder. All others belong to standard streams, or to nothing.
    fn is_file(&self, fd: i32) -> bool {
        self.open.contains(&fd) || self.given.contains(&fd)
    }

    /// Records that a file has been opened, whose encoded number this is.
    fn opened(&mut self, fd: &[u8]) {
        let fd = fd.try_into().expect("a number has four bytes");
        self.open.insert(i32::from_le_bytes(fd));
    }

    /// Records that a file is not open any more.
    fn forget(&mut self, fd: i32) {
        if self.open.remove(&fd) {
            self.descriptors.shrink(1);
        }
        self.given.remove(&fd);
        if self.listing.as_ref().is_some_and(|listing| listing.fd() == fd) {
            self.stop_listing();
        }
    }

    /// Closes the folder that is listed.
    fn stop_listing(&mut self) {
        if self.listing.take().is_some() {
            self.descriptors.shrink(1);
        }
    }

    /// Records that `to` has been closed, and that what was open as `from` now has its number.
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
        Self::settle_of(caller.data_mut());
    }

    /// The WASI state of the process, made on first use.
    fn of(ctx: &mut Ctx) -> &mut Self {
        let is_there = ctx.find_state::<Home>().is_some_and(|home| home.0.is_some());
        if !is_there {
            // The text of a panic that the process may be writing to standard error, which is read at its end.
            let panic = ctx.merging_state(PanicCapture::default).clone();
            let (kernel, process) = (ctx.kernel.clone(), ctx.process().clone());
            let mut new = Box::new(Self::new(&process, &panic));
            if let Err(exhausted) = new.settle() {
                kernel.out_of_memory(&process, exhausted);
            }
            Self::put(ctx, new);
        }
        let home = ctx.merging_state(|| Home(None));
        home.0.as_mut().expect("it is there, or was made just now")
    }

    /// Takes the state from the process, which must wait until it is [put](Self::put) back.
    fn take(ctx: &mut Ctx) -> Box<Self> {
        Self::of(ctx);
        let home = ctx.merging_state(|| Home(None));
        home.0.take().expect("it was there just now")
    }

    fn put(ctx: &mut Ctx, wasi: Box<Self>) {
        ctx.merging_state(|| Home(None)).0 = Some(wasi);
    }
}

/// The monotonic clock that guests read: it starts with the system, and all processes of the system share it.
pub(super) struct SystemClock(pub(super) Time<Arc<Process>>);

impl HostMonotonicClock for SystemClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.since_start().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Prints the held-back text of a panic, because the process has caught the panic. Like any process that prints, this one
/// waits until there is room.
pub async fn print_held_panic(caller: &mut Caller<'_, Ctx>) {
    let Some(panic) = caller.data().find_state::<PanicCapture>() else {
        return;
    };
    let text = panic.release();
    if text.is_empty() {
        return;
    }
    ProcessWasi::settle_of(caller.data_mut());
    let wait = wait(caller, WaitFor::Outside, Id::NONE, NO_TIMEOUT);
    let stderr = wait.process.local.rights.wasi.stderr();
    show(caller, ready(&wait, stderr.wait_room())).await;
    stderr.report(&String::from_utf8_lossy(&text));
}

/// The memory of the caller, and its WASI state.
fn parts<'a>(caller: &'a mut Caller<'_, Ctx>) -> wasmtime::Result<(GuestMemory<'a>, &'a mut ProcessWasi)> {
    let memory = crate::guest_memory::memory(caller)?;
    set_fuel(caller);
    let (bytes, ctx) = memory.data_and_store_mut(caller);
    Ok((GuestMemory::Unshared(bytes), ProcessWasi::of(ctx)))
}

/// Lets the next call copy as much as calls may.
fn set_fuel(caller: &mut Caller<'_, Ctx>) {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let wasi = ProcessWasi::of(caller.data_mut());
    preview1::WasiSnapshotPreview1::set_hostcall_fuel(&mut wasi.context, fuel);
}

pub(crate) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    add_to_linker_async(linker, |ctx: &mut Ctx| &mut ProcessWasi::of(ctx).context)?;
    linker.allow_shadowing(true);
    // wasmtime-wasi traps on codes above 125; a program may use all codes that its operating system has.
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

/// wasmtime-wasi traps on other clock numbers, for which a C library expects EINVAL.
fn add_clocks(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    const CLOCK_MAX: i32 = 3;
    linker.timed(
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
    linker.timed(
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
