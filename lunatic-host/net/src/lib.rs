//! The network of Lunatic's processes: sockets that a process may wait for, and that can be handed to another process.
//!
//! This crate may know the kernel, but neither WebAssembly nor rights. But for [`process`], it knows no processes either: who
//! waits for a socket is a [`Waiter`](readiness::Waiter), who has one an [`Owner`].
//!
//! Invariants:
//!
//! - **No operation waits.** It says `WouldBlock`, and who called it leaves a waiter.
//! - **No event is missed**: what is known of a socket is cleared before an attempt, never after one.
//! - **A socket has one owner**, and closes with it.
//!
//! | module | what it is about |
//! |---|---|
//! | [`socket`] | one socket of whatever kind: operations that never wait |
//! | [`readiness`] | what is known of a socket's two directions, and who waits for them |
//! | [`reactor`] | asks the kernel which sockets have become ready, and wakes who waits |
//! | [`tcp`], [`unix`], [`udp`] | how sockets of these kinds are made |
//! | [`tls`] | streams of TLS, and what they are configured with |
//! | [`resolve`] | names of hosts |
//! | [`process`] | processes of the kernel as owners |
//! | [`handles`] | which process has which socket, and handing over |
//! | [`cost`] | what the host and the system keep for a socket, in bytes |
//! | [`errno`] | errors of the system as numbers of WASI |
//!
//! A [`Socket`](socket::Socket) knows neither guests nor handles: whoever has it calls an operation, and if that says
//! `WouldBlock`, leaves a waiter and tries again when it is woken.

pub mod cost;
pub mod errno;
pub mod handles;
pub mod process;
pub mod reactor;
pub mod readiness;
pub mod resolve;
pub mod socket;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod unix;

use std::io;
use std::sync::Arc;

use lunatic_kernel::address::Keys;
use lunatic_kernel::table::Table;

use self::handles::{Handles, Owner};
use self::reactor::Reactor;
use self::resolve::Resolver;

/// What a runtime has of the network. `W` is who owns sockets and waits for them: the network knows no processes.
pub struct Net<W: Owner> {
    pub reactor: Arc<Reactor<W>>,
    pub handles: Handles<W>,
    pub resolver: Resolver,
    pub tls_configs: Table<Arc<tls::config::Config>>,
    pub tls_keys: Keys,
}

/// The most configurations of TLS at once.
const TLS_CONFIGS_MAX: u32 = 1 << 16;

impl<W: Owner> Net<W> {
    /// `keys` makes the secrets of handles.
    pub fn new(mut keys: impl FnMut() -> Keys) -> io::Result<Self> {
        Ok(Self {
            reactor: Arc::new(Reactor::new()?),
            handles: Handles::new(keys()),
            resolver: Resolver::default(),
            tls_configs: Table::new(TLS_CONFIGS_MAX),
            tls_keys: keys(),
        })
    }
}
