//! A web server in a guest, with real sockets: good clients, clumsy ones and hostile ones.

mod answers;
mod clients;
mod endings;
mod websockets;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use lunatic_tests::guests::Profile;
use lunatic_tests::serving::{Serving, guest};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn web(args: &[&str]) -> Serving {
    guest("web", Profile::Debug, &[], args)
}

/// What curl prints for these arguments and the URL, followed by the status.
#[track_caller]
fn curl(args: &[&str], url: &str, stdin: &[u8]) -> String {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "120",
        "--write-out",
        "[%{http_code}]",
    ]);
    let mut child = curl
        .args(args)
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("could not start curl, install it (`apt-get install curl`): {error}"));
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(
        output.status.success(),
        "curl {args:?} {url}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sends these bytes, and reads until the connection ends.
fn talk(server: &Serving, bytes: &[u8]) -> String {
    let mut stream = server.connect();
    // The server may respond and close before everything is written.
    let _ = stream.write_all(bytes);
    rest(&mut stream)
}

fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // If a reset cuts off a response, the missing part shows that.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One response: its head and its body.
#[track_caller]
fn response(stream: &mut TcpStream) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .unwrap_or_else(|error| panic!("{error} after {head:?}"));
        head.push(byte[0] as char);
    }
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[track_caller]
fn is_well(server: &Serving) {
    let mut stream = server.connect();
    stream.write_all(GET).unwrap();
    assert_eq!(response(&mut stream).1, "hello");
}
