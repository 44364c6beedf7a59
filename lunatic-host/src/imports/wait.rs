//! Waits of host functions: those of the kernel, for the calling process, which also record the position on its stack.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::{Held, Wait};
use wasmtime::Caller;

use crate::instance::{self, Ctx, Here};
use crate::wasm::Wasm;

/// Waits on behalf of the caller, in a host function that uses the caller meanwhile. `kind` and `what` are for reports.
pub fn wait(caller: &mut Caller<'_, Ctx>, kind: WaitFor, what: Id, timeout_ns: u64) -> Wait<'static, Wasm> {
    instance::note_place(&mut *caller);
    let ctx = caller.data();
    let (kernel, process) = (ctx.kernel.clone(), ctx.process().clone());
    Wait::new(Held::Owned(kernel), Held::Owned(process), kind, what, timeout_ns)
}

/// Waits for `future`, which needs nothing of the caller, and shows the caller's stack to a thread that inspects it
/// meanwhile.
pub fn show<'a, F: Future + Send + 'a>(
    caller: &'a Caller<'_, Ctx>,
    future: F,
) -> impl Future<Output = F::Output> + Send + 'a
where
    F::Output: Send,
{
    Here::of(caller).show(future)
}

/// Like [`wait`], for a host function that does not use the caller until the wait is over. Also returns what shows the
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
