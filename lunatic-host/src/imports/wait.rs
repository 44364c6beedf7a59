//! Waits of host functions: those of the kernel, for the process that calls, which notes where on its stack it stops.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::{Held, Wait};
use wasmtime::Caller;

use crate::instance::{self, Ctx};
use crate::wasm::Wasm;

/// A wait of the caller, for a host function that goes on to use the caller meanwhile. `kind` and `what` are for reports.
pub fn wait(caller: &mut Caller<'_, Ctx>, kind: WaitFor, what: Id, timeout_ns: u64) -> Wait<'static, Wasm> {
    instance::note_place(&mut *caller);
    let ctx = caller.data();
    let (kernel, process) = (ctx.kernel.clone(), ctx.process().clone());
    Wait::new(Held::Owned(kernel), Held::Owned(process), kind, what, timeout_ns)
}

/// As [`wait`], for a host function that needs nothing else of the caller until the wait is over.
pub(crate) fn wait_borrowing<'a>(
    caller: &'a mut Caller<'_, Ctx>,
    kind: WaitFor,
    what: Id,
    timeout_ns: u64,
) -> Wait<'a, Wasm> {
    instance::note_place(&mut *caller);
    let ctx = caller.data();
    let (kernel, process) = (Held::Borrowed(&ctx.kernel), Held::Borrowed(ctx.process()));
    Wait::new(kernel, process, kind, what, timeout_ns)
}
