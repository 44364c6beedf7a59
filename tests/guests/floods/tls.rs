//! TLS. The test passes certificates and keys as environment variables.

use std::io::{Read, Write};
use std::time::Duration;

use lunatic::net::tls::{TlsAcceptor, TlsClient, TlsServer};
use lunatic::net::{TcpListener, TcpStream, TlsStream};
use lunatic::{Channel, Process, ProcessConfig};

use crate::{listener, pair};

/// What the sandbox may use of memory.
const MEMORY: u64 = 64 << 20;

fn pem(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn acceptor() -> TlsAcceptor {
    let server = TlsServer::new().certificate(&pem("CERTIFICATE"), &pem("KEY"));
    server.build().unwrap()
}

/// A connection whose both sides are well.
fn shakes_hands(acceptor: TlsAcceptor) {
    let (tcp, peer) = pair();
    let child = Process::spawn_with(peer, move |peer: TcpStream| {
        acceptor.accept(peer).unwrap().write_all(b"well").unwrap();
    });
    let client = TlsClient::new().root(&pem("CERTIFICATE")).build().unwrap();
    let mut text = String::new();
    client
        .connect("localhost", tcp)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "well");
    child.unwrap().join();
}

/// Clients that send a part of a handshake, or garbage, and wait. Each of them costs memory, which the sandbox runs out of.
pub(crate) fn half_open_handshakes() {
    let acceptor = acceptor();
    let (listener, address) = listener();
    let usage = Channel::<u64>::new(0);
    let config = ProcessConfig::inherit().tree_memory(MEMORY);
    let sandbox = move |listener: TcpListener| {
        // Room for all of them, as there is none later.
        let mut clients = Vec::with_capacity(2000);
        // Of one that could not be served nothing is left.
        while let Ok(mut client) = TcpStream::connect(address) {
            // The head of a record with a handshake of 64 KiB; the rest of it does not come.
            client.write_all(&[0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff]).unwrap();
            client.write_all(&[3; 8000]).unwrap();
            clients.push(client);
            let Ok((peer, _)) = TcpListener::accept(&listener) else {
                break;
            };
            if Process::spawn_with(peer, move |peer: TcpStream| drop(acceptor.accept(peer))).is_err() {
                break;
            }
            lunatic::yield_now();
            usage.send(lunatic::this_process().usage().unwrap().memory);
        }
        usage.send(0);
        lunatic::sleep(Duration::MAX);
    };
    let sandbox = Process::builder()
        .config(&config)
        .spawn_with(listener, sandbox)
        .unwrap();
    let mut count = 0;
    loop {
        match usage.receive() {
            0 => break,
            memory => assert!(memory <= MEMORY, "{memory}"),
        }
        count += 1;
    }
    assert!((50..1000).contains(&count), "{count} were begun");
    for _ in 0..5 {
        shakes_hands(acceptor);
    }
    sandbox.kill();
    sandbox.join();
    shakes_hands(acceptor);
}

/// Configurations are paid for until the last connection that was made with one is gone.
pub(crate) fn configurations() {
    let used = || lunatic::this_process().usage().unwrap().memory;
    let config = ProcessConfig::inherit().tree_memory(MEMORY);
    let child = Process::builder().config(&config).spawn(move || {
        let roots = || pem("CERTIFICATE").repeat(500);
        // A chain that comes in many pieces.
        let chain = pem("CERTIFICATE").repeat(60);
        let acceptor = TlsServer::new().certificate(&chain, &pem("KEY")).build().unwrap();
        let (tcp, peer) = pair();
        let server = Process::spawn_with(peer, move |peer: TcpStream| {
            let mut stream = acceptor.accept(peer).unwrap();
            let _ = stream.read(&mut [0]);
        });
        let before = used();
        let streams = Channel::<TlsStream>::new(0);
        let maker = Process::spawn_with(tcp, move |tcp: TcpStream| {
            let client = TlsClient::new().root(&roots()).build().unwrap();
            streams.send(client.connect("localhost", tcp).unwrap());
        });
        maker.unwrap().join();
        let stream = streams.receive();
        // The process that made it has ended.
        let with = used() - before;
        drop(stream);
        server.unwrap().join();
        let without = used().saturating_sub(before);
        assert!(with - without > 4 * roots().len() as u64, "{with}, and then {without}");
        let mut count = 0;
        let error = loop {
            match TlsClient::new().root(&roots()).build() {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::QuotaExceeded);
        assert!((5..1000).contains(&count), "{count}");
    });
    assert_eq!(child.unwrap().join(), lunatic::ExitReason::Normal);
}
