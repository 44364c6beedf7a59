//! What a stream of TLS holds of the host's memory, whatever the peer does: never more than is charged for it.
//!
//! The tests count what their own threads allocate and have not freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use lunatic_net::readiness::Direction;
use lunatic_net::socket::Socket;
use lunatic_net::tls;
use lunatic_net::tls::{HELD_MAX, Handshake};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

mod peers;

use peers::{connect, identity, key, read, shake_hands, until};

thread_local!(static HELD: Cell<isize> = const { Cell::new(0) });

/// The system's allocator, which counts.
struct Counting;

fn count(bytes: isize) {
    // A thread that ends counts no more.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: the system's allocator does the work; the count is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller promises the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller promises the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> isize {
    HELD.with(Cell::get)
}

/// A server of rustls whose chain is about as long as a client takes one.
fn long_server(own: &CertifiedKey<KeyPair>) -> ServerConnection {
    let certificate = own.cert.der().clone();
    let many = 56_000 / (certificate.len() + 5);
    let chain: Vec<CertificateDer<'static>> = std::iter::repeat_n(certificate, many).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key(own)).unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

fn client(own: &CertifiedKey<KeyPair>) -> ClientConnection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

/// Shakes hands, sends for as long as the other side takes it, and reads nothing.
fn talks_and_does_not_listen(mut connection: Connection, mut tcp: TcpStream) {
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).unwrap();
    }
    tcp.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    loop {
        connection.writer().write_all(&[7; 16_384]).unwrap();
        while connection.wants_write() {
            if connection.write_tls(&mut tcp).is_err() {
                // Until the other side has gone.
                let _ = tcp.set_read_timeout(None);
                while tcp.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
                return;
            }
        }
    }
}

#[test]
fn a_client_holds_no_more_than_is_charged_for_it() {
    let own = identity();
    let config = read(&format!("client\0root={}\0", own.cert.pem()));
    let server = long_server(&own);
    let (reactor, tcp, peer) = connect(move |stream| talks_and_does_not_listen(server.into(), stream));
    let before = held();
    let socket = tls::wrap(&reactor, tcp, config.connection(Some("localhost")).unwrap()).unwrap();
    shake_hands(&socket).unwrap();
    holds_at_most_what_it_costs(&socket, before);
    drop(socket);
    peer.join().unwrap();
}

#[test]
fn a_server_holds_no_more_than_is_charged_for_it() {
    let own = identity();
    let pem = (own.cert.pem(), own.signing_key.serialize_pem());
    let config = read(&format!("server\0certificate={}\0key={}\0", pem.0, pem.1));
    let client = client(&own);
    let (reactor, tcp, peer) = connect(move |stream| talks_and_does_not_listen(client.into(), stream));
    let before = held();
    let socket = tls::wrap(&reactor, tcp, config.connection(None).unwrap()).unwrap();
    shake_hands(&socket).unwrap();
    holds_at_most_what_it_costs(&socket, before);
    drop(socket);
    peer.join().unwrap();
}

/// Reads a little now and then, so that all buffers are full, and writes until there is no room.
fn holds_at_most_what_it_costs(socket: &Socket<()>, before: isize) {
    let mut most = held() - before;
    let bytes = vec![7; 1 << 20];
    // What the peer has not read fills the system's buffers first.
    loop {
        until(|| socket.try_read(&mut [0; 100])).unwrap();
        most = most.max(held() - before - bytes.len() as isize);
        match socket.try_write(&bytes) {
            Ok(_) => {}
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    println!("{most} bytes of {HELD_MAX}");
    assert!(most > 16 << 10 && most <= HELD_MAX as isize, "{most}");
}

/// A message of a handshake, 64 KiB long, a byte in each record: as much as is kept of one that is not complete.
#[test]
fn a_handshake_byte_by_byte_holds_no_more_than_is_charged_for_it() {
    let own = identity();
    let pem = (own.cert.pem(), own.signing_key.serialize_pem());
    let config = read(&format!("server\0certificate={}\0key={}\0", pem.0, pem.1));
    let (reactor, tcp, peer) = connect(|mut stream| {
        let message = [&[1, 0, 0xff, 0xff][..], &[3; 65_000]].concat();
        let records: Vec<u8> = message.iter().flat_map(|byte| [0x16, 3, 1, 0, 1, *byte]).collect();
        // It may be turned away before all has been sent.
        let _ = stream.write_all(&records);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    });
    let before = held();
    let begun = std::time::Instant::now();
    let socket = tls::wrap(&reactor, tcp, config.connection(None).unwrap()).unwrap();
    let mut most = 0;
    let ended = until(|| {
        let step = socket.tls().unwrap().try_handshake();
        most = most.max(held() - before);
        match step? {
            Handshake::Done => Ok(()),
            Handshake::Waits(Direction::Read | Direction::Write) => Err(ErrorKind::WouldBlock.into()),
        }
    });
    assert!(ended.is_err());
    println!("{most} bytes of {HELD_MAX}, {:?}", begun.elapsed());
    assert!(most > 1 << 10 && most <= HELD_MAX as isize, "{most}");
    drop(socket);
    peer.join().unwrap();
}
