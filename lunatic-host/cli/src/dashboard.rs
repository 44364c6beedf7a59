//! The dashboard of a program that runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use lunatic_admin::{Dashboard, Token};
use lunatic_host::{RunningSystem, Runtime};

use crate::admin;

/// Opens a port, and says what the user is to open in a browser. Nobody is let in yet.
pub(crate) fn open(address: SocketAddr, token_file: Option<&Path>) -> anyhow::Result<Dashboard> {
    let token = match token_file {
        Some(path) => Token::read(path).with_context(|| format!("cannot use {} as a token", path.display()))?,
        None => Token::draw().context("cannot make a token")?,
    };
    let opened = Dashboard::open(address, token);
    let dashboard = opened.with_context(|| format!("cannot open a dashboard at {address}"))?;
    match token_file {
        // Whoever keeps it in a file does not want it in a log.
        Some(path) => eprintln!(
            "dashboard: http://{}/ with the token in {}",
            dashboard.address(),
            path.display()
        ),
        None => eprintln!("dashboard: {}", dashboard.url()),
    }
    Ok(dashboard)
}

/// Lets clients in.
pub(crate) fn serve(
    dashboard: Dashboard,
    runtime: &Arc<Runtime>,
    system: &Arc<RunningSystem>,
    file: &Path,
) -> anyhow::Result<()> {
    let program = admin::program(runtime, system, file);
    dashboard.serve(program).context("--dashboard")
}
