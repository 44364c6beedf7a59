//! TCP, UDP, DNS, TLS.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lunatic::net::{resolve, TcpListener, TcpStream, TlsListener, TlsStream, UdpSocket};
use lunatic::{spawn_link, Mailbox, Process};

/// A server that sends each line back, with a process for each connection.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // SAFETY: nothing but the address of the child's listener is sent to this process before it is received below.
    let this = unsafe { Process::<SocketAddr>::this() };
    Process::spawn_link(this, |parent, _: Mailbox<()>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        parent.send(listener.local_addr().unwrap());
        while let Ok((stream, _)) = listener.accept() {
            Process::spawn_link(stream, |mut stream: TcpStream, _: Mailbox<()>| {
                let mut lines = BufReader::new(stream.clone());
                let mut line = String::new();
                while lines.read_line(&mut line).unwrap() > 0 {
                    stream.write_all(line.as_bytes()).unwrap();
                    line.clear();
                }
            });
        }
    });
    drop(listener);
    // SAFETY: as above.
    let mailbox = unsafe { Mailbox::<SocketAddr>::new() };
    let other = mailbox.receive();
    assert_ne!(address, other);
    other
}

#[lunatic::test]
fn lines_come_back_over_tcp() {
    let server = echo();
    let mut all: Vec<_> = (0..20).map(|_| TcpStream::connect(server).unwrap()).collect();
    for round in 0..5 {
        for (number, stream) in all.iter_mut().enumerate() {
            writeln!(stream, "{number} {round}").unwrap();
        }
        for (number, stream) in all.iter_mut().enumerate() {
            let mut line = String::new();
            BufReader::new(stream.clone()).read_line(&mut line).unwrap();
            assert_eq!(line, format!("{number} {round}\n"));
        }
    }
    assert_eq!(all[0].peer_addr().unwrap(), server);
}

#[lunatic::test]
fn megabytes_pass() {
    let server = echo();
    let mut stream = TcpStream::connect(server).unwrap();
    let text = "x".repeat(999_999) + "\n";
    let writer = stream.clone();
    let sent = text.clone();
    spawn_link!(|writer, sent| {
        writer.write_all(sent.as_bytes()).unwrap();
    });
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == text.as_bytes());
}

#[lunatic::test]
fn a_stream_is_handed_over(mailbox: Mailbox<Vec<u8>>) {
    let mut stream = TcpStream::connect(echo()).unwrap();
    stream.write_all(b"before\n").unwrap();
    let this = mailbox.this();
    let child = Process::spawn_link(this, |this, mailbox: Mailbox<TcpStream>| {
        let mut stream = mailbox.receive();
        let mut bytes = [0; 7];
        stream.read_exact(&mut bytes).unwrap();
        this.send(bytes.to_vec());
    });
    child.send(stream);
    assert_eq!(mailbox.receive(), b"before\n");
}

#[lunatic::test]
fn peeking_takes_nothing_and_timeouts_lose_nothing() {
    let mut stream = TcpStream::connect(echo()).unwrap();
    assert_eq!(stream.read_timeout(), None);
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    stream.set_peek_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(stream.read_timeout(), Some(Duration::from_millis(20)));
    let mut bytes = [0; 5];
    assert_eq!(stream.read(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(stream.peek(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
    stream.set_read_timeout(None).unwrap();
    stream.set_peek_timeout(None).unwrap();
    stream.write_all(b"five\n").unwrap();
    for _ in 0..2 {
        let mut peeked = [0; 5];
        assert!(stream.peek(&mut peeked).unwrap() > 0);
        assert_eq!(peeked[0], b'f');
    }
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"five\n");
}

#[lunatic::test]
fn what_cannot_be_reached_is_an_error_and_no_trap() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(TcpStream::connect(address).is_err());
    assert!(resolve("no-such-host.invalid:80").is_err());
    assert!(resolve("no port").is_err());
    assert!(TcpStream::connect_timeout("192.0.2.1:9", Duration::from_millis(30)).is_err());
    assert!(TcpListener::bind("192.0.2.1:0").is_err());
}

#[lunatic::test]
fn the_end_of_a_stream_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST);
    drop(stream);
    assert_eq!(client.read(&mut [0; 10]).unwrap(), 0);
}

#[lunatic::test]
fn names_are_looked_up() {
    let addresses: Vec<SocketAddr> = resolve("localhost:80").unwrap().collect();
    assert!(!addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    assert_eq!(resolve("[::1]:5").unwrap().next(), Some("[::1]:5".parse().unwrap()));
}

#[lunatic::test]
fn datagrams_come_and_go() {
    let one = UdpSocket::bind("127.0.0.1:0").unwrap();
    let two = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (at_one, at_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    assert!(one.peer_addr().is_err());
    one.send_to(b"hello", at_two).unwrap();
    let mut bytes = [0; 3];
    assert_eq!(two.recv_from(&mut bytes).unwrap(), (3, at_one));
    assert_eq!(&bytes, b"hel");
    one.connect(at_two).unwrap();
    two.connect(at_one).unwrap();
    assert_eq!(one.peer_addr().unwrap(), at_two);
    let clone = one.try_clone().unwrap();
    assert_eq!(clone.send(b"again").unwrap(), 5);
    let mut bytes = [0; 10];
    assert_eq!(two.recv(&mut bytes).unwrap(), 5);
    one.set_ttl(42).unwrap();
    one.set_broadcast(true).unwrap();
    assert_eq!((clone.ttl().unwrap(), clone.broadcast().unwrap()), (42, true));
}

/// A certificate for `localhost` and its key, which a system test of the host leaves in the current folder.
fn identity() -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| std::fs::read(name).unwrap_or_else(|error| panic!("{name} must be there: {error}"));
    (read("certificate.pem"), read("key.pem"))
}

#[lunatic::test]
fn tls_with_a_certificate_of_ones_own(mailbox: Mailbox<u16>) {
    let this = mailbox.this();
    spawn_link!(|this| {
        let (certificate, key) = identity();
        let listener = TlsListener::bind("127.0.0.1:0", certificate, key).unwrap();
        this.send(listener.local_addr().unwrap().port());
        // A client that does not speak TLS does not end the server.
        assert!(listener.accept().is_err());
        let (stream, peer) = listener.accept().unwrap();
        assert!(peer.ip().is_loopback());
        Process::spawn_link(stream, |mut stream: TlsStream, _: Mailbox<()>| {
            let mut lines = BufReader::new(stream.clone());
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 0 {
                stream.write_all(line.as_bytes()).unwrap();
                line.clear();
            }
        });
    });
    let port = mailbox.receive();
    let mut plain = TcpStream::connect((IpAddr::from(Ipv4Addr::LOCALHOST), port)).unwrap();
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _ = plain.read(&mut [0; 100]);
    let (certificate, _) = identity();
    let mut stream = TlsStream::connect_with_certs("localhost", port.into(), vec![certificate]).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::TimedOut);
    stream.set_read_timeout(None).unwrap();
    let text = "secret ".repeat(30_000) + "\n";
    let writer = stream.clone();
    let sent = text.clone();
    spawn_link!(|writer, sent| writer.write_all(sent.as_bytes()).unwrap());
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == text.as_bytes());
}

#[lunatic::test]
fn a_server_that_nobody_vouches_for_is_refused(mailbox: Mailbox<u16>) {
    let this = mailbox.this();
    spawn_link!(|this| {
        let (certificate, key) = identity();
        let listener = TlsListener::bind("127.0.0.1:0", certificate, key).unwrap();
        this.send(listener.local_addr().unwrap().port());
        let _ = listener.accept();
    });
    assert!(TlsStream::connect("localhost", mailbox.receive().into()).is_err());
}
