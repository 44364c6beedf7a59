//! What the tests have in common: a connection with a peer that does what it likes.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use lunatic_kernel::budget::{Budget, Caps, Purse, Receipt, Resource};
use lunatic_net::reactor::Reactor;
use lunatic_net::socket::Socket;
use lunatic_net::tcp;
use lunatic_net::tls::Handshake;
use lunatic_net::tls::config::{Config, cost};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::PrivateKeyDer;

pub(crate) fn identity() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

pub(crate) fn read(text: &str) -> Config {
    let host = Budget::outermost(Caps::default(), std::time::Instant::now());
    let mut receipt = Receipt::new(Purse::new(None, &host).to_account(), Resource::Network);
    receipt.grow(cost(text.as_bytes())).unwrap();
    Config::read(text.as_bytes(), receipt).unwrap()
}

pub(crate) fn key(own: &CertifiedKey<KeyPair>) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into())
}

/// A connection below, whose other side the peer has, in a thread of its own.
pub(crate) fn connect(
    peer: impl FnOnce(TcpStream) + Send + 'static,
) -> (Arc<Reactor<()>>, Arc<Socket<()>>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let reactor = Arc::new(Reactor::new().unwrap());
    let tcp = tcp::connect(&reactor, address).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let thread = std::thread::spawn(move || peer(stream));
    (reactor, tcp, thread)
}

/// Tries until it does not block any more: each attempt is made, as nobody watches the socket.
pub(crate) fn until<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

pub(crate) fn shake_hands(socket: &Socket<()>) -> io::Result<()> {
    until(|| match socket.tls()?.try_handshake()? {
        Handshake::Done => Ok(()),
        Handshake::Waits(_) => Err(ErrorKind::WouldBlock.into()),
    })
}
