//! Systems without Unix sockets have no admin door.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use lunatic_host::{RunningSystem, Runtime};

pub(crate) fn open(_: &Path) -> anyhow::Result<Infallible> {
    bail!("--admin needs Unix sockets, which this system does not have")
}

pub(crate) fn serve(door: Infallible, _: &Arc<Runtime>, _: &Arc<RunningSystem>, _: &Path) -> anyhow::Result<()> {
    match door {}
}
