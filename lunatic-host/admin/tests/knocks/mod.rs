//! Requests as a hostile client makes them: valid ones, changed at random, from a seed.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// An answer that takes longer is none: the door has a stricter limit of its own.
const PATIENCE: Duration = Duration::from_secs(180);

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "get"];

const PATHS: [&str; 21] = [
    "/",
    "/v1/system",
    "/v1/processes",
    "/v1/processes/1",
    "/v1/processes/999",
    "/v1/processes/4294967295.4294967295",
    "/v1/processes/-1",
    "/v1/processes/1/stack",
    "/v1/processes/999/kill",
    "/v1/processes/999/exit",
    "/v1/channels",
    "/v1/names",
    "/v1/groups",
    "/v1/sockets",
    "/v1/modules",
    "/v1/workers",
    "/v1/nodes",
    "/v1/cluster",
    "/v1/events?seconds=0&",
    "/v1/profile?seconds=0&",
    "/metrics",
];

const QUERIES: [&str; 16] = [
    "limit=10",
    "limit=18446744073709551616",
    "limit=-1",
    "skip=4294967295",
    "skip=18446744073709551615",
    "order=memory",
    "order=",
    "name=%F0%9F%92%A9",
    "name=%ff%00%1b",
    "state=waiting",
    "parent=0",
    "kinds=spawned,ended",
    "kinds=,,,",
    "seconds=0",
    "seconds=NaN",
    "process=1&process=2",
];

const HEADERS: [&str; 12] = [
    "Host: here",
    "Host:",
    "Content-Length: 4",
    "Content-Length: 18446744073709551615",
    "Content-Length: -1",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Connection: close",
    "Connection: keep-alive, upgrade",
    "Upgrade: websocket",
    "Expect: 100-continue",
    " folded: yes",
];

fn one_of<'a>(random: &mut StdRng, texts: &[&'a str]) -> &'a str {
    texts[random.random_range(0..texts.len())]
}

/// The bytes that one client sends, of one request or several.
fn knock(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let (method, path) = (one_of(random, &METHODS), one_of(random, &PATHS));
        let mut query = String::new();
        for number in 0..random.random_range(0..3) {
            query.push(if number == 0 { '?' } else { '&' });
            query += one_of(random, &QUERIES);
        }
        let mut head = format!("{method} {path}{query} HTTP/1.1\r\n");
        for _ in 0..random.random_range(0..5) {
            head += one_of(random, &HEADERS);
            head += "\r\n";
        }
        if random.random_ratio(1, 20) {
            head += &format!("Long: {}\r\n", "x".repeat(random.random_range(0..40_000)));
        }
        bytes.extend(head.bytes());
        bytes.extend(b"\r\n");
        if random.random_ratio(1, 3) {
            bytes.extend(b"4\r\nbody\r\n0\r\n\r\n");
        }
    }
    for _ in 0..[0, 0, 1, 3, 40][random.random_range(0..5)] {
        let place = random.random_range(0..bytes.len());
        match random.random_range(0..3) {
            0 => bytes[place] = random.random(),
            1 => drop(bytes.remove(place)),
            _ => bytes.insert(place, random.random()),
        }
    }
    if random.random_ratio(1, 4) {
        bytes.truncate(random.random_range(0..bytes.len()));
    }
    bytes
}

/// Sends what `seed` makes to a door, and reads what comes back.
///
/// # Panics
///
/// If that is no answer.
pub(crate) fn run(door: &Path, seed: u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let bytes = knock(random);
    let mut stream = UnixStream::connect(door).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The door may have closed before all is read.
    let _ = stream.write_all(&bytes);
    if random.random_ratio(1, 8) {
        // It goes away without a look at the answer.
        return;
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let is_closed = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(
            is_closed,
            "seed {seed}: {error} after {:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
    if !answer.is_empty() {
        let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
        let status: Option<u16> = status.and_then(|status| status.parse().ok());
        let is_good = answer.starts_with(b"HTTP/1.") && status.is_some_and(|status| status < 500 || status == 503);
        assert!(
            is_good,
            "seed {seed}: {:?} for {:?}",
            String::from_utf8_lossy(&answer),
            String::from_utf8_lossy(&bytes)
        );
    }
}
