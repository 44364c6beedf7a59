//! Systems without signals: what asks a program to stop ends it at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lunatic_host::wasi::Output;
use lunatic_host::{ExitReason, RunningSystem};

pub(crate) struct Listener;

pub(crate) struct Stop;

impl Listener {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn watch(self, _: Arc<RunningSystem>, _: Duration, _: Output) -> io::Result<Stop> {
        Ok(Stop)
    }
}

impl Stop {
    pub(crate) fn exit_code(&self, reason: &ExitReason) -> i32 {
        reason.exit_code()
    }
}
