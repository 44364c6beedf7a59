//! The network: sockets that a process may wait for, and that can be handed to another process.
//!
//! | module | what it is about |
//! |---|---|
//! | [`socket`] | one socket of whatever kind: operations that never wait |
//! | [`readiness`] | what is known of a socket's two directions, and who waits for them |
//! | [`reactor`] | asks the kernel which sockets have become ready, and wakes who waits |
//! | [`tcp`], [`unix`], [`udp`] | how sockets of these kinds are made |
//! | [`tls`] | streams of TLS, and what they are configured with |
//! | [`resolve`] | names of hosts |
//! | [`handles`] | which process has which socket, and handing over |
//! | [`errno`] | errors of the system as numbers of WASI |
//!
//! A [`Socket`](socket::Socket) knows neither guests nor handles: whoever has it calls an operation, and if that says
//! `WouldBlock`, leaves a waiter and tries again when it is woken (`imports/net/wait.rs`).

pub(crate) mod errno;
pub(crate) mod handles;
pub(crate) mod reactor;
pub(crate) mod readiness;
pub(crate) mod resolve;
pub(crate) mod socket;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod udp;
pub(crate) mod unix;

use std::io;
use std::sync::Arc;

use self::handles::Handles;
use self::reactor::Reactor;
use self::resolve::Resolver;
use crate::process::id::Keys;
use crate::process::table::Table;

/// What a runtime has of the network.
pub(crate) struct Net {
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) handles: Handles,
    pub(crate) resolver: Resolver,
    pub(crate) tls_configs: Table<Arc<tls::config::Config>>,
    pub(crate) tls_keys: Keys,
}

/// The most configurations of TLS at once.
const TLS_CONFIGS_MAX: u32 = 1 << 16;

impl Net {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            reactor: Arc::new(Reactor::new()?),
            handles: Handles::new(),
            resolver: Resolver::default(),
            tls_configs: Table::new(TLS_CONFIGS_MAX),
            tls_keys: Keys::new(),
        })
    }
}
