//! TLS: encrypted connections, and who is at their other end. The host does the work, with rustls: versions 1.2 and 1.3.
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! use lunatic::net::TlsStream;
//!
//! let mut stream = TlsStream::connect("example.com:443").unwrap();
//! stream.write_all(b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n").unwrap();
//! let mut page = String::new();
//! stream.read_to_string(&mut page).unwrap();
//! ```
//!
//! # Errors
//!
//! What TLS does not like is [`InvalidData`](io::ErrorKind::InvalidData): a certificate that nobody trusted has signed, or
//! for another name. A peer that closes the connection without ending TLS first is
//! [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): what came may not be all.

use std::fmt;
use std::io;

use lunatic_sys::certificates;
use lunatic_sys::codes::{option, tls_info};
use lunatic_sys::layout::RawHandle;
use serde::{Deserialize, Serialize};

use super::socket::Socket;
use super::stream::stream;
use super::{Shutdown, SocketAddr, Target, TcpStream, ToSocketAddrs};
use crate::host;

/// What a client trusts, and how it shows who it is. By default, the roots that the system trusts.
///
/// # Examples
///
/// ```no_run
/// use lunatic::net::{TcpStream, tls::TlsClient};
///
/// let root = std::fs::read_to_string("/certificates/root.pem").unwrap();
/// let connector = TlsClient::new().root(&root).alpn("h2").build().unwrap();
/// let stream = connector.connect("server", TcpStream::connect("10.0.0.7:443").unwrap()).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing before `build`"]
pub struct TlsClient {
    entries: Entries,
    has_roots: bool,
}

impl TlsClient {
    /// A client that trusts whom the system trusts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these certificates, in PEM, in place of those that the system trusts.
    pub fn root(mut self, pem: &str) -> Self {
        self.entries.add("root", pem);
        self.has_roots = true;
        self
    }

    /// Also trusts whom the system trusts.
    pub fn system_roots(mut self) -> Self {
        self.entries.add("system-roots", "");
        self
    }

    /// Shows this certificate with those that have signed it, in PEM, to a server that asks; and its key.
    pub fn certificate(mut self, certificate: &str, key: &str) -> Self {
        self.entries.identity(certificate, key);
        self
    }

    /// Offers a protocol, such as `h2`; the first one is liked best.
    pub fn alpn(mut self, protocol: &str) -> Self {
        self.entries.add("alpn", protocol);
        self
    }

    /// Makes what connects, for any number of connections.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) says what of the configuration is of no use.
    pub fn build(mut self) -> io::Result<TlsConnector> {
        if !self.has_roots {
            self = self.system_roots();
        }
        self.entries.make("client").map(TlsConnector)
    }
}

/// The certificates and the protocols of a server.
///
/// # Examples
///
/// ```no_run
/// use lunatic::Process;
/// use lunatic::net::{TcpListener, TcpStream, tls::TlsServer};
///
/// let read = |name: &str| std::fs::read_to_string(name).unwrap();
/// let server = TlsServer::new().certificate(&read("/certificates/own.pem"), &read("/certificates/key.pem"));
/// let acceptor = server.build().unwrap();
/// for stream in TcpListener::bind("0.0.0.0:443").unwrap().incoming() {
///     Process::spawn_with(stream.unwrap(), move |stream: TcpStream| {
///         let stream = acceptor.accept(stream).unwrap();
///     })
///     .unwrap();
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing before `build`"]
pub struct TlsServer {
    entries: Entries,
}

impl TlsServer {
    /// A server without a certificate yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A certificate with those that have signed it, in PEM, and its key. Of several, a client gets the first that is good
    /// for the name that it asks for (SNI), else the very first.
    pub fn certificate(mut self, certificate: &str, key: &str) -> Self {
        self.entries.identity(certificate, key);
        self
    }

    /// Asks clients for a certificate that these, in PEM, have signed.
    pub fn client_root(mut self, pem: &str) -> Self {
        self.entries.add("root", pem);
        self
    }

    /// Takes clients without a certificate, too.
    pub fn client_certificates_are_optional(mut self) -> Self {
        self.entries.add("client-optional", "");
        self
    }

    /// Speaks a protocol, such as `h2`; the first one is liked best.
    pub fn alpn(mut self, protocol: &str) -> Self {
        self.entries.add("alpn", protocol);
        self
    }

    /// Makes what accepts, for any number of connections.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) says what of the configuration is of no use.
    pub fn build(self) -> io::Result<TlsAcceptor> {
        self.entries.make("server").map(TlsAcceptor)
    }
}

/// Entries for the host, a zero byte behind each.
#[derive(Clone, Debug, Default)]
struct Entries {
    text: String,
    bad: bool,
}

impl Entries {
    fn add(&mut self, key: &str, value: &str) {
        self.bad |= value.contains('\0');
        self.text += &format!("{key}={value}\0");
    }

    fn identity(&mut self, certificate: &str, key: &str) {
        self.add("certificate", certificate);
        self.add("key", key);
    }

    fn text(&self, side: &str) -> io::Result<String> {
        if self.bad {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is a zero byte in a certificate, key or name",
            ));
        }
        Ok(format!("{side}\0{}", self.text))
    }

    fn make(&self, side: &str) -> io::Result<Config> {
        let RawHandle { id, key } = host::net::tls_config(&self.text(side)?)?;
        Ok(Config { id, key })
    }
}

/// A handle of a configuration that the host keeps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Config {
    id: u64,
    key: u64,
}

impl Config {
    fn raw(self) -> RawHandle {
        RawHandle {
            id: self.id,
            key: self.key,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::process::write_handle(f, self.raw())
    }
}

/// Connects with what a [`TlsClient`] says. A handle: it can be captured and sent, and is good until the process ends that
/// made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TlsConnector(Config);

impl TlsConnector {
    /// Puts TLS on a connection to the server of this name, and waits until both have agreed, no longer than the
    /// connection's read timeout.
    ///
    /// # Errors
    ///
    /// See the [module](self#errors); [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn connect(&self, server: &str, stream: TcpStream) -> io::Result<TlsStream> {
        if server.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a client must say to which server it connects",
            ));
        }
        TlsStream::start(stream, self.0, server)
    }
}

/// Accepts with what a [`TlsServer`] says. A handle: it can be captured and sent, and is good until the process ends that
/// made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TlsAcceptor(Config);

impl TlsAcceptor {
    /// Puts TLS on a connection, and waits until both have agreed, no longer than the connection's read timeout. To be
    /// called by the process that serves the connection: a slow client must not keep others waiting.
    ///
    /// # Errors
    ///
    /// See the [module](self#errors); [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        TlsStream::start(stream, self.0, "")
    }

    /// From now on connections are accepted with what this server says: with new certificates, for one. Who has the handle
    /// can do that, and all who have it see it. If it fails, nothing changes.
    ///
    /// # Errors
    ///
    /// As [`TlsServer::build`]; [`NotConnected`](io::ErrorKind::NotConnected) if the process has ended that made it.
    pub fn reload(&self, server: &TlsServer) -> io::Result<()> {
        host::net::tls_replace(self.0.raw(), &server.entries.text("server")?)
    }
}

/// A TLS connection.
///
/// Each write is at least a record: put small pieces together.
///
/// It can be handed to another process like other sockets. There is no clone of it. When it is dropped, the peer is told
/// that nothing more comes; when its process fails, the peer is not, so that it knows that something is missing.
#[derive(Serialize, Deserialize)]
pub struct TlsStream(Socket);

impl TlsStream {
    /// Connects to a host that shows a certificate for its name which the system trusts.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`] and [`TlsConnector::connect`].
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let name = match address.target()? {
            Target::Host(name, _) => name,
            Target::Addresses(addresses) => match addresses.first() {
                Some(address) => address.ip().to_string(),
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "there is no address to connect to",
                    ));
                }
            },
        };
        TlsClient::new().build()?.connect(&name, TcpStream::connect(address)?)
    }

    fn start(stream: TcpStream, config: Config, server: &str) -> io::Result<Self> {
        // The stream is dropped afterwards: its handle closes, and the connection lives on below TLS.
        let handle = host::net::tls_start(stream.0.raw(), config.raw(), server)?;
        Ok(Self(Socket::new(handle)))
    }

    /// The protocol that both agreed on.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the stream was handed over.
    pub fn alpn(&self) -> io::Result<Option<String>> {
        let name = host::net::tls_info(self.0.raw(), tls_info::ALPN)?;
        Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    /// The name that the client has asked for; only a server gets to know.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the stream was handed over.
    pub fn server_name(&self) -> io::Result<Option<String>> {
        let name = host::net::tls_info(self.0.raw(), tls_info::SERVER_NAME)?;
        Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    /// The certificates that the peer has shown, in DER, its own first.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the stream was handed over.
    pub fn peer_certificates(&self) -> io::Result<Vec<Vec<u8>>> {
        let chain = host::net::tls_info(self.0.raw(), tls_info::PEER_CERTIFICATES)?.unwrap_or_default();
        Ok(certificates::decode(&chain).map(<[u8]>::to_vec).collect())
    }

    /// Ends reading, writing or both. After writing has ended the peer reads to the end.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        host::net::shutdown(self.0.raw(), how)
    }

    /// Who is connected.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        host::net::peer_address(self.0.raw())
    }

    /// This end of the connection.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// Sets whether small pieces are sent at once, and not collected for a moment.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set(option::NODELAY, nodelay)
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        // If it was handed over, it is another's to end; if the connection is gone, there is nobody to tell.
        let _ = host::net::shutdown(self.0.raw(), Shutdown::Write);
    }
}

stream!(TlsStream);
