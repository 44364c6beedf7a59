//! Systems without Unix sockets have no admin door, and no dashboard.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use lunatic_host::{RunningSystem, Runtime};

pub(crate) fn open(_: SocketAddr, _: Option<&Path>) -> anyhow::Result<Infallible> {
    bail!("there is no --dashboard on this system")
}

pub(crate) fn serve(dashboard: Infallible, _: &Arc<Runtime>, _: &Arc<RunningSystem>, _: &Path) -> anyhow::Result<()> {
    match dashboard {}
}
