//! Systems without Unix sockets have no admin door and no dashboard.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use lunatic_host::{RunningSystem, Runtime};

use crate::HostArgs;

pub(crate) fn open_all(host: &HostArgs) -> anyhow::Result<Vec<Infallible>> {
    if host.dashboard.is_some() || host.admin_tcp.is_some() {
        bail!("the dashboard is not available on this system");
    }
    Ok(Vec::new())
}

pub(crate) fn serve(dashboard: Infallible, _: &Arc<Runtime>, _: &Arc<RunningSystem>, _: &Path) -> anyhow::Result<()> {
    match dashboard {}
}
