//! `lunatic serve`: answers HTTP requests with a component.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lunatic_host::serve::ServeConfig;
use lunatic_host::wasi::Stdin;
use lunatic_host::{Module, RunningSystem, Runtime, SystemConfig};

use crate::HostArgs;
use crate::host_args::seconds;

/// The flags of `lunatic serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// The address to listen on; port 0 stands for any free port
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        help_heading = "Serve options"
    )]
    pub addr: SocketAddr,

    /// How many seconds a handler may take to begin its answer, and between two parts of it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", help_heading = "Serve options")]
    pub request_timeout: Duration,

    /// How many seconds a client may send or take nothing while the host waits for it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30", help_heading = "Serve options")]
    pub client_timeout: Duration,

    /// CPU time for the handler of one request, in seconds [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Serve options")]
    pub max_request_cpu: Option<Duration>,

    /// The largest number of requests that are handled at a time; further requests wait
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX),
        help_heading = "Serve options")]
    pub max_requests: u32,

    /// The largest number of connections at a time; further connections wait
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX),
        help_heading = "Serve options")]
    pub max_connections: u32,
}

/// The largest `--max-requests` and `--max-connections`.
const COUNT_MAX: i64 = 1 << 20;

/// Answers HTTP requests with the component in `file` until a signal asks it to stop. Returns the exit code for the shell,
/// as [`run`](crate::run()) does.
pub fn serve(file: &Path, args: &[String], host: &HostArgs, serve: ServeArgs) -> i32 {
    let host = HostArgs {
        serve: Some(serve),
        ..host.clone()
    };
    crate::run(file, args, &host)
}

/// The listener for requests, if there is to be one.
pub(crate) fn open(host: &HostArgs) -> anyhow::Result<Option<TcpListener>> {
    let open = |args: &ServeArgs| {
        let address = args.addr;
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
    };
    host.serve.as_ref().map(open).transpose()
}

/// Starts the system: that of a program, or one that answers requests if there is a listener for them.
pub(crate) fn start(
    runtime: &Runtime,
    module: &Arc<Module>,
    config: SystemConfig,
    host: &HostArgs,
    listener: Option<TcpListener>,
) -> anyhow::Result<RunningSystem> {
    let (Some(args), Some(listener)) = (&host.serve, listener) else {
        return runtime.start(module, config);
    };
    let config = SystemConfig {
        wasi: lunatic_host::wasi::WasiConfig {
            stdin: Stdin::Empty,
            ..config.wasi
        },
        ..config
    };
    let serve = ServeConfig {
        handler_time: args.request_timeout,
        client_time: args.client_timeout,
        requests_max: args.max_requests,
        connections_max: args.max_connections,
        request_cpu: args.max_request_cpu,
    };
    let address = listener.local_addr()?;
    let running = runtime.serve(module, config, serve, listener)?;
    // If nobody reads it, that is no reason to end.
    let _ = writeln!(std::io::stdout(), "listening on http://{address}");
    Ok(running)
}
