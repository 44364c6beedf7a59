//! Sockets. All of it is on loopback.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use lunatic::net::tls::{TlsAcceptor, TlsClient, TlsServer};
use lunatic::net::{Shutdown, SocketAddr, TcpListener, TcpStream, TlsStream, UdpSocket, UnixListener, UnixStream};
use lunatic::{Channel, ExitReason, Process, ProcessConfig};

lunatic_test_guests::scenarios![
    an_echo_server,
    a_read_that_times_out_takes_nothing,
    a_write_that_times_out_says_how_much_was_written,
    each_side_of_a_stream_ends_by_itself,
    a_reset_is_an_error,
    errors_have_the_kinds_of_std,
    options,
    peeking,
    version_six,
    a_socket_goes_with_a_message,
    a_socket_goes_with_a_spawn,
    a_socket_goes_with_mail,
    a_failed_send_gives_the_socket_back,
    a_socket_that_is_never_received_closes_with_its_receiver,
    sockets_close_with_their_process,
    a_process_that_waits_for_a_socket_can_be_killed,
    several_accept_from_one_listener,
    connections_need_a_right,
    sockets_count_in_a_budget,
    sockets_are_limited,
    a_flood_is_slowed_down,
    many_waits_are_frozen,
    datagrams,
    a_datagram_that_does_not_come_times_out,
    datagrams_need_a_right,
    multicast,
    unix_streams,
    unix_paths_are_in_the_folders_of_the_process,
    names_are_looked_up,
    tls_both_ways,
    tls_agrees_on_a_protocol,
    tls_picks_a_certificate_by_name,
    tls_trusts_nobody_else,
    tls_client_certificates,
    tls_certificates_are_replaced,
    tls_ends_are_told_from_losses,
    tls_streams_are_handed_over,
    tls_write_timeouts_lose_nothing,
    tls_with_what_is_no_tls,
];

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.local_addr().unwrap(), client.peer_addr().unwrap());
    (client, server)
}

fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..len]).unwrap();
    }
}

/// Asserts that a stream answers.
fn answers(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this must not work"),
        Err(error) => error.kind(),
    }
}

fn an_echo_server() {
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

fn a_read_that_times_out_takes_nothing() {
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

fn a_write_that_times_out_says_how_much_was_written() {
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

fn each_side_of_a_stream_ends_by_itself() {
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

fn a_reset_is_an_error() {
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

fn errors_have_the_kinds_of_std() {
    let (used, address) = listener();
    assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
    drop(used);
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
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

fn options() {
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

fn peeking() {
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

fn version_six() {
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

fn a_socket_goes_with_a_message() {
    let (mut client, server) = pair();
    let streams = Channel::<(u8, TcpStream)>::new(0);
    let back = Channel::<TcpStream>::new(0);
    streams.send((7, server));
    let child = Process::spawn(move || {
        let (number, mut stream) = streams.receive();
        stream.write_all(&[number]).unwrap();
        back.send(stream);
    })
    .unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [7]);
    assert_eq!(child.join(), ExitReason::Normal);
    // It belongs to this process again, so the end of the child has not closed it.
    let server = back.receive();
    Process::spawn_with(server, echo).unwrap();
    answers(&mut client, b"still open");
}

fn a_socket_goes_with_a_spawn() {
    let (mut client, server) = pair();
    let child = Process::spawn_with(
        (vec!["some".to_owned(), "words".to_owned()], server),
        |(words, mut stream)| {
            let words: Vec<String> = words;
            let stream: &mut TcpStream = &mut stream;
            stream.write_all(words.join(" ").as_bytes()).unwrap();
        },
    )
    .unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "some words");
    assert_eq!(child.join(), ExitReason::Normal);
    let (_, server) = pair();
    let too_large = (vec![0_u8; 70_000], server);
    assert!(Process::spawn_with(too_large, |_| ()).is_err());
}

fn a_socket_goes_with_mail() {
    use lunatic::mailbox::{Address, Mailbox};
    let (mut client, server) = pair();
    let child = Process::spawn(|| echo(Mailbox::<TcpStream>::new().receive())).unwrap();
    Address::of(child).send(server);
    answers(&mut client, b"by mail");
}

fn a_failed_send_gives_the_socket_back() {
    let (mut client, server) = pair();
    let full = Channel::<TcpStream>::new(1);
    full.send(pair().0);
    let server = full.try_send(server).unwrap_err().into_message();
    let short = Duration::from_millis(1);
    let mut server = full.send_timeout(server, short).unwrap_err().into_message();
    server.write_all(b"a").unwrap();
    // The owner of the channel has ended.
    let channels = Channel::new(0);
    Process::spawn(move || channels.send(Channel::<TcpStream>::new(0)))
        .unwrap()
        .join();
    let closed = channels.receive();
    let mut server = closed.try_send(server).unwrap_err().into_message();
    server.write_all(b"b").unwrap();
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "ab");
}

fn a_socket_that_is_never_received_closes_with_its_receiver() {
    let (mut client, server) = pair();
    let channels = Channel::new(0);
    let owner = Process::spawn(move || {
        channels.send(Channel::<TcpStream>::new(0));
        lunatic::sleep(Duration::MAX);
    })
    .unwrap();
    let channel = channels.receive();
    channel.send(server);
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(kind(client.read(&mut [0])), ErrorKind::TimedOut);
    client.set_read_timeout(None).unwrap();
    owner.kill();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    // As the argument of a process that never runs.
    let (mut client, server) = pair();
    Process::spawn_with(server, |_| lunatic::sleep(Duration::MAX))
        .unwrap()
        .kill();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

fn sockets_close_with_their_process() {
    let addresses = Channel::<SocketAddr>::new(0);
    let child = Process::spawn(move || {
        let (listener, address) = listener();
        addresses.send(address);
        let stream = listener.accept().unwrap();
        // Neither is dropped: the process just ends.
        std::mem::forget((listener, stream));
        panic!("on purpose");
    })
    .unwrap();
    let address = addresses.receive();
    let mut client = TcpStream::connect(address).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    child.join();
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
}

fn a_process_that_waits_for_a_socket_can_be_killed() {
    let (accepting, address) = listener();
    let child = Process::spawn_with(accepting, |listener| drop(TcpListener::accept(&listener))).unwrap();
    drop(TcpStream::connect(address).unwrap());
    assert_eq!(child.join(), ExitReason::Normal);
    let (accepting, address) = listener();
    let child = Process::spawn_with(accepting, |listener| {
        let _ = listener.accept();
        drop(TcpListener::accept(&listener));
    })
    .unwrap();
    drop(TcpStream::connect(address).unwrap());
    child.kill();
    assert_eq!(child.join(), ExitReason::Killed);
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
    let (mut client, server) = pair();
    let child = Process::spawn_with(server, echo).unwrap();
    answers(&mut client, b"x");
    child.kill();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

fn several_accept_from_one_listener() {
    let (listener, address) = listener();
    let served = Channel::<u32>::new(0);
    for number in 0..4_u32 {
        let clone = listener.try_clone().unwrap();
        Process::spawn_with(clone, move |clone: TcpListener| {
            for stream in clone.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(b"!").unwrap();
                served.send(number);
            }
        })
        .unwrap();
    }
    let streams: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for mut stream in streams {
        stream.read_exact(&mut [0]).unwrap();
        served.receive();
    }
}

fn connections_need_a_right() {
    // The program has `127.0.0.1` and `bind:127.0.0.1`.
    let (_listener, address) = listener();
    TcpStream::connect(address).unwrap();
    assert_eq!(kind(TcpStream::connect("127.0.0.2:1")), ErrorKind::PermissionDenied);
    assert_eq!(
        kind(TcpStream::connect("[::ffff:127.0.0.2]:1")),
        ErrorKind::PermissionDenied
    );
    assert_eq!(kind(TcpListener::bind("0.0.0.0:0")), ErrorKind::PermissionDenied);
    assert_eq!(kind(TcpStream::connect("localhost:1")), ErrorKind::PermissionDenied);
    assert_eq!(kind(lunatic::net::resolve("example.com")), ErrorKind::PermissionDenied);
    // Who may use no network may use a socket that it is given.
    let (mut client, server) = pair();
    let child = Process::builder()
        .config(&ProcessConfig::new())
        .spawn_with((server, address), |(server, address)| {
            assert_eq!(kind(TcpStream::connect(address)), ErrorKind::PermissionDenied);
            assert_eq!(kind(TcpListener::bind("127.0.0.1:0")), ErrorKind::PermissionDenied);
            echo(server);
        })
        .unwrap();
    answers(&mut client, b"given");
    drop(client);
    assert_eq!(child.join(), ExitReason::Normal);
}

fn sockets_count_in_a_budget() {
    let (_listener, address) = listener();
    let config = ProcessConfig::inherit().tree_sockets(3);
    let (_, spare) = pair();
    let child = Process::builder()
        .config(&config)
        .spawn_with((address, spare), |(address, spare)| {
            let used = || lunatic::this_process().usage().unwrap().sockets;
            assert_eq!(used(), 1, "what was handed over counts");
            let first = TcpStream::connect(address).unwrap();
            let second = first.try_clone().unwrap();
            assert_eq!(used(), 3);
            assert_eq!(kind(TcpStream::connect(address)), ErrorKind::QuotaExceeded);
            assert_eq!(kind(first.try_clone()), ErrorKind::QuotaExceeded);
            drop(second);
            let grandchild = Process::spawn_with(first, |stream: TcpStream| drop(stream.peek(&mut [0]))).unwrap();
            grandchild.kill();
            grandchild.join();
            let _: TcpStream = spare;
            assert_eq!(used(), 1);
            TcpStream::connect(address).unwrap();
        });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

fn sockets_are_limited() {
    let config = ProcessConfig::inherit().max_files(5);
    let child = Process::builder().config(&config).spawn(|| {
        let (listener, address) = listener();
        let open: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        assert!(error.to_string().contains("5 sockets"), "{error}");
        drop(open);
        listener.accept().unwrap();
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

fn a_flood_is_slowed_down() {
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
fn many_waits_are_frozen() {
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

fn datagrams() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(one) = UdpSocket::bind(address) else { continue };
        let other = UdpSocket::bind(address).unwrap();
        let mut bytes = [0; 100];
        one.send_to(b"hello", other.local_addr().unwrap()).unwrap();
        assert_eq!(other.peek_from(&mut bytes).unwrap(), (5, one.local_addr().unwrap()));
        assert_eq!(
            other.recv_from(&mut bytes[..3]).unwrap().0,
            3,
            "what has no room is lost"
        );
        other.connect(one.local_addr().unwrap()).unwrap();
        assert_eq!(other.peer_addr().unwrap(), one.local_addr().unwrap());
        other.send(b"").unwrap();
        assert_eq!(one.recv_from(&mut bytes).unwrap().0, 0);
        other.send(b"back").unwrap();
        assert_eq!(one.recv_from(&mut bytes).unwrap(), (4, other.local_addr().unwrap()));
        one.send_to(b"again", other.local_addr().unwrap()).unwrap();
        assert_eq!(
            (other.peek(&mut bytes).unwrap(), other.recv(&mut bytes).unwrap()),
            (5, 5)
        );
        // Handed over.
        let address = other.local_addr().unwrap();
        Process::spawn_with(other, |other: UdpSocket| {
            let mut bytes = [0; 100];
            let len = other.recv(&mut bytes).unwrap();
            other.send(&bytes[..len]).unwrap();
        })
        .unwrap();
        one.send_to(b"to the child", address).unwrap();
        assert_eq!(one.recv(&mut bytes).unwrap(), 12);
        assert_eq!(&bytes[..12], b"to the child");
        one.set_broadcast(true).unwrap();
        one.set_ttl(3).unwrap();
        assert_eq!((one.broadcast().unwrap(), one.ttl().unwrap()), (true, 3));
        assert!(
            one.send_to(&[0; 70_000], one.local_addr().unwrap()).is_err(),
            "no datagram is so long"
        );
    }
}

fn a_datagram_that_does_not_come_times_out() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(kind(socket.recv_from(&mut [0; 8])), ErrorKind::TimedOut);
    // Nobody is there: the system tells.
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    socket.connect(gone).unwrap();
    socket.set_read_timeout(None).unwrap();
    socket.send(b"anybody?").unwrap();
    assert_eq!(kind(socket.recv(&mut [0; 8])), ErrorKind::ConnectionRefused);
}

fn datagrams_need_a_right() {
    // The program has `127.0.0.1` and `bind:127.0.0.1`.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = socket.local_addr().unwrap();
    socket.send_to(b"x", here).unwrap();
    assert_eq!(kind(socket.send_to(b"x", "127.0.0.2:9")), ErrorKind::PermissionDenied);
    assert_eq!(kind(socket.connect("127.0.0.2:9")), ErrorKind::PermissionDenied);
    assert_eq!(kind(UdpSocket::bind("0.0.0.0:0")), ErrorKind::PermissionDenied);
    let group = "239.255.7.7".parse().unwrap();
    assert_eq!(
        kind(socket.join_multicast_v4(&group, &"127.0.0.1".parse().unwrap())),
        ErrorKind::PermissionDenied
    );
    // A socket that was given is used with the rights of who has it.
    let child = Process::builder()
        .config(&ProcessConfig::new())
        .spawn_with((socket, here), |(socket, here)| {
            let socket: UdpSocket = socket;
            assert_eq!(kind(socket.send_to(b"x", here)), ErrorKind::PermissionDenied);
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
        });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

fn multicast() {
    let group = "239.255.7.7".parse().unwrap();
    let here = "127.0.0.1".parse().unwrap();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // A machine may have no multicast on loopback; that is an error, and no more.
    if socket.join_multicast_v4(&group, &here).is_ok() {
        socket.set_multicast_loop_v4(true).unwrap();
        socket.set_multicast_ttl_v4(1).unwrap();
        socket.leave_multicast_v4(&group, &here).unwrap();
    }
    let no_group = "127.0.0.1".parse().unwrap();
    assert_eq!(
        kind(socket.join_multicast_v4(&no_group, &here)),
        ErrorKind::InvalidInput
    );
}

fn unix_streams() {
    let listener = UnixListener::bind("/data/socket").unwrap();
    assert_eq!(kind(UnixListener::bind("/data/socket")), ErrorKind::AddrInUse);
    Process::spawn_with(listener, |listener: UnixListener| {
        for stream in listener.incoming() {
            Process::spawn_with(stream.unwrap(), |mut stream: UnixStream| {
                let mut bytes = [0; 64];
                while let Ok(len @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..len]).unwrap();
                }
            })
            .unwrap();
        }
    })
    .unwrap();
    for _ in 0..3 {
        let mut stream = UnixStream::connect("/data/socket").unwrap();
        stream.write_all(b"over a path").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "over a path");
    }
    let (mut one, other) = UnixStream::pair().unwrap();
    one.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(kind(one.read(&mut [0])), ErrorKind::TimedOut);
    drop(other);
    assert_eq!(one.read(&mut [0]).unwrap(), 0);
    std::fs::remove_file("/data/socket").unwrap();
}

fn unix_paths_are_in_the_folders_of_the_process() {
    assert_eq!(kind(UnixListener::bind("/ro/socket")), ErrorKind::PermissionDenied);
    assert_eq!(
        kind(UnixListener::bind("/elsewhere/socket")),
        ErrorKind::PermissionDenied
    );
    assert_eq!(kind(UnixListener::bind("/data/../socket")), ErrorKind::PermissionDenied);
    assert_eq!(kind(UnixStream::connect("/data/missing")), ErrorKind::NotFound);
    assert_eq!(
        kind(UnixStream::connect("/data/given.txt")),
        ErrorKind::ConnectionRefused
    );
    // The test has put links to a socket outside, and to its folder.
    for path in ["/data/socket-outside", "/data/folder-outside/socket"] {
        assert_eq!(kind(UnixStream::connect(path)), ErrorKind::PermissionDenied, "{path}");
    }
    assert_eq!(
        kind(UnixListener::bind("/data/folder-outside/new")),
        ErrorKind::PermissionDenied
    );
    assert_eq!(kind(UnixStream::connect("/data")), ErrorKind::InvalidInput);
    let long = format!("/data/{}", "n".repeat(200));
    assert_eq!(kind(UnixListener::bind(long)), ErrorKind::InvalidInput);
}

fn names_are_looked_up() {
    // The program may look up and connect to `localhost`, and bind anything.
    let (listener, address) = listener();
    let addresses = lunatic::net::resolve("localhost").unwrap();
    assert!(addresses.iter().all(|ip| ip.is_loopback()), "{addresses:?}");
    let port = address.port();
    TcpStream::connect(("localhost", port)).unwrap();
    TcpStream::connect(format!("localhost:{port}")).unwrap();
    TcpStream::connect_within(("LOCALHOST", port), Duration::from_secs(60)).unwrap();
    drop(listener);
    assert_eq!(
        kind(TcpStream::connect(("localhost", port))),
        ErrorKind::ConnectionRefused
    );
    // The right to a name is none to its addresses: a second look-up by the program could find others.
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::PermissionDenied);
    assert_eq!(
        kind(TcpStream::connect(("nowhere.invalid", port))),
        ErrorKind::PermissionDenied
    );
    assert_eq!(
        kind(TcpStream::connect(("name.localhost.test", port))),
        ErrorKind::NotFound
    );
    assert_eq!(kind(TcpStream::connect(("a\0b", port))), ErrorKind::InvalidInput);
}

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

fn tls_both_ways() {
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

fn tls_agrees_on_a_protocol() {
    let acceptor = server().alpn("h2").alpn("http/1.1").build().unwrap();
    let (one, other) = shake_hands(client().alpn("http/1.1"), acceptor).unwrap();
    for stream in [one, other] {
        assert_eq!(stream.alpn().unwrap().as_deref(), Some("http/1.1"));
    }
    let (one, _) = shake_hands(client(), acceptor).unwrap();
    assert_eq!(one.alpn().unwrap(), None);
    assert!(shake_hands(client().alpn("gopher"), acceptor).is_err());
}

fn tls_picks_a_certificate_by_name() {
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

fn tls_trusts_nobody_else() {
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

fn tls_client_certificates() {
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

fn tls_certificates_are_replaced() {
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

fn tls_ends_are_told_from_losses() {
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

fn tls_streams_are_handed_over() {
    let (mut client, server) = shake_hands(client(), server().build().unwrap()).unwrap();
    let streams = Channel::<TlsStream>::new(0);
    streams.send(server);
    Process::spawn(move || echo_tls(streams.receive())).unwrap();
    client.write_all(b"kept").unwrap();
    let mut back = [0; 4];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"kept");
}

fn tls_write_timeouts_lose_nothing() {
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

fn tls_with_what_is_no_tls() {
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
