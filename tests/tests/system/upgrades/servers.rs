//! Servers that change while clients are connected.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lunatic_tests::guests::{PROFILES, Profile};
use lunatic_tests::host::Host;

use super::{at_once, done, load, named, run, upgrade, upgraded};

#[test]
fn a_server_changes_between_two_connections() {
    let report = upgraded(&["serving"], Profile::Debug);
    assert_eq!(report.changed, 1, "{report:?}");
}

#[test]
fn connections_of_a_web_server_stay_open() {
    let host = Host::shared();
    let old = load(host, "old", Profile::Release);
    let ended = run(host, &["web"], Profile::Release, |system, new| {
        for round in 0..50 {
            let report = upgrade(system, if round % 2 == 0 { new } else { &old }, at_once());
            // The acceptor, the connection, and perhaps a connection that is about to end.
            assert!((2..=3).contains(&report.changed), "{report:?}");
            assert_eq!(report.kept, 0, "{report:?}");
            // The main process sends requests on both connections, with several waits for each.
            let runs = || system.process(system.main().unwrap()).unwrap().snapshot.runs;
            let before = runs();
            while runs() < before + 8 {
                std::thread::yield_now();
            }
        }
        assert_ne!(upgrade(system, new, at_once()).changed, 0);
        done(system);
    });
    let times: Vec<usize> = ended.stdout.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(times.iter().all(|times| *times >= 25), "{}", ended.stdout);
}

/// No requests arrive, and nothing has to be waited for.
#[test]
fn servers_and_idle_connections_change_at_once() {
    let host = Host::shared();
    for profile in PROFILES {
        let (old, new) = (load(host, "old", profile), load(host, "new", profile));
        let local = ["127.0.0.1:*", "bind:127.0.0.1:*"].map(|rule| rule.parse().unwrap());
        let system = host.loaded(&old).net(local.into()).args(["site"]).start();
        named(&system, "ready");
        let listener = system.sockets(0, 1).rows.into_iter().find_map(|socket| socket.local);
        let address = listener.unwrap();
        let mut idle: Vec<_> = (0..5).map(|_| TcpStream::connect(&address).unwrap()).collect();
        for stream in &mut idle {
            assert_eq!(ask(stream), b'1');
        }
        // Some of the connections may have waited long enough to count as idle, and others may not.
        for round in 0..20 {
            let report = upgrade(&system, if round % 2 == 0 { &new } else { &old }, at_once());
            assert_eq!((report.changed, report.waiting, report.kept), (6, 0, 0), "{report:?}");
        }
        for stream in &mut idle {
            assert_eq!(ask(stream), b'1');
        }
        assert_eq!(upgrade(&system, &new, at_once()).changed, 6);
        for stream in &mut idle {
            assert_eq!(ask(stream), b'2');
        }
        assert_eq!(ask(&mut TcpStream::connect(&address).unwrap()), b'2');
    }
}

/// A WebSocket never comes back to the point of change that its connection had.
#[test]
fn websockets_are_not_waited_for() {
    let host = Host::shared();
    let [old, new] = ["old", "new"].map(|version| load(host, version, Profile::Debug));
    let local = ["127.0.0.1:*", "bind:127.0.0.1:*"].map(|rule| rule.parse().unwrap());
    let system = host.loaded(&old).net(local.into()).args(["site"]).start();
    named(&system, "ready");
    let listener = system.sockets(0, 1).rows.into_iter().find_map(|socket| socket.local);
    let address = listener.unwrap();
    // Back in the old version, only the WebSockets are left in the new one.
    assert_eq!(upgrade(&system, &new, at_once()).changed, 1);
    let mut sockets: Vec<_> = (0..3).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for stream in &mut sockets {
        let head = b"GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        stream.write_all(head).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
        echo(stream);
    }
    let report = upgrade(&system, &old, at_once());
    assert_eq!((report.changed, report.waiting, report.kept), (1, 0, 0), "{report:?}");
    assert_eq!(report.without_point, 3, "{report:?}");
    sockets.iter_mut().for_each(echo);
}

/// Sends a text over a WebSocket, which comes back. On a slow machine, pings may come before it.
fn echo(stream: &mut TcpStream) {
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    while head == [0x89, 0] {
        stream.read_exact(&mut head).unwrap();
    }
    let mut text = [0; 2];
    stream.read_exact(&mut text).unwrap();
    assert_eq!((head, &text), ([0x81, 2], b"hi"));
}

/// The version that responds on a connection.
fn ask(stream: &mut TcpStream) -> u8 {
    stream.write_all(b"GET /version HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n1") && !answer.ends_with(b"\r\n\r\n2") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    answer[answer.len() - 1]
}
