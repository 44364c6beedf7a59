//! TLS. The test passes certificates and keys as environment variables.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use lunatic::net::tls::{TlsAcceptor, TlsClient, TlsServer};
use lunatic::net::{Shutdown, TcpStream, TlsStream};
use lunatic::{Channel, ExitReason, Process};

use crate::{kind, pair};

fn pem(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn server() -> TlsServer {
    TlsServer::new().certificate(&pem("CERTIFICATE"), &pem("KEY"))
}

fn client() -> TlsClient {
    TlsClient::new().root(&pem("ROOT"))
}

/// Two ends of a TLS connection to `localhost`, or why the client or the server gave up.
fn shake_hands(client: TlsClient, acceptor: TlsAcceptor) -> Result<(TlsStream, TlsStream), [io::Error; 2]> {
    let (tcp, peer) = pair();
    let streams = Channel::<Result<TlsStream, (String, bool)>>::new(0);
    Process::spawn_with(peer, move |peer: TcpStream| {
        let accepted = acceptor.accept(peer);
        streams.send(accepted.map_err(|error| (error.to_string(), error.kind() == ErrorKind::InvalidData)));
    })
    .unwrap();
    let connected = client.build().unwrap().connect("localhost", tcp);
    let failed = |(text, invalid)| {
        let kind = if invalid {
            ErrorKind::InvalidData
        } else {
            ErrorKind::Other
        };
        io::Error::new(kind, text)
    };
    match (connected, streams.receive().map_err(failed)) {
        (Ok(client), Ok(server)) => Ok((client, server)),
        (client, server) => {
            let fine = || io::Error::other("fine");
            Err([client.err().unwrap_or_else(fine), server.err().unwrap_or_else(fine)])
        }
    }
}

fn echo_tls(mut stream: TlsStream) {
    let mut bytes = vec![0; 50_000];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..len]).unwrap();
    }
}

pub(crate) fn tls_both_ways() {
    let acceptor = server().build().unwrap();
    let (mut client, server) = shake_hands(client(), acceptor).unwrap();
    assert_eq!(server.server_name().unwrap().as_deref(), Some("localhost"));
    assert_eq!(client.server_name().unwrap(), None);
    assert_eq!(client.peer_certificates().unwrap().len(), 1);
    assert!(server.peer_certificates().unwrap().is_empty());
    Process::spawn_with(server, echo_tls).unwrap();
    let large: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for text in [&b"a"[..], b"some bytes", &large] {
        client.write_all(text).unwrap();
        let mut back = vec![0; text.len()];
        client.read_exact(&mut back).unwrap();
        assert!(back == text);
    }
}

pub(crate) fn tls_agrees_on_a_protocol() {
    let acceptor = server().alpn("h2").alpn("http/1.1").build().unwrap();
    let (one, other) = shake_hands(client().alpn("http/1.1"), acceptor).unwrap();
    for stream in [one, other] {
        assert_eq!(stream.alpn().unwrap().as_deref(), Some("http/1.1"));
    }
    let (one, _) = shake_hands(client(), acceptor).unwrap();
    assert_eq!(one.alpn().unwrap(), None);
    assert!(shake_hands(client().alpn("gopher"), acceptor).is_err());
}

pub(crate) fn tls_picks_a_certificate_by_name() {
    let other = TlsServer::new()
        .certificate(&pem("OTHER_CERTIFICATE"), &pem("OTHER_KEY"))
        .certificate(&pem("CERTIFICATE"), &pem("KEY"));
    let acceptor = other.build().unwrap();
    for (name, works) in [("localhost", true), ("other.example", true), ("third.example", false)] {
        let (tcp, peer) = pair();
        Process::spawn_with(peer, move |peer: TcpStream| drop(acceptor.accept(peer))).unwrap();
        let connected = client()
            .root(&pem("OTHER_CERTIFICATE"))
            .build()
            .unwrap()
            .connect(name, tcp);
        assert_eq!(connected.is_ok(), works, "{name}: {connected:?}");
    }
}

pub(crate) fn tls_trusts_nobody_else() {
    let acceptor = server().build().unwrap();
    let stranger = TlsClient::new().root(&pem("OTHER_CERTIFICATE"));
    let [client_error, server_error] = shake_hands(stranger, acceptor).unwrap_err();
    assert_eq!(client_error.kind(), ErrorKind::InvalidData);
    assert!(client_error.to_string().contains("certificate"), "{client_error}");
    assert_eq!(server_error.kind(), ErrorKind::InvalidData);
    assert_eq!(kind(TlsClient::new().root("nonsense").build()), ErrorKind::InvalidInput);
    assert_eq!(kind(TlsServer::new().build()), ErrorKind::InvalidInput);
    assert_eq!(kind(server().alpn("a\0b").build()), ErrorKind::InvalidInput);
    let (tcp, _peer) = pair();
    assert_eq!(
        kind(client().build().unwrap().connect("", tcp)),
        ErrorKind::InvalidInput
    );
}

pub(crate) fn tls_client_certificates() {
    let asks = || server().client_root(&pem("OTHER_CERTIFICATE"));
    let shows = || client().certificate(&pem("OTHER_CERTIFICATE"), &pem("OTHER_KEY"));
    let acceptor = asks().build().unwrap();
    let (_client, server) = shake_hands(shows(), acceptor).unwrap();
    assert_eq!(server.peer_certificates().unwrap().len(), 1);
    // The client may believe that all is well before the server has looked.
    match shake_hands(client(), acceptor) {
        Err([_, server]) => assert_eq!(server.kind(), ErrorKind::InvalidData),
        Ok(_) => panic!("a client without a certificate was taken"),
    }
    let optional = asks().client_certificates_are_optional().build().unwrap();
    let (_client, server) = shake_hands(client(), optional).unwrap();
    assert!(server.peer_certificates().unwrap().is_empty());
}

pub(crate) fn tls_certificates_are_replaced() {
    let acceptor = TlsServer::new()
        .certificate(&pem("OTHER_CERTIFICATE"), &pem("OTHER_KEY"))
        .build()
        .unwrap();
    assert!(shake_hands(client(), acceptor).is_err());
    assert_eq!(kind(acceptor.reload(&TlsServer::new())), ErrorKind::InvalidInput);
    assert!(shake_hands(client(), acceptor).is_err(), "nothing has changed");
    acceptor.reload(&server()).unwrap();
    let (client, mut server) = shake_hands(client(), acceptor).unwrap();
    server.write_all(b"x").unwrap();
    (&client).read_exact(&mut [0]).unwrap();
    // It goes with the process that made it.
    let acceptors = Channel::new(0);
    Process::spawn(move || acceptors.send(self::server().build().unwrap()))
        .unwrap()
        .join();
    let acceptor: TlsAcceptor = acceptors.receive();
    assert_eq!(kind(acceptor.reload(&self::server())), ErrorKind::NotConnected);
}

pub(crate) fn tls_ends_are_told_from_losses() {
    let acceptor = server().build().unwrap();
    let (mut client, mut server) = shake_hands(client(), acceptor).unwrap();
    server.write_all(b"all").unwrap();
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "all");
    let (mut client, server) = shake_hands(self::client(), acceptor).unwrap();
    Process::spawn_with(server, |mut server: TlsStream| {
        server.write_all(b"not all").unwrap();
        panic!("on purpose");
    })
    .unwrap();
    let mut bytes = Vec::new();
    assert_eq!(kind(client.read_to_end(&mut bytes)), ErrorKind::UnexpectedEof);
    assert_eq!(bytes, b"not all");
    // One side ends, the other goes on.
    let (mut client, mut server) = shake_hands(self::client(), acceptor).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    server.write_all(b"still").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
}

pub(crate) fn tls_streams_are_handed_over() {
    let (mut client, server) = shake_hands(client(), server().build().unwrap()).unwrap();
    let streams = Channel::<TlsStream>::new(0);
    streams.send(server);
    Process::spawn(move || echo_tls(streams.receive())).unwrap();
    client.write_all(b"kept").unwrap();
    let mut back = [0; 4];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"kept");
}

pub(crate) fn tls_write_timeouts_lose_nothing() {
    let (mut client, mut server) = shake_hands(client(), server().build().unwrap()).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let block: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    let mut written = 0_usize;
    loop {
        match client.write(&block[written % 256..]) {
            Ok(len) => written += len,
            Err(error) => break assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
    }
    client.set_write_timeout(None).unwrap();
    Process::spawn_with((client, written), |(mut client, written): (TlsStream, usize)| {
        client.write_all(&[written as u8]).unwrap();
    })
    .unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written + 1);
    assert!(all.iter().enumerate().all(|(place, byte)| *byte == place as u8));
}

pub(crate) fn tls_with_what_is_no_tls() {
    let acceptor = server().build().unwrap();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff, 1],
        &[0; 10_000],
        b"",
    ] {
        let (mut tcp, peer) = pair();
        let child = Process::spawn_with(peer, move |peer: TcpStream| drop(acceptor.accept(peer).unwrap_err())).unwrap();
        let _ = tcp.write_all(garbage);
        let _ = tcp.shutdown(Shutdown::Write);
        assert_eq!(child.join(), ExitReason::Normal);
    }
    // A client that says nothing.
    let (_tcp, peer) = pair();
    peer.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(kind(acceptor.accept(peer)), ErrorKind::TimedOut);
}
