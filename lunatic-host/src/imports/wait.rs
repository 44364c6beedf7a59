//! Waits of host functions: those of the kernel, for the process that calls, which notes where on its stack it stops.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::{Held, Wait};
use wasmtime::Caller;

use crate::instance::{self, Ctx, Here};
use crate::wasm::Wasm;

/// A wait of the caller, for a host function that goes on to use the caller meanwhile. `kind` and `what` are for reports.
pub fn wait(caller: &mut Caller<'_, Ctx>, kind: WaitFor, what: Id, timeout_ns: u64) -> Wait<'static, Wasm> {
    instance::note_place(&mut *caller);
    let ctx = caller.data();
    let (kernel, process) = (ctx.kernel.clone(), ctx.process().clone());
    Wait::new(Held::Owned(kernel), Held::Owned(process), kind, what, timeout_ns)
}

/// Waits for `future`, which needs nothing of the caller, and shows the stack of the caller to whoever looks meanwhile.
pub fn show<'a, F: Future + Send + 'a>(
    caller: &'a Caller<'_, Ctx>,
    future: F,
) -> impl Future<Output = F::Output> + Send + 'a
where
    F::Output: Send,
{
    Here::of(caller).show(future)
}

/// As [`wait`], for a host function that needs nothing else of the caller until the wait is over. With it comes what shows the
/// stack during the wait.
pub(crate) fn wait_borrowing<'a>(
    caller: &'a mut Caller<'_, Ctx>,
    kind: WaitFor,
    what: Id,
    timeout_ns: u64,
) -> (Wait<'a, Wasm>, Here<'a>) {
    instance::note_place(&mut *caller);
    let caller = &*caller;
    let ctx = caller.data();
    let (kernel, process) = (Held::Borrowed(&ctx.kernel), Held::Borrowed(ctx.process()));
    let wait = Wait::new(kernel, process, kind, what, timeout_ns);
    (wait, Here::of(caller))
}
