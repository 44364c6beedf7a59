//! Answers HTTP requests with a component that exports `wasi:http/incoming-handler`: a process for each request.
//!
//! [`Runtime::serve`] starts a system whose main process sleeps. Each request makes a child of it, which runs the handler
//! in an instance of its own, with the rights and limits of the system. A request that never ends, crashes or uses up its
//! limits affects no other.
//!
//! | module | purpose |
//! |---|---|
//! | `accept` | admits connections, and ends the system when it is drained |
//! | `connection` | HTTP on one connection |
//! | `exchange` | one request: its process, its time, its answer |
//! | `sent`, `received` | the bodies of answers and requests |
//! | `stream` | a connection whose client must not stop reading |
//!
//! Connections are tasks of the runtime's executor; hyper speaks HTTP/1.1. What a connection holds is bounded, and charged
//! to the system before it is admitted.
//!
//! # The end of a system
//!
//! [`RunningSystem::shut_down`] closes the door: the listener is closed, idle connections are closed, and each other one
//! after its current request. When the last connection and the last process are gone, the system ends with
//! [`ExitReason::Normal`](crate::ExitReason::Normal). [`RunningSystem::stop`] ends everything at once.

mod accept;
mod connection;
mod exchange;
mod received;
mod sent;
mod stream;

use std::future::poll_fn;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Semaphore, watch};

use crate::module::Module;
use crate::request::{Door, Phase};
use crate::running::RunningSystem;
use crate::runtime::Runtime;
use crate::system::{StartError, SystemConfig};
use crate::wasm::{Kernel, System};

/// The main process of a system that answers requests: sleeps for ever.
const KEEPER: &str = r#"(module $server
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (memory (export "memory") 1)
    (func (export "_start") (loop $again (call $sleep (i64.const -1)) (br $again))))"#;

/// How requests are answered. The rights and limits of each process are those of the system.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// How long a handler may take to begin its answer, and between two parts of its body; and how long it may continue
    /// after the answer. A request also waits no longer for its turn. By default 60 seconds.
    pub handler_time: Duration,
    /// How long a client may send or take nothing while the host waits for it, and how long the head of a request may take
    /// to arrive; also, how long a connection is kept without a request. By default 30 seconds.
    pub client_time: Duration,
    /// The most requests that are answered at a time, each by a process; more wait. By default 256.
    pub requests_max: u32,
    /// The most connections; more wait to be accepted. By default 1,024.
    pub connections_max: u32,
    /// The CPU time of a handler. By default it is not limited.
    pub request_cpu: Option<Duration>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            handler_time: Duration::from_secs(60),
            client_time: Duration::from_secs(30),
            requests_max: 256,
            connections_max: 1024,
            request_cpu: None,
        }
    }
}

/// What all connections of a system share.
struct Server {
    kernel: Arc<Kernel>,
    system: Arc<System>,
    module: Arc<Module>,
    config: ServeConfig,
    /// The places for requests and for connections.
    requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

impl Runtime {
    /// Starts a system that answers HTTP requests: for each, a process runs the handler of the component `module`.
    /// `config` describes the rights and limits of these processes; its entry is not used. Returns immediately.
    ///
    /// # Errors
    ///
    /// [`StartError::NoHandler`] if the module does not export `wasi:http/incoming-handler`; otherwise as for
    /// [`start`](Self::start), or if the listener cannot be used.
    pub fn serve(
        &self,
        module: &Arc<Module>,
        config: SystemConfig,
        serve: ServeConfig,
        listener: TcpListener,
    ) -> anyhow::Result<RunningSystem> {
        if !module.handles_requests() {
            return Err(StartError::NoHandler.into());
        }
        let (kernel, io) = (&self.kernel, &self.kernel.host.io);
        let keeper = Module::load_own(&kernel.host, KEEPER.as_bytes())?;
        let config = SystemConfig {
            entry: "_start".into(),
            expects_messages: true,
            ..config
        };
        let running = self.start(&keeper, config)?;
        let system = running.parts().1.clone();
        listener.set_nonblocking(true).context("the listener cannot be used")?;
        let entered = io.enter();
        let listener = tokio::net::TcpListener::from_std(listener).context("the listener cannot be used")?;
        drop(entered);
        let (phase, phases) = watch::channel(Phase::Open);
        let door = system.data.states.get_or_insert_with(|| Door(phase));
        let server = Server {
            kernel: kernel.clone(),
            system: system.clone(),
            module: module.clone(),
            requests: Arc::new(Semaphore::new(serve.requests_max as usize)),
            connections: Arc::new(Semaphore::new(serve.connections_max as usize)),
            config: serve,
            phase: phases,
        };
        io.spawn(accept::accept(Arc::new(server), listener));
        io.spawn(async move {
            poll_fn(|context| system.poll_ended(context)).await;
            door.advance(Phase::Over);
        });
        Ok(running)
    }
}
