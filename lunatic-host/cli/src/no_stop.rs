//! Systems without signals: a request to stop a program ends it immediately.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lunatic_host::{ExitReason, RunningSystem};

use crate::HostArgs;
use crate::manager::Manager;
use crate::voice::Voice;

pub(crate) struct Listener;

pub(crate) struct Stop;

pub(crate) fn reload(_: &Voice, _: &Manager, _: &HostArgs) -> Option<Infallible> {
    None
}

pub(crate) fn folder(_: Option<&Infallible>) -> Option<&'static Path> {
    None
}

impl Listener {
    pub(crate) fn new(_: Option<Infallible>) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn watch(self, _: Arc<RunningSystem>, _: Duration, _: Voice, _: Manager) -> io::Result<Stop> {
        Ok(Stop)
    }
}

impl Stop {
    pub(crate) fn exit_code(&self, reason: &ExitReason) -> i32 {
        reason.exit_code()
    }
}
