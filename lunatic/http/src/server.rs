//! Servers: a process accepts, and each connection is a process.

mod acceptor;
mod drain;
mod orders;
mod stream;

use std::io;
use std::time::Duration;

use lunatic::Channel;
use lunatic::net::tls::TlsAcceptor;
use lunatic::net::{SocketAddr, TcpListener, ToSocketAddrs};
use orders::Order;
use serde::{Deserialize, Serialize};
pub use stream::Stream;

use crate::limits::Limits;
use crate::request::Request;
use crate::response::Response;
use crate::router::Handler;

/// A server that is bound to an address, and has not begun.
///
/// # Examples
///
/// ```no_run
/// use lunatic_http::Server;
///
/// # fn main() -> std::io::Result<()> {
/// Server::bind("127.0.0.1:8080")?.serve(|_| "Hello!\n")
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    orders: Channel<Order>,
}

impl Server {
    /// Listens on an address; port 0 takes one that is free. Needs the right to (`--allow-net bind:…`).
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::bind`].
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::from(TcpListener::bind(address)?))
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same over TLS. Certificates can be replaced while it serves: [`TlsAcceptor::reload`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic::net::tls::TlsServer;
    /// use lunatic_http::Server;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let certificate = std::fs::read_to_string("/certificates/certificate.pem")?;
    /// let key = std::fs::read_to_string("/certificates/key.pem")?;
    /// let tls = TlsServer::new().certificate(&certificate, &key).alpn("http/1.1").build()?;
    /// Server::bind("127.0.0.1:8443")?.with_tls(tls).serve(|_| "Hello!\n")
    /// # }
    /// ```
    #[must_use]
    pub fn with_tls(mut self, tls: TlsAcceptor) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// Those of [`TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A handle to end it by, for a handler or another process.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { orders: self.orders }
    }

    /// Serves until it is [drained](ServerHandle::drain). A process accepts, and each connection is a process that calls
    /// `handler` for one request after the other. What a handler panics with ends its connection, and nobody else's.
    ///
    /// An exit signal [`Shutdown`](lunatic::ExitReason::Shutdown) drains it too: from the supervisor of the calling process, or
    /// when the whole program is stopped (Ctrl-C, SIGTERM). It waits for requests in flight for as long as whoever stops it
    /// does. While it serves, signals are taken out of the mailbox; a process that traps exits keeps them, and drains the
    /// server by its handle.
    ///
    /// # Errors
    ///
    /// What keeps it from accepting for good, such as a right that is missing, or that no process can be spawned.
    pub fn serve(self, handler: impl Handler) -> io::Result<()> {
        let Self {
            listener,
            limits,
            tls,
            orders,
        } = self;
        let group = drain::Group::new();
        let acceptor = acceptor::spawn(listener, acceptor::Settings { limits, tls, group }, handler, orders)?;
        match orders::wait(orders) {
            Order::Drain(patience) => {
                drain::drain(acceptor, group, patience);
                Ok(())
            }
            Order::Failed(why) => Err(io::Error::other(why)),
        }
    }
}

/// A handler that is made anew for each request, by a function or a closure that captures nothing: so a [`Router`](crate::Router)
/// whose server can go on in another [version](lunatic::code) of the program, which makes the router that it has. A handler that
/// is itself such a function needs no more than its name.
///
/// Use a function rather than a closure. Another version finds it by its name, and a closure has only a number within the function
/// that it is in: if one is added before it, the connections of one server may go on with the handler of another.
///
/// # Examples
///
/// ```no_run
/// use lunatic_http::{Handler, Made, Router, Server};
///
/// fn app() -> impl Handler {
///     Router::new().get("/", |_| "home").get("/about", |_| "made by processes")
/// }
///
/// # fn main() -> std::io::Result<()> {
/// Server::bind("127.0.0.1:8080")?.serve(Made(app))
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Made<M>(pub M);

impl<M, H> Handler for Made<M>
where
    M: Fn() -> H + Copy + Send + 'static,
    H: Handler,
{
    fn handle(&self, request: Request) -> Response {
        (self.0)().handle(request)
    }
}

impl From<TcpListener> for Server {
    fn from(listener: TcpListener) -> Self {
        Self {
            listener,
            limits: Limits::default(),
            tls: None,
            orders: Channel::new(0),
        }
    }
}

/// Ends a server: see [`Server::handle`]. Can be captured and sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ServerHandle {
    orders: Channel<Order>,
}

impl ServerHandle {
    /// Tells the server to end gracefully: it accepts no more connections, closes those that are idle, and answers the
    /// requests in flight with `Connection: close`. After `patience` it closes what is left. Then [`Server::serve`]
    /// returns. Does not wait; nothing happens if it has ended already.
    pub fn drain(&self, patience: Duration) {
        let _ = self.orders.try_send(Order::Drain(patience));
    }
}
