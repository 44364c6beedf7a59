//! Guests that were built for Lunatic 0.13 and 0.14 (`lunatic` on crates.io), unchanged.
//!
//! Their processes are processes like all others; this module has what their interface needs besides: the functions
//! ([`imports`]), the state that they keep for a process between calls ([`State`]), and what processes of one program
//! share ([`environment`]). `docs/internals/compatibility.md` says how the two interfaces fit together.
//!
//! | module | what it is about |
//! |---|---|
//! | [`imports`] | the functions, one file a namespace |
//! | [`environment`] | names and the processes that see each other |
//! | [`message`], [`inbox`] | messages with what they carry, and where they wait |
//! | [`resources`] | tables of what a process refers to by number |
//! | [`metrics`] | numbers that guests keep about themselves |
//! | `sqlite` | databases, if the feature of this name is on |
//! | [`sockets`] | what sockets have besides |
//! | [`certificates`] | what a control server hands out |
//! | [`config`] | what a spawn asks for, as rights |

mod certificates;
pub(crate) mod config;
pub(crate) mod environment;
mod imports;
pub(crate) mod inbox;
pub(crate) mod message;
pub(crate) mod metrics;
mod resources;
mod sockets;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::config::Config;
use self::environment::Nodes;
use self::message::Letter;
use self::resources::Resources;
use self::sockets::Open;
use crate::module::Module;

pub(crate) use self::imports::linker;

/// The code for a time that has passed.
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
    /// With so many timers, those that have fired are forgotten.
    purge_timers_at: usize,
    lookups: Resources<Nodes>,
    #[cfg(feature = "sqlite")]
    databases: sqlite::Databases,
    sockets: Sockets,
    /// Calls of `trap::catch` that are in each other now.
    catches: u32,
}

/// The sockets of a process.
#[derive(Default)]
struct Sockets {
    addresses: Resources<VecDeque<SocketAddr>>,
    /// The names that addresses were looked up by.
    names: HashMap<IpAddr, Arc<str>>,
    tcp_listeners: Resources<Arc<Open>>,
    tcp_streams: Resources<Arc<Open>>,
    tls_listeners: Resources<Arc<TlsListener>>,
    tls_streams: Resources<Arc<Open>>,
    udp_sockets: Resources<Arc<Open>>,
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

/// A socket that listens for connections of TLS.
struct TlsListener {
    open: Arc<Open>,
    config: crate::net::tls::config::Config,
}

/// A message that is on its way.
struct Timer {
    number: u64,
    /// Gone once it has been sent or dropped.
    parcel: Weak<Mutex<Option<Letter>>>,
}
