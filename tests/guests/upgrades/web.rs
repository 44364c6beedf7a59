//! A web server, whose connections stay open.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use lunatic::Process;
use lunatic::net::{TcpListener, TcpStream};
use lunatic_http::websocket::{self, WebSocket};
use lunatic_http::{Limits, Made, Router, Server};

use crate::{LONG, OWN, is_done, ready, say_ready};

/// A web server, whose connections stay open.
pub(crate) fn web() {
    let (listener, address) = lunatic_test_guests::listener();
    let app = || Router::new().get("/version", |_| OWN.to_string());
    let serve = move |listener: TcpListener| Server::from(listener).serve(Made(app)).unwrap();
    Process::spawn_with(listener, serve).unwrap();
    // One request after the other on one connection, and now and then a new one.
    let mut stream = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut stream), "1");
    say_ready();
    let (mut versions, mut others) = (Vec::new(), Vec::new());
    while !is_done(Duration::ZERO) {
        versions.push(ask(&mut stream));
        others.push(ask(&mut TcpStream::connect(address).unwrap()));
    }
    // What was asked last may have been answered before the last upgrade.
    versions.push(ask(&mut stream));
    others.push(ask(&mut TcpStream::connect(address).unwrap()));
    for versions in [&mut versions, &mut others] {
        assert_eq!(versions.last().unwrap(), "2");
        versions.dedup();
    }
    println!("{} and {} times", versions.len(), others.len());
}

/// A web server for others than this program, whose idle connections outlive a slow upgrade.
pub(crate) fn site() {
    let (listener, _) = lunatic_test_guests::listener();
    let app = || {
        let echo = |request| websocket::upgrade(request, echo);
        Router::new().get("/version", |_| OWN.to_string()).get("/echo", echo)
    };
    let serve = move |listener: TcpListener| {
        let limits = Limits {
            idle_timeout: LONG,
            ..Limits::default()
        };
        Server::from(listener).with_limits(limits).serve(Made(app)).unwrap();
    };
    Process::spawn_with(listener, serve).unwrap();
    ready();
}

/// Sends back whatever comes.
fn echo(mut socket: WebSocket) {
    while let Ok(message) = socket.receive() {
        if socket.send(message).is_err() {
            break;
        }
    }
}

/// What a server answers on a connection that it keeps.
fn ask(stream: &mut TcpStream) -> String {
    // In two pieces, so that the first is there when the connection changes.
    stream.write_all(b"GET /version HTTP/1.1\r\n").unwrap();
    stream.write_all(b"host: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut bytes = [0; 512];
    while !answer.ends_with(b"\r\n\r\n1") && !answer.ends_with(b"\r\n\r\n2") {
        let read = stream.read(&mut bytes).unwrap();
        assert_ne!(
            read,
            0,
            "the connection was closed after {:?}",
            String::from_utf8_lossy(&answer)
        );
        answer.extend_from_slice(&bytes[..read]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer[answer.len() - 1..].to_owned()
}
