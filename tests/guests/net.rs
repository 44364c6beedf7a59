//! Sockets. All of it is on loopback.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use lunatic::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
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
