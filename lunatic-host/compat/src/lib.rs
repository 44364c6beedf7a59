//! An extension of the host that runs guests built for Lunatic 0.13 and 0.14 (`lunatic` on crates.io), unchanged.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let runtime = lunatic_host::Runtime::builder().extension(lunatic_compat::Compat).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! Their processes are processes like all others. This crate adds what their interface needs: the functions
//! (`imports`), the state that these keep for a process between calls (`State`), and what the processes of one program
//! share (`environment`). `docs/internals/compatibility.md` explains how the two interfaces fit together.
//!
//! This crate may use the host and everything below it; the host does not know this crate.
//!
//! | module | contents |
//! |---|---|
//! | `imports` | the functions, one file for each namespace |
//! | `interface` | which modules belong to this interface |
//! | `environment` | names, and which processes can access each other |
//! | `message`, `inbox` | messages with their resources, and where they wait |
//! | `links` | how processes are notified of each other's ends |
//! | `resources` | tables of what a process refers to by number |
//! | `metrics` | numbers that guests keep about themselves |
//! | `sqlite` | databases, if the feature of this name is on |
//! | `sockets` | additional state of sockets |
//! | `certificates` | the certificates that a control server hands out |
//! | `config` | the configuration of a spawn, as rights |

mod certificates;
mod config;
mod environment;
mod imports;
mod inbox;
mod interface;
mod links;
mod message;
mod metrics;
mod numbered;
mod resources;
mod sockets;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use lunatic_host::wasm::{Kernel, Process, Socket};
use lunatic_host::{Ctx, Extension, Inherited, Module, SystemSetup};
use lunatic_kernel::budget::Budget;
use lunatic_kernel::post::Parcel;
use lunatic_kernel::relations::Intake;
use lunatic_module::imports::Imports;
use wasmtime::Linker;

use self::config::Config;
use self::environment::{Environment, Nodes};
use self::links::Inbox;
use self::message::Letter;
pub use self::metrics::Metrics;
use self::resources::{Held, Resources};
use self::sockets::Open;

/// The interface of Lunatic 0.13 and 0.14.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compat;

impl Extension for Compat {
    fn name(&self) -> &str {
        "compat"
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
        imports::add(linker)
    }

    fn is_an_interface(&self) -> bool {
        true
    }

    fn replaces(&self, imports: &Imports) -> bool {
        interface::is_ours(imports)
    }

    fn begins(&self, inherited: &mut Inherited) -> Option<Box<dyn Intake>> {
        // An environment begins with the first process of this interface, and all its descendants belong to it.
        if inherited.get::<Environment>().is_none() {
            inherited.set(Arc::new(Environment::default()));
        }
        Some(Box::new(Inbox::default()))
    }

    fn starts_system(&self, setup: &mut SystemSetup<'_>) {
        setup.share_stdin();
    }

    fn name_of(&self, process: &Process) -> Option<String> {
        environment::of(process)?.name_of(process.id)
    }
}

/// Whether a module was built for this interface.
pub fn is_built_for(module: &Module) -> bool {
    interface::is_ours(module.imports())
}

/// The code for a timeout.
const TIMED_OUT: i32 = lunatic_sys::compat::TIMED_OUT;

/// What the host keeps for a process of this interface between its calls.
#[derive(Default)]
pub(crate) struct State {
    /// The message that is being written or read.
    scratch: Option<Letter>,
    errors: Resources<String>,
    configs: Resources<Config>,
    modules: Resources<Arc<Module>>,
    timers: Resources<Timer>,
    /// With this many timers, those that have fired are forgotten.
    purge_timers_at: usize,
    lookups: Resources<Nodes>,
    #[cfg(feature = "sqlite")]
    databases: sqlite::Databases,
    sockets: Sockets,
    /// How deep calls of `trap::catch` are nested now.
    catches: u32,
    /// The kernel, and the budget of the process.
    owner: Option<(Arc<Kernel>, Option<Arc<Budget>>)>,
}

/// Drops the tables aside: one of texts can have 65,536 entries, and dropping these takes milliseconds, in which a
/// worker would run nothing else.
impl Drop for State {
    fn drop(&mut self) {
        let Some((kernel, budget)) = self.owner.take() else {
            return;
        };
        let (errors, configs) = (take(&mut self.errors), take(&mut self.configs));
        let (lookups, addresses) = (take(&mut self.lookups), take(&mut self.sockets.addresses));
        let parts = errors.len() + configs.len() + lookups.len() + addresses.len();
        kernel.drop_aside(parts, budget.as_ref(), (errors, configs, lookups, addresses));
    }
}

/// The sockets of a process.
#[derive(Default)]
struct Sockets {
    addresses: Resources<Addresses>,
    /// The names by which addresses were looked up.
    names: HashMap<IpAddr, Arc<str>>,
    tcp_listeners: Resources<Arc<Open>>,
    tcp_streams: Resources<Arc<Open>>,
    tls_listeners: Resources<Arc<TlsListener>>,
    tls_streams: Resources<Arc<Open>>,
    udp_sockets: Resources<Arc<Open>>,
}

/// Addresses that are read one by one.
struct Addresses(VecDeque<SocketAddr>);

impl Held for Addresses {
    fn held(&self) -> usize {
        self.0.capacity() * size_of::<SocketAddr>()
    }
}

impl Sockets {
    fn count(&self) -> usize {
        let tables = [
            &self.tcp_listeners,
            &self.tcp_streams,
            &self.tls_streams,
            &self.udp_sockets,
        ];
        self.tls_listeners.len() + tables.iter().map(|table| table.len()).sum::<usize>()
    }
}

/// A socket that listens for TLS connections.
struct TlsListener {
    open: Arc<Open>,
    config: lunatic_net::tls::config::Config,
}

impl AsRef<Socket> for TlsListener {
    fn as_ref(&self) -> &Socket {
        &self.open.socket
    }
}

/// A message that will be sent later.
struct Timer {
    number: u64,
    /// Dangling once the message has been sent or dropped.
    parcel: Weak<<Parcel as std::ops::Deref>::Target>,
}

/// The kernel has already charged for the message.
impl Held for Timer {
    fn held(&self) -> usize {
        0
    }
}

impl Held for Nodes {
    fn held(&self) -> usize {
        self.capacity() * size_of::<u64>()
    }
}
