//! Operations on files and folders, which take as long as the file system makes them.
//!
//! wasmtime-wasi does them on the thread that calls. So the whole side of a process that WASI keeps goes to a thread that may
//! block, and comes back with the result; the process waits meanwhile, and its worker goes on. Of the guest's memory the call
//! sees a [`Loan`] only: the process may be killed and its memory be another's before the operation ends.
//!
//! [`FILE_OPERATIONS_MAX`] run at once, and groups of processes [share](lunatic_kernel::permits) them. Each holds its permit until it
//! really ends, also when nobody waits for it any more; the files of a process that is killed meanwhile stay open and paid for
//! until then. What the thread computes is charged to the process's budget.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::ready;
use lunatic_sys::codes::NO_TIMEOUT;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::{Caller, Error, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wiggle::GuestMemory;

use super::{ProcessWasi, errno, set_fuel};
use crate::extension::spawn_metered;
use crate::guest_memory;
use crate::imports::wait::{show, wait};
use crate::instance::Ctx;

/// So many operations run at once: a half of the threads that may block. The others are for look-ups, databases and extensions.
pub(crate) const FILE_OPERATIONS_MAX: usize = 256;

/// Does `work` on a thread that may block, when it is the turn of the caller's group.
///
/// # Errors
///
/// If it panicked: then the process has lost its files.
pub(super) async fn run<T: Send + 'static>(
    caller: &mut Caller<'_, Ctx>,
    work: impl FnOnce(&mut ProcessWasi) -> T + Send + 'static,
) -> Result<T> {
    let wait = wait(caller, WaitFor::File, Id::NONE, NO_TIMEOUT);
    let group = &wait.process.local.rights.group;
    let permit = wait.kernel.host.file_operations.acquire(group);
    let permit = show(caller, ready(&wait, permit)).await;
    let mut wasi = ProcessWasi::take(caller.data_mut());
    let (done, answer) = oneshot::channel();
    let running = spawn_metered(&wait.kernel, &wait.process, move |meter| {
        let (meter, permit) = (meter, permit);
        let result = work(&mut wasi);
        if done.is_closed() {
            // Nobody waits any more. To close its files may take long, too.
            drop(wasi);
            return;
        }
        // Before the process goes on: it ends if that was too much, and its next operation finds this thread idle.
        drop((meter, permit));
        let _ = done.send((wasi, result));
    });
    drop(running);
    let (wasi, result) = show(caller, ready(&wait, answer))
        .await
        .map_err(|_| Error::msg("an operation on a file failed"))?;
    ProcessWasi::put(caller.data_mut(), wasi);
    Ok(result)
}

/// Calls a function of wasmtime-wasi as [`run`] does, with `loan` for its memory. If it succeeds, the guest gets what it wrote.
pub(super) async fn call(
    caller: &mut Caller<'_, Ctx>,
    loan: Loan,
    function: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> Result<i32> + Send + 'static,
) -> Result<i32> {
    let (loan, code) = call_on(caller, loan, function).await?;
    if code == errno::SUCCESS {
        loan.give_back(caller)?;
    }
    Ok(code)
}

/// The same, for callers that give back by themselves.
pub(super) async fn call_on(
    caller: &mut Caller<'_, Ctx>,
    mut loan: Loan,
    function: impl AsyncFnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> Result<i32> + Send + 'static,
) -> Result<(Loan, i32)> {
    set_fuel(caller);
    let (loan, code) = run(caller, move |wasi| {
        let code = now(function(&mut wasi.context, &mut loan.memory()));
        (loan, code)
    })
    .await?;
    Ok((loan, code?))
}

/// The result of a future that does all its work when it is polled, on a thread that may block.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    Handle::current().block_on(future)
}

/// Parts of a guest's memory, copied into memory of the host's own, which wasmtime-wasi takes for the guest's.
#[derive(Default)]
pub(super) struct Loan {
    bytes: Vec<u8>,
    /// Where in `bytes` the memory begins that is lent: at an address that is a multiple of [`ALIGN`].
    start: usize,
    /// What the guest gets back.
    outputs: SmallVec<[Output; 2]>,
}

/// A part that is written: where it is in the guest's memory, where in the loan, and how many bytes it has.
struct Output {
    guest: u32,
    own: usize,
    len: usize,
}

/// The strictest alignment of a type of WASI.
const ALIGN: usize = 8;

impl Loan {
    /// Lends a copy of a part that is read; its address in the loan.
    ///
    /// # Errors
    ///
    /// If it is not all in the memory, as wasmtime-wasi would say.
    pub(super) fn input(&mut self, caller: &mut Caller<'_, Ctx>, at: i32, len: i32) -> Result<i32> {
        let (at, len) = (at.cast_unsigned(), len.cast_unsigned());
        let part = &*guest_memory::slice(caller, at, len)?.0;
        // Aligned as it is in the guest's memory, for what is not aligned is refused.
        let own = self.bytes.len().next_multiple_of(ALIGN) + at as usize % ALIGN;
        self.bytes.resize(own, 0);
        self.bytes.extend_from_slice(part);
        Ok(i32::try_from(own)?)
    }

    /// Lends bytes of the host's own; their address in the loan.
    pub(super) fn own(&mut self, bytes: &[u8]) -> i32 {
        let own = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(own, 0);
        self.bytes.extend_from_slice(bytes);
        own as i32
    }

    /// Lends `len` zeros; their address in the loan.
    pub(super) fn zeros(&mut self, len: u32) -> i32 {
        let own = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(own + len as usize, 0);
        own as i32
    }

    /// What is in the loan at an address of it now.
    pub(super) fn read(&self, at: i32, len: u32) -> &[u8] {
        &self.bytes[self.start + at as usize..][..len as usize]
    }

    /// Lends a copy of a part that is written; its address in the loan.
    ///
    /// # Errors
    ///
    /// As of [`input`](Self::input).
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
        // First, so that the bytes stay where they are.
        self.bytes.reserve(ALIGN);
        let len = self.bytes.len();
        self.start = self.bytes.as_ptr().align_offset(ALIGN);
        self.bytes.resize(self.start + len, 0);
        self.bytes.copy_within(..len, self.start);
        GuestMemory::Unshared(&mut self.bytes[self.start..])
    }

    /// Copies what was written to where it belongs.
    pub(super) fn give_back(&self, caller: &mut Caller<'_, Ctx>) -> Result<()> {
        for Output { guest, own, len } in &self.outputs {
            let written = &self.bytes[self.start + own..][..*len];
            guest_memory::write(caller, *guest, written)?;
        }
        Ok(())
    }
}
