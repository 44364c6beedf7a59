//! Operations on files and folders, which may block for as long as the file system takes.
//!
//! wasmtime-wasi executes them on the calling thread. Therefore the whole WASI state of a process moves to a thread
//! that may block, and returns with the result. The process waits meanwhile, and its worker runs others. The operation
//! sees only a [`Loan`] of the guest's memory: before it ends, the process may be killed and its memory be reused.
//!
//! At most [`FILE_OPERATIONS_MAX`] run at a time, and groups of processes [share](lunatic_kernel::permits) them. Each
//! holds its permit until it really ends, even if nobody waits for it any more; the files of a process that is killed
//! meanwhile stay open, and paid for, until then. The CPU time of the thread is charged to the process's budget.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::permits::Permit;
use lunatic_kernel::wait::ready;
use lunatic_sys::codes::NO_TIMEOUT;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::{Caller, Error, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wiggle::GuestMemory;

use super::{ProcessWasi, errno, set_fuel};
use crate::extension::Threads;
use crate::guest_memory;
use crate::imports::wait::{show, wait};
use crate::instance::Ctx;

/// The most concurrent operations: half of the threads that may block. The others are for look-ups of names, databases
/// and extensions.
pub(crate) const FILE_OPERATIONS_MAX: usize = 256;

/// Waits until the caller's group may use one of the threads. What an operation copies, it copies after this: nobody
/// pays for the copy, and any number of processes may wait.
pub(in crate::imports) async fn permit(caller: &mut Caller<'_, Ctx>) -> Permit {
    let wait = wait(caller, WaitFor::File, Id::NONE, NO_TIMEOUT);
    let group = &wait.process.local.rights.group;
    let permit = wait.kernel.host.file_operations.acquire(group);
    show(caller, ready(&wait, permit)).await
}

/// Runs `work` on a thread that may block, for which the caller has a permit.
///
/// # Errors
///
/// If it panicked.
pub(in crate::imports) async fn work<T: Send + 'static>(
    caller: &mut Caller<'_, Ctx>,
    permit: Permit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let wait = wait(caller, WaitFor::File, Id::NONE, NO_TIMEOUT);
    let answer = start(&Threads::of(&wait.kernel, &wait.process), permit, work);
    show(caller, ready(&wait, answer))
        .await
        .map_err(|_| Error::msg("an operation on a file failed"))
}

/// Begins `work` on a thread that may block, for a process that has a permit. The result is an error if it panicked.
pub(in crate::imports) fn start<T: Send + 'static>(
    threads: &Threads,
    permit: Permit,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, answer) = oneshot::channel();
    let running = threads.spawn_metered(move |meter| {
        let (meter, permit) = (meter, permit);
        let result = work();
        if done.is_closed() {
            // Nobody waits any more. Closing files may block, too.
            drop(result);
            return;
        }
        // Before the process continues: it ends if this was too much, and its next operation finds this thread idle.
        drop((meter, permit));
        let _ = done.send(result);
    });
    drop(running);
    answer
}

/// The same for `work` with the WASI state of the caller, which has lost its files if `work` panicked.
pub(super) async fn run<T: Send + 'static>(
    caller: &mut Caller<'_, Ctx>,
    permit: Permit,
    work: impl FnOnce(&mut ProcessWasi) -> T + Send + 'static,
) -> Result<T> {
    let mut wasi = ProcessWasi::take(caller.data_mut());
    let with_state = move || {
        let result = work(&mut wasi);
        (wasi, result)
    };
    let (wasi, result) = self::work(caller, permit, with_state).await?;
    ProcessWasi::put(caller.data_mut(), wasi);
    Ok(result)
}

/// Calls a function of wasmtime-wasi like [`run`], with `loan` as its memory. If it succeeds, its output is copied to
/// the guest. The loan is short.
pub(super) async fn call(
    caller: &mut Caller<'_, Ctx>,
    loan: Loan,
    function: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> Result<i32> + Send + 'static,
) -> Result<i32> {
    let permit = permit(caller).await;
    let (loan, code) = call_on(caller, permit, loan, function).await?;
    if code == errno::SUCCESS {
        loan.give_back(caller)?;
    }
    Ok(code)
}

/// The same, for callers that copy the output themselves.
pub(super) async fn call_on(
    caller: &mut Caller<'_, Ctx>,
    permit: Permit,
    mut loan: Loan,
    function: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> Result<i32> + Send + 'static,
) -> Result<(Loan, i32)> {
    set_fuel(caller);
    let (loan, code) = run(caller, permit, move |wasi| {
        let code = now(function(&mut wasi.context, &mut loan.memory()));
        (loan, code)
    })
    .await?;
    Ok((loan, code?))
}

/// The result of a future that does all its work when it is polled, on a thread that may block.
pub(in crate::imports) fn now<T>(future: impl Future<Output = T>) -> T {
    Handle::current().block_on(future)
}

/// Copies of parts of a guest's memory in memory of the host, which stands in for the guest's memory in wasmtime-wasi.
#[derive(Default)]
pub(super) struct Loan {
    bytes: Vec<u8>,
    /// Where the lent memory begins in `bytes`: at an address that is a multiple of [`ALIGN`].
    start: usize,
    /// The parts to copy back to the guest.
    outputs: SmallVec<[Output; 2]>,
}

/// A part that is written: its address in the guest's memory, its address in the loan, and its length.
struct Output {
    guest: u32,
    own: usize,
    len: usize,
}

/// The strictest alignment of a WASI type.
const ALIGN: usize = 8;

impl Loan {
    /// Lends a copy of a part that is read; returns its address in the loan.
    ///
    /// # Errors
    ///
    /// If it is not all inside the memory, as wasmtime-wasi would report it.
    pub(super) fn input(&mut self, caller: &mut Caller<'_, Ctx>, at: i32, len: i32) -> Result<i32> {
        let (at, len) = (at.cast_unsigned(), len.cast_unsigned());
        let part = &*guest_memory::slice(caller, at, len)?.0;
        // Aligned as in the guest's memory, because unaligned parts are refused.
        let own = self.bytes.len().next_multiple_of(ALIGN) + at as usize % ALIGN;
        self.bytes.resize(own, 0);
        self.bytes.extend_from_slice(part);
        Ok(i32::try_from(own)?)
    }

    /// Lends bytes of the host; returns their address in the loan.
    pub(super) fn own(&mut self, bytes: &[u8]) -> i32 {
        let own = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(own, 0);
        self.bytes.extend_from_slice(bytes);
        own as i32
    }

    /// Lends `len` zeros; returns their address in the loan.
    pub(super) fn zeros(&mut self, len: u32) -> i32 {
        let own = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(own + len as usize, 0);
        own as i32
    }

    /// The current contents of the loan at one of its addresses.
    pub(super) fn read(&self, at: i32, len: u32) -> &[u8] {
        &self.bytes[self.start + at as usize..][..len as usize]
    }

    /// Lends a copy of a part that is written; returns its address in the loan.
    ///
    /// # Errors
    ///
    /// As for [`input`](Self::input).
    pub(super) fn output(&mut self, caller: &mut Caller<'_, Ctx>, at: i32, len: i32) -> Result<i32> {
        let own = self.input(caller, at, len)?;
        self.outputs.push(Output {
            guest: at.cast_unsigned(),
            own: own as usize,
            len: len.cast_unsigned() as usize,
        });
        Ok(own)
    }

    /// The memory that is lent.
    pub(super) fn memory(&mut self) -> GuestMemory<'_> {
        // First, so that the bytes do not move afterwards.
        self.bytes.reserve(ALIGN);
        let len = self.bytes.len();
        self.start = self.bytes.as_ptr().align_offset(ALIGN);
        self.bytes.resize(self.start + len, 0);
        self.bytes.copy_within(..len, self.start);
        GuestMemory::Unshared(&mut self.bytes[self.start..])
    }

    /// Copies what was written to the guest's memory.
    pub(super) fn give_back(&self, caller: &mut Caller<'_, Ctx>) -> Result<()> {
        for Output { guest, own, len } in &self.outputs {
            let written = &self.bytes[self.start + own..][..*len];
            guest_memory::write(caller, *guest, written)?;
        }
        Ok(())
    }
}
