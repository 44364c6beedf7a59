//! Rights to addresses and names, and limits on the number of sockets.

use std::io::ErrorKind;
use std::time::Duration;

use lunatic::net::{TcpListener, TcpStream};
use lunatic::{ExitReason, Process, ProcessConfig};

use crate::{answers, echo, kind, listener, pair};

pub(crate) fn connections_need_a_right() {
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
    a_denied_address_names_its_rule_and_flag();
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

/// The main process may use `127.0.0.1` only.
fn a_denied_address_names_its_rule_and_flag() {
    let text = TcpStream::connect("127.0.0.2:1").unwrap_err().to_string();
    assert!(
        text.contains("allows `127.0.0.2:1` (`--allow-net 127.0.0.2:1` would allow it)"),
        "{text}"
    );
    let text = TcpListener::bind("0.0.0.0:0").unwrap_err().to_string();
    assert!(text.contains("(`--allow-net bind:0.0.0.0:0` would allow it)"), "{text}");
    // What the main process may do, a child gets from its configuration.
    let child = Process::builder().config(&ProcessConfig::new()).spawn(|| {
        let text = TcpStream::connect("127.0.0.1:1").unwrap_err().to_string();
        assert!(
            text.contains("(`ProcessConfig::allow_net(\"127.0.0.1:1\")` would allow it)"),
            "{text}"
        );
        let text = TcpStream::connect("127.0.0.2:1").unwrap_err().to_string();
        assert!(text.contains("(`--allow-net 127.0.0.2:1` would allow it)"), "{text}");
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}

pub(crate) fn names_are_looked_up() {
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

pub(crate) fn sockets_count_in_a_budget() {
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

pub(crate) fn sockets_are_limited() {
    let config = ProcessConfig::inherit().max_files(5);
    let child = Process::builder().config(&config).spawn(|| {
        let (listener, address) = listener();
        let open: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        assert!(error.to_string().contains("the limit is 5"), "{error}");
        drop(open);
        listener.accept().unwrap();
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}
