//! TCP: data, timeouts, ends of streams, options and errors.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use lunatic::Process;
use lunatic::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use crate::{answers, echo, kind, listener, pair};

pub(crate) fn an_echo_server() {
    let (listener, address) = listener();
    Process::spawn_with(listener, |listener: TcpListener| {
        for stream in listener.incoming() {
            Process::spawn_with(stream.unwrap(), echo).unwrap();
        }
    })
    .unwrap();
    let mut streams: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    for round in 0..50_u32 {
        for (number, stream) in streams.iter_mut().enumerate() {
            answers(stream, format!("{round} {number}").as_bytes());
        }
    }
    answers(&mut streams[0], &vec![7; 200_000]);
}

pub(crate) fn a_read_that_times_out_takes_nothing() {
    let (client, mut server) = pair();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_millis(20)));
    let mut bytes = [0; 8];
    for round in 0..10_u8 {
        let start = Instant::now();
        assert_eq!(kind((&client).read(&mut bytes)), ErrorKind::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(20));
        server.write_all(&[round, round + 1]).unwrap();
        client.set_read_timeout(None).unwrap();
        (&client).read_exact(&mut bytes[..2]).unwrap();
        assert_eq!(bytes[..2], [round, round + 1]);
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    }
    assert_eq!(
        kind(client.set_read_timeout(Some(Duration::ZERO))),
        ErrorKind::InvalidInput
    );
}

pub(crate) fn a_write_that_times_out_says_how_much_was_written() {
    let (mut client, mut server) = pair();
    client.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let block: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    let mut written = 0_usize;
    let error = loop {
        match client.write(&block[written % 256..]) {
            Ok(len) => written += len,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written);
    assert!(all.iter().enumerate().all(|(place, byte)| *byte == place as u8));
}

pub(crate) fn each_side_of_a_stream_ends_by_itself() {
    let (mut client, mut server) = pair();
    client.write_all(b"the end").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the end");
    assert_eq!(server.read(&mut [0; 4]).unwrap(), 0, "the end stays the end");
    server.write_all(b"yes").unwrap();
    drop(server);
    text.clear();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "yes");
    assert_eq!(kind(client.write(b"x")), ErrorKind::BrokenPipe);
    let (mut client, server) = pair();
    server.shutdown(Shutdown::Both).unwrap();
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
}

pub(crate) fn a_reset_is_an_error() {
    let (mut client, server) = pair();
    server.set_reset_on_close(true).unwrap();
    drop(server);
    assert_eq!(kind(client.read(&mut [0; 4])), ErrorKind::ConnectionReset);
    // One that waits.
    let (mut client, server) = pair();
    Process::spawn_with(server, |mut server: TcpStream| {
        server.set_reset_on_close(true).unwrap();
        server.read_exact(&mut [0]).unwrap();
    })
    .unwrap();
    client.write_all(b"x").unwrap();
    assert_eq!(kind(client.read(&mut [0; 4])), ErrorKind::ConnectionReset);
}

pub(crate) fn errors_have_the_kinds_of_std() {
    let (used, address) = listener();
    assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
    let text = TcpListener::bind(address).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot listen at {address}: ")), "{text}");
    drop(used);
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
    let text = TcpStream::connect(address).unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot connect to {address}: ")), "{text}");
    assert_eq!(
        kind(TcpStream::connect_timeout(&address, Duration::from_secs(5))),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(
        kind(TcpStream::connect_timeout(&address, Duration::ZERO)),
        ErrorKind::InvalidInput
    );
    assert_eq!(kind(TcpStream::connect("no address")), ErrorKind::InvalidInput);
    assert_eq!(kind(TcpListener::bind("203.0.113.7:0")), ErrorKind::AddrNotAvailable);
    let (listener, _) = listener_and_timeout();
    assert_eq!(
        kind(listener.accept_timeout(Duration::from_millis(1))),
        ErrorKind::TimedOut
    );
}

fn listener_and_timeout() -> (TcpListener, SocketAddr) {
    listener()
}

pub(crate) fn options() {
    let (client, _server) = pair();
    for on in [true, false, true] {
        client.set_nodelay(on).unwrap();
        assert_eq!(client.nodelay().unwrap(), on);
    }
    client.set_ttl(42).unwrap();
    assert_eq!(client.ttl().unwrap(), 42);
    assert_eq!(client.keepalive().unwrap(), None);
    client.set_keepalive(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(client.keepalive().unwrap(), Some(Duration::from_secs(30)));
    client.set_keepalive(None).unwrap();
    assert_eq!(client.keepalive().unwrap(), None);
    assert!(client.take_error().unwrap().is_none());
    let clone = client.try_clone().unwrap();
    clone.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_secs(3)));
    assert_eq!(clone.nodelay().unwrap(), client.nodelay().unwrap());
}

pub(crate) fn peeking() {
    let (mut client, mut server) = pair();
    server.write_all(b"abc").unwrap();
    let mut bytes = [0; 8];
    for _ in 0..3 {
        assert_eq!(client.peek(&mut bytes).unwrap(), 3);
    }
    assert_eq!(client.read(&mut bytes[..2]).unwrap(), 2);
    assert_eq!(client.peek(&mut bytes).unwrap(), 1);
    assert_eq!(bytes[0], b'c');
    assert_eq!(client.read(&mut bytes).unwrap(), 1);
    drop(server);
    assert_eq!(client.peek(&mut bytes).unwrap(), 0);
}

pub(crate) fn version_six() {
    let listener = match TcpListener::bind("[::1]:0") {
        Ok(listener) => listener,
        // A machine without IPv6.
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return,
        Err(error) => panic!("{error}"),
    };
    let address = listener.local_addr().unwrap();
    assert!(address.is_ipv6());
    let client = TcpStream::connect(address).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    client.set_ttl(7).unwrap();
    assert_eq!(client.ttl().unwrap(), 7);
    (&client).write_all(b"six").unwrap();
    let mut bytes = [0; 3];
    server.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"six");
}

pub(crate) fn a_flood_is_slowed_down() {
    let (client, mut server) = pair();
    const LEN: usize = 20 << 20;
    Process::spawn_with(client, |mut client: TcpStream| {
        client.write_all(&vec![3; LEN]).unwrap();
    })
    .unwrap();
    let (mut len, mut bytes) = (0, vec![0; 10_000]);
    while let Ok(part @ 1..) = server.read(&mut bytes) {
        assert!(bytes[..part].iter().all(|byte| *byte == 3));
        len += part;
        if len % 50 == 0 {
            lunatic::yield_now();
        }
    }
    assert_eq!(len, LEN);
}

/// To be run on a host that freezes whatever waits.
pub(crate) fn many_waits_are_frozen() {
    let (listener, address) = listener();
    Process::spawn_with(listener, |listener: TcpListener| {
        for stream in listener.incoming() {
            Process::spawn_with(stream.unwrap(), echo).unwrap();
        }
    })
    .unwrap();
    let mut streams: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    for round in 0..3_u8 {
        for stream in &mut streams {
            answers(stream, &[round, 1, 2]);
        }
    }
}
