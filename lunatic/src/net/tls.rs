//! TLS: encrypted and authenticated connections. The host implements it with rustls, in the versions 1.2 and 1.3.
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
//! If TLS fails, the error is [`InvalidData`](io::ErrorKind::InvalidData): for example, because the certificate of the
//! peer was not signed by a trusted authority, or is for another name. If a peer closes the connection without ending
//! TLS first, the error is [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): the data may be truncated.

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

/// The configuration of a client: the certificates that it trusts, and its own. By default it trusts the roots of the
/// system.
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
    /// Makes a configuration that trusts the roots of the system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these certificates, in PEM, instead of the roots of the system.
    pub fn root(mut self, pem: &str) -> Self {
        self.entries.add("root", pem);
        self.has_roots = true;
        self
    }

    /// Trusts the roots of the system as well.
    pub fn system_roots(mut self) -> Self {
        self.entries.add("system-roots", "");
        self
    }

    /// Presents this certificate to a server that asks for one. `certificate` is the certificate followed by its chain,
    /// in PEM; `key` is its private key.
    pub fn certificate(mut self, certificate: &str, key: &str) -> Self {
        self.entries.identity(certificate, key);
        self
    }

    /// Offers a protocol, such as `h2`. The first one that is offered is preferred.
    pub fn alpn(mut self, protocol: &str) -> Self {
        self.entries.add("alpn", protocol);
        self
    }

    /// Makes a connector, for any number of connections.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the configuration is invalid; its text gives the reason.
    pub fn build(mut self) -> io::Result<TlsConnector> {
        if !self.has_roots {
            self = self.system_roots();
        }
        self.entries.make("client").map(TlsConnector)
    }
}

/// The configuration of a server: its certificates and protocols.
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
    /// Makes a configuration without a certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a certificate, followed by its chain, in PEM, and its private key. If there are several, a client gets the
    /// first one that is valid for the name that it asks for (SNI), or else the very first.
    pub fn certificate(mut self, certificate: &str, key: &str) -> Self {
        self.entries.identity(certificate, key);
        self
    }

    /// Requires clients to present a certificate that is signed by these, in PEM.
    pub fn client_root(mut self, pem: &str) -> Self {
        self.entries.add("root", pem);
        self
    }

    /// Accepts clients without a certificate as well.
    pub fn client_certificates_are_optional(mut self) -> Self {
        self.entries.add("client-optional", "");
        self
    }

    /// Supports a protocol, such as `h2`. The first one that is added is preferred.
    pub fn alpn(mut self, protocol: &str) -> Self {
        self.entries.add("alpn", protocol);
        self
    }

    /// Makes an acceptor, for any number of connections.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the configuration is invalid; its text gives the reason.
    pub fn build(self) -> io::Result<TlsAcceptor> {
        self.entries.make("server").map(TlsAcceptor)
    }
}

/// Entries for the host, each followed by a zero byte.
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

/// Connects with the configuration of a [`TlsClient`]. It is a handle that can be captured and sent, and is valid until
/// the process that made it exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TlsConnector(Config);

impl TlsConnector {
    /// Starts TLS on a connection to the server of this name, and waits until the handshake is complete, no longer than
    /// the read timeout of the connection.
    ///
    /// # Errors
    ///
    /// See the [module](self#errors); and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn connect(&self, server: &str, stream: TcpStream) -> io::Result<TlsStream> {
        if server.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a client must name the server that it connects to",
            ));
        }
        TlsStream::start(stream, self.0, server)
    }
}

/// Accepts with the configuration of a [`TlsServer`]. It is a handle that can be captured and sent, and is valid until
/// the process that made it exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TlsAcceptor(Config);

impl TlsAcceptor {
    /// Starts TLS on a connection, and waits until the handshake is complete, no longer than the read timeout of the
    /// connection. Call this in the process that serves the connection, so that a slow client does not hold up others.
    ///
    /// # Errors
    ///
    /// See the [module](self#errors); and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        TlsStream::start(stream, self.0, "")
    }

    /// Replaces the configuration for future connections, for example to renew certificates. Any process that has the
    /// handle can do this, and it takes effect for all of them. If it fails, nothing changes.
    ///
    /// # Errors
    ///
    /// As for [`TlsServer::build`]; and [`NotConnected`](io::ErrorKind::NotConnected) if the process that made the
    /// acceptor has exited.
    pub fn reload(&self, server: &TlsServer) -> io::Result<()> {
        host::net::tls_replace(self.0.raw(), &server.entries.text("server")?)
    }
}

/// A TLS connection.
///
/// Each write makes at least one TLS record, so collect small pieces before writing.
///
/// Like other sockets, it can be handed over to another process. It cannot be cloned. When it is dropped, the peer is
/// notified that the data is complete; if its process fails, the peer is not, and so can detect that data is missing.
#[derive(Serialize, Deserialize)]
pub struct TlsStream(Socket);

impl TlsStream {
    /// Connects to a host, which must present a certificate for its name that the system trusts.
    ///
    /// # Errors
    ///
    /// As for [`TcpStream::connect`] and [`TlsConnector::connect`].
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
        // The stream is dropped afterwards, which closes its handle; the connection lives on below TLS.
        let handle = host::net::tls_start(stream.0.raw(), config.raw(), server)?;
        Ok(Self(Socket::new(handle)))
    }

    /// Returns the protocol that both sides agreed on (ALPN).
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the stream was handed over.
    pub fn alpn(&self) -> io::Result<Option<String>> {
        let name = host::net::tls_info(self.0.raw(), tls_info::ALPN)?;
        Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    /// Returns the name that the client has asked for (SNI); `None` on the client's side.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the stream was handed over.
    pub fn server_name(&self) -> io::Result<Option<String>> {
        let name = host::net::tls_info(self.0.raw(), tls_info::SERVER_NAME)?;
        Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    /// Returns the certificates that the peer has presented, in DER, its own first.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the stream was handed over.
    pub fn peer_certificates(&self) -> io::Result<Vec<Vec<u8>>> {
        let chain = host::net::tls_info(self.0.raw(), tls_info::PEER_CERTIFICATES)?.unwrap_or_default();
        Ok(certificates::decode(&chain).map(<[u8]>::to_vec).collect())
    }

    /// Shuts down reading, writing or both. After writing was shut down, the peer reads to the end of the stream.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        host::net::shutdown(self.0.raw(), how)
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        host::net::peer_address(self.0.raw())
    }

    /// Returns the local address of the connection.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        host::net::local_address(self.0.raw())
    }

    /// Sets whether small writes are sent immediately (`TCP_NODELAY`), instead of being collected for a moment.
    ///
    /// # Errors
    ///
    /// Errors of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set(option::NODELAY, nodelay)
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        // If the stream was handed over, this process must not end it; if the connection is gone, there is no peer to
        // notify.
        let _ = host::net::shutdown(self.0.raw(), Shutdown::Write);
    }
}

stream!(TlsStream);
