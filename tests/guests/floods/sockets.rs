//! Unix sockets and UDP.

use std::io::ErrorKind;
use std::time::Duration;

use lunatic::net::{UdpSocket, UnixListener, UnixStream};

use crate::works;

/// As many as wait to be accepted, and one more, as Linux counts.
const WAITING_MAX: usize = 65;

pub(crate) fn connects_that_nobody_accepts() {
    let listener = UnixListener::bind("/data/socket").unwrap();
    let mut connected = 0;
    for _ in 0..100_000 {
        match UnixStream::connect("/data/socket") {
            Ok(_) => connected += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert!((1..=WAITING_MAX).contains(&connected), "{connected}");
    works();
    // They are all there, and their other ends are closed.
    for _ in 0..connected {
        listener.accept().unwrap();
    }
    UnixStream::connect("/data/socket").unwrap();
    drop(listener);
    std::fs::remove_file("/data/socket").unwrap();
}

pub(crate) fn datagrams_that_nobody_reads() {
    let (flooded, flood) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let to = flooded.local_addr().unwrap();
    let datagram = vec![7; 60_000];
    for _ in 0..10_000 {
        assert_eq!(flood.send_to(&datagram, to).unwrap(), datagram.len());
    }
    for too_long in [65_508, 1 << 20, 8 << 20] {
        assert!(flood.send_to(&vec![7; too_long], to).is_err());
    }
    works();
    flooded.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = vec![0; 65_536];
    let mut received = 0;
    while let Ok(len) = flooded.recv(&mut bytes) {
        assert_eq!(len, datagram.len());
        received += len;
    }
    // What a socket pays for, and no more, was kept.
    assert!((1..=280 << 10).contains(&received), "{received}");
}
