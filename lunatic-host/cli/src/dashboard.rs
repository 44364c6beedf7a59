//! The dashboard of a running program.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use lunatic_admin::{Certificates, Dashboard, Token};
use lunatic_host::{RunningSystem, Runtime};

use crate::{HostArgs, admin};

/// Opens the ports that the flags ask for. They do not admit clients yet.
pub(crate) fn open_all(host: &HostArgs) -> anyhow::Result<Vec<Dashboard>> {
    let mut opened = Vec::new();
    if let Some(address) = host.dashboard {
        opened.push(open(address, host.admin_token_file.as_deref())?);
    }
    let files = (&host.admin_cert, &host.admin_key, &host.admin_client_ca);
    if let (Some(address), (Some(certificate), Some(key), Some(client_ca))) = (host.admin_tcp, files) {
        let certificates = Certificates {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: client_ca.clone(),
        };
        let dashboard = Dashboard::open_tls(address, &certificates);
        let dashboard = dashboard.with_context(|| format!("--admin-tcp {address}"))?;
        eprintln!("dashboard: {} for clients with a certificate", dashboard.url());
        opened.push(dashboard);
    }
    Ok(opened)
}

/// Opens a port, and prints the address for the browser. It does not admit clients yet.
pub(crate) fn open(address: SocketAddr, token_file: Option<&Path>) -> anyhow::Result<Dashboard> {
    let token = match token_file {
        Some(path) => Token::read(path).with_context(|| format!("cannot use {} as a token", path.display()))?,
        None => Token::draw().context("cannot make a token")?,
    };
    let opened = Dashboard::open(address, token);
    let dashboard = opened.with_context(|| format!("cannot open a dashboard at {address}"))?;
    match token_file {
        // A user who keeps the token in a file does not want it in a log.
        Some(path) => eprintln!(
            "dashboard: http://{}/ with the token in {}",
            dashboard.address(),
            path.display()
        ),
        None => eprintln!("dashboard: {}", dashboard.url()),
    }
    Ok(dashboard)
}

/// Admits clients.
pub(crate) fn serve(
    dashboard: Dashboard,
    runtime: &Arc<Runtime>,
    system: &Arc<RunningSystem>,
    file: &Path,
) -> anyhow::Result<()> {
    let program = admin::program(runtime, system, file);
    dashboard.serve(program).context("--dashboard")
}
