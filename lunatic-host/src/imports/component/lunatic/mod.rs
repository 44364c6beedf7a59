//! `lunatic:process`: the functions of Lunatic for components, as `lunatic-sys/wit/process.wit` declares them. They do what
//! the functions for core modules do, with the same code: these files only convert arguments and results.
//!
//! | module | purpose |
//! |---|---|
//! | `handle` | handles of processes, and why calls are refused |
//! | `exit` | exit reasons |
//! | `process`, `spawn` | `lunatic:process/process` |
//! | `mailbox`, `call`, `channel` | `lunatic:process/mailbox`, `lunatic:process/channel` |
//! | `registry`, `timer` | `lunatic:process/registry`, `lunatic:process/timer` |
//! | `poll` | `lunatic:poll`, in `lunatic-sys/wit/poll` |

mod call;
mod channel;
mod exit;
mod handle;
mod mailbox;
mod poll;
mod process;
mod registry;
mod spawn;
mod timer;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::mail::Content;
use lunatic_kernel::wait::{Held, Wait};
use lunatic_sys::codes::NO_TIMEOUT;
use wasmtime::component::{ComponentNamedList, Lift, Linker, LinkerInstance, Lower};
use wasmtime::{Result, StoreContextMut};

use super::state::{View, view};
use crate::instance::Ctx;
use crate::wasm::Wasm;

/// A message of at most this many bytes is copied once more, so that short ones need no allocation in the mailbox.
const COPIED_MAX: usize = 1 << 10;

/// Defines all functions.
pub(super) fn add(linker: &mut Linker<Ctx>) -> Result<()> {
    process::add(&mut linker.instance("lunatic:process/process@0.1.0")?)?;
    mailbox::add(&mut linker.instance("lunatic:process/mailbox@0.1.0")?)?;
    channel::add(&mut linker.instance("lunatic:process/channel@0.1.0")?)?;
    registry::add(&mut linker.instance("lunatic:process/registry@0.1.0")?)?;
    timer::add(&mut linker.instance("lunatic:process/timer@0.1.0")?)?;
    poll::add(&mut linker.instance("lunatic:poll/mailbox@0.1.0")?)
}

/// Defines a function that does not wait.
fn define<Params, Return>(
    interface: &mut LinkerInstance<'_, Ctx>,
    name: &str,
    function: fn(&mut View<'_>, Params) -> Result<Return>,
) -> Result<()>
where
    Params: ComponentNamedList + Lift + 'static,
    Return: ComponentNamedList + Lower + 'static,
{
    interface.func_wrap(name, move |mut store: StoreContextMut<'_, Ctx>, params: Params| {
        function(&mut view(store.data_mut()), params)
    })
}

/// A wait of the process that ends after the timeout, in nanoseconds.
fn wait(view: &View<'_>, kind: WaitFor, what: Id, timeout: Option<u64>) -> Wait<'static, Wasm> {
    let (kernel, process) = (view.0.kernel.clone(), view.process().clone());
    let timeout = timeout.unwrap_or(NO_TIMEOUT);
    Wait::new(Held::Owned(kernel), Held::Owned(process), kind, what, timeout)
}

/// Calls `send` with a message of the process.
fn with_content<T>(ctx: &mut Ctx, body: Vec<u8>, send: impl FnOnce(&mut Ctx, Content<'_>) -> T) -> T {
    let trace = ctx.current.trace().clone();
    match body.len() {
        ..=COPIED_MAX => send(ctx, Content::from(&body).traced(trace)),
        _ => send(ctx, Content::from(body).traced(trace)),
    }
}
