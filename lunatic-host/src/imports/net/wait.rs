//! Waiting for a socket.

use std::io;
use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::wait::until;
use lunatic_net::readiness::Direction;
use lunatic_net::socket::would_block;
use rustix::io::Errno;
use wasmtime::Caller;

use super::call::Failure;
use crate::imports::pieces;
use crate::imports::wait::{show, wait};
use crate::instance::Ctx;
use crate::wasm::Socket;

/// Calls `attempt` as soon as it does not block any more. Gives up, with nothing done, after the timeout, or when
/// another version of the code is pending for a process that wants to be notified in this way.
pub async fn perform<T>(
    caller: &mut Caller<'_, Ctx>,
    socket: &Arc<Socket>,
    direction: Direction,
    timeout_ns: u64,
    mut attempt: impl FnMut(&mut Caller<'_, Ctx>) -> wasmtime::Result<Result<T, Failure>>,
) -> wasmtime::Result<Result<T, Failure>> {
    let blocks = |result: &Result<T, Failure>| matches!(result, Err(Failure::Io(error)) if would_block::<()>(&Err(error.kind().into())));
    let result = turns(caller, &mut attempt).await?;
    if !blocks(&result) {
        pass_on(caller, socket, direction);
        return Ok(result);
    }
    if let Err(error) = socket.watch(direction) {
        return Ok(Err(error.into()));
    }
    let readiness = socket.readiness(direction);
    let interrupts = direction == Direction::Read && caller.data().process().local.code.take_interrupts();
    let wait = wait(caller, WaitFor::Socket, Id::NONE, timeout_ns);
    let mut ticket = None;
    loop {
        // An order wakes the process after it has been placed, so none is missed between this check and the wait.
        if interrupts && caller.data().process().local.code.is_waited_for() {
            return Ok(Err(io::Error::from(Errno::INTR).into()));
        }
        let timely = until(
            &wait,
            &mut ticket,
            |process, again| readiness.enter(process, again),
            |ticket, looks| readiness.leave(ticket, looks),
        );
        if !show(caller, timely).await {
            return Ok(Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        }
        let result = turns(caller, &mut attempt).await?;
        if !blocks(&result) {
            pass_on(caller, socket, direction);
            return Ok(result);
        }
        // A socket that says that it is ready, and is not, must not occupy the worker.
        pieces::pause(caller).await;
    }
}

/// Repeats the attempt until it is done or blocks. An attempt that has done much and could continue returns
/// `Interrupted`: then other processes have a turn.
async fn turns<T>(
    caller: &mut Caller<'_, Ctx>,
    attempt: &mut impl FnMut(&mut Caller<'_, Ctx>) -> wasmtime::Result<Result<T, Failure>>,
) -> wasmtime::Result<Result<T, Failure>> {
    loop {
        match attempt(caller)? {
            Err(Failure::Io(error)) if error.kind() == io::ErrorKind::Interrupted => pieces::pause(caller).await,
            result => return Ok(result),
        }
    }
}

/// Another process may wait for the same socket, and could now succeed.
fn pass_on(caller: &mut Caller<'_, Ctx>, socket: &Socket, direction: Direction) {
    if let Some(process) = socket.readiness(direction).next() {
        caller.data().kernel.wake(&process);
    }
}
