//! Unix sockets, and their paths.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use lunatic::Process;
use lunatic::net::{Shutdown, UnixListener, UnixStream};

use crate::kind;

pub(crate) fn unix_streams() {
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

pub(crate) fn unix_paths_are_in_the_folders_of_the_process() {
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
