//! Clients that send or read slowly, stay silent, hang up halfway, or are too many.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::{GET, is_well, response, rest, web};

#[test]
fn who_sends_slowly_is_cut_off_and_keeps_nobody_waiting() {
    let server = web(&["head_timeout=300", "body_timeout=300", "rate_min=1000000"]);
    let mut heads: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut heads {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    }
    let mut bodies: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut bodies {
        stream
            .write_all(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
            .unwrap();
    }
    // One connection of each kind keeps sending a little.
    let drips: Vec<_> = [&heads[0], &bodies[0]]
        .into_iter()
        .map(|stream| {
            let mut stream = stream.try_clone().unwrap();
            std::thread::spawn(move || {
                let mut sent = 0;
                while stream.write_all(b"x").is_ok() {
                    sent += 1;
                    // This sleep does not wait for an effect: being slow is the attack.
                    std::thread::sleep(Duration::from_millis(20));
                }
                sent
            })
        })
        .collect();
    is_well(&server);
    for stream in heads.iter_mut().chain(&mut bodies) {
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    drop((heads, bodies));
    for drip in drips {
        assert!(drip.join().unwrap() > 0);
    }
    is_well(&server);
}

#[test]
fn who_reads_slowly_is_cut_off() {
    let server = web(&["write_timeout=200", "rate_min=1000000000"]);
    let mut stream = server.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut bytes = vec![0; 1 << 16];
    // The connection ends although the body does not, because nobody can read this much at this pace.
    while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
        // This sleep does not wait for an effect: reading slowly is what is tested.
        std::thread::sleep(Duration::from_millis(1));
    }
    is_well(&server);
}

#[test]
fn idle_connections_are_closed_in_time() {
    let server = web(&["idle_timeout=200"]);
    let mut silent = server.connect();
    let mut kept = server.connect();
    kept.write_all(GET).unwrap();
    assert_eq!(response(&mut kept).1, "hello");
    assert_eq!(rest(&mut silent), "");
    assert_eq!(rest(&mut kept), "");
}

#[test]
fn halves_and_resets_harm_nobody() {
    let server = web(&[]);
    // A connection that is half-closed after the request still gets the response.
    let mut stream = server.connect();
    stream.write_all(GET).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut stream).ends_with("hello"));
    // Half a request, and then nothing.
    for part in [
        &GET[..10],
        b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    ] {
        let mut stream = server.connect();
        stream.write_all(part).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stream), "");
    }
    // Closed with an unread response, which resets the connection while the server still sends.
    for _ in 0..50 {
        let mut stream = server.connect();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(stream);
    }
    for _ in 0..50 {
        drop(server.connect());
    }
    is_well(&server);
}

#[test]
fn a_full_server_says_so_and_recovers() {
    let server = web(&["connections=20"]);
    let mut kept: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(GET).unwrap();
            assert_eq!(response(&mut stream).1, "hello");
            stream
        })
        .collect();
    let mut refused = 0;
    let floods: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    for mut stream in floods {
        let _ = stream.write_all(GET);
        match rest(&mut stream) {
            answer if answer.starts_with("HTTP/1.1 503 ") => refused += 1,
            answer => assert_eq!(answer, ""),
        }
    }
    assert!(refused > 0, "no client was told the reason");
    // Connections that were there first are still served.
    for stream in &mut kept {
        stream.write_all(GET).unwrap();
        assert_eq!(response(stream).1, "hello");
    }
    drop(kept);
    // The server notices the free places when it accepts the next connections.
    loop {
        let mut stream = server.connect();
        let _ = stream.write_all(GET);
        let _ = stream.shutdown(Shutdown::Write);
        if rest(&mut stream).ends_with("hello") {
            break;
        }
    }
}
