//! `lunatic dashboard`: shows a program in a browser that was started with `--admin` but without `--dashboard`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use super::At;

/// Which program, and at which address.
#[derive(Debug, Clone, clap::Args)]
pub struct Dashboard {
    /// The address of the dashboard, which only this machine can reach; port 0 stands for any free port
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:4040")]
    address: SocketAddr,

    /// Read the token that the dashboard requires from the first line of this file, which only you can read [default:
    /// a new token each time]
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,

    /// The program: its process id, the file that it runs, or the path of its socket. Optional if only one program runs
    /// with `--admin`
    #[arg(long, value_name = "PROGRAM")]
    at: Option<String>,
}

impl Dashboard {
    /// Serves the dashboard until the user ends it.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let at = At {
            at: self.at.clone(),
            json: false,
        };
        let client = at.client()?;
        let dashboard = crate::dashboard::open(self.address, self.token_file.as_deref())?;
        dashboard.serve_beside(client.path()).context("cannot show the program")
    }
}
