//! The network of Lunatic's processes: sockets that processes can wait for and hand over to each other.
//!
//! This crate may know the kernel, but neither WebAssembly nor rights. Except for [`process`], it does not know
//! processes either: what waits for a socket is a [`Waiter`](readiness::Waiter), and what owns one is an [`Owner`].
//!
//! Invariants:
//!
//! - **No operation waits.** It returns `WouldBlock`, and its caller leaves a waiter.
//! - **No event is missed**: the known state of a socket is cleared before an attempt, never after it.
//! - **A socket has one owner**, and closes with it.
//!
//! | module | purpose |
//! |---|---|
//! | [`socket`] | a socket of any kind: operations that never wait |
//! | [`readiness`] | the known state of a socket's two directions, and their waiters |
//! | [`reactor`] | asks the operating system which sockets have become ready, and wakes waiters |
//! | [`tcp`], [`unix`], [`udp`] | make sockets of these kinds |
//! | [`tls`] | TLS streams and their configurations |
//! | [`resolve`] | look-ups of host names |
//! | [`process`] | processes of the kernel as owners |
//! | [`handles`] | ownership of sockets, and handing over |
//! | [`cost`] | what the host and the operating system keep for a socket, in bytes |
//! | [`errno`] | errors of the operating system as WASI's numbers |
//!
//! A [`Socket`](socket::Socket) knows neither guests nor handles. Its owner calls an operation; if that returns
//! `WouldBlock`, the owner leaves a waiter, and tries again when it is woken.

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

/// The network of a runtime. `W` owns sockets and waits for them.
pub struct Net<W: Owner> {
    pub reactor: Arc<Reactor<W>>,
    pub handles: Handles<W>,
    pub resolver: Resolver,
    pub tls_configs: Table<Arc<tls::config::Config>>,
    pub tls_keys: Keys,
}

/// The most TLS configurations at a time.
const TLS_CONFIGS_MAX: u32 = 1 << 16;

impl<W: Owner> Net<W> {
    /// Makes a network; `keys` makes the secrets of handles.
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
