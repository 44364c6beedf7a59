//! Descriptors of the host.

use std::fs::File;
use std::io::{ErrorKind, Read};

use lunatic::net::{TcpListener, UdpSocket, UnixStream};
use lunatic::{Channel, Process, ProcessConfig};

use crate::{listener, works};

/// The error that WASI has for a file too many in the whole system.
const NFILE: i32 = 41;

/// Opens as much as there may be, a few of each kind after the other, and never closes it. How much that was.
fn hoard() -> u32 {
    let mut open = 0;
    let mut refused = [false; 4];
    while refused.contains(&false) {
        let mut count = |at: usize, opened: bool, amount: u32| {
            refused[at] = !opened;
            open += if opened { amount } else { 0 };
        };
        count(0, keep(File::open("/data/given.txt")), 1);
        count(1, keep(UdpSocket::bind("127.0.0.1:0")), 1);
        count(2, keep(UnixStream::pair()), 2);
        count(3, keep(TcpListener::bind("127.0.0.1:0")), 1);
    }
    open
}

/// Keeps it open for as long as the process lives; false if it could not be opened for want of descriptors.
fn keep<T>(opened: std::io::Result<T>) -> bool {
    match opened {
        Ok(open) => {
            std::mem::forget(open);
            true
        }
        Err(error) => {
            let expected = error.kind() == ErrorKind::QuotaExceeded || error.raw_os_error() == Some(NFILE);
            assert!(expected, "{error}");
            false
        }
    }
}

pub(crate) fn hoards_descriptors() {
    let counts = Channel::<u32>::new(0);
    // One sandbox, of ten processes.
    let config = ProcessConfig::inherit();
    for _ in 0..10 {
        let hoarder = move || {
            counts.send(hoard());
            lunatic::sleep(std::time::Duration::MAX);
        };
        Process::builder().config(&config).spawn(hoarder).unwrap();
    }
    let open: u32 = (0..10).map(|_| counts.receive()).sum();
    // The sandbox has left something to its parent.
    for _ in 0..20 {
        works();
    }
    println!("full {open}");
    lunatic::sleep(std::time::Duration::MAX);
}

pub(crate) fn accepts_at_the_limit() {
    let (listener, address) = listener();
    println!("{}", address.port());
    // When this comes, there is a second connection that waits.
    listener.accept().unwrap().0.read_exact(&mut [0]).unwrap();
    let mut held = Vec::new();
    let refused = loop {
        match UdpSocket::bind("127.0.0.1:0") {
            Ok(socket) => held.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
    assert!(refused.to_string().contains("descriptor"), "{refused}");
    for _ in 0..3 {
        let refused = TcpListener::accept(&listener).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
    }
    let error = File::open("/data/given.txt").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(NFILE));
    held.pop();
    let (mut stream, _) = listener.accept().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "kept");
}

/// Each child has folders of its own, which are open for as long as its configuration is in use.
pub(crate) fn many_folders() {
    let mut config = ProcessConfig::inherit();
    for number in 0..30 {
        config = config.dir("/data", &format!("/own{number}"));
    }
    let spawn = |config: &ProcessConfig| {
        Process::builder()
            .config(config)
            .spawn(|| lunatic::sleep(std::time::Duration::MAX))
    };
    let mut children = Vec::new();
    let refused = loop {
        // Another configuration each time, or they would share what is open.
        match spawn(&config.clone().env("NUMBER", &children.len().to_string())) {
            Ok(child) => children.push(child),
            Err(error) => break error,
        }
        assert!(children.len() < 100, "nothing limits them");
    };
    assert!(refused.to_string().contains("descriptor"), "{refused}");
    works();
    for child in children {
        child.kill();
        child.join();
    }
    spawn(&config).unwrap();
}

/// Numbers of files are moved, and folders that were given are closed: none of it makes room for a file more, or takes any.
pub(crate) fn files_that_are_closed_are_given_back() {
    use std::os::fd::AsRawFd;
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn fd_close(fd: i32) -> i32;
        fn fd_renumber(from: i32, to: i32) -> i32;
    }
    let count = |most: usize| {
        let files: Vec<_> = (0..).map_while(|_| File::open("/data/given.txt").ok()).collect();
        assert_eq!(files.len(), most);
        files
    };
    let most = {
        let files: Vec<_> = (0..).map_while(|_| File::open("/data/given.txt").ok()).collect();
        files.len()
    };
    assert!(most > 10);
    let mut files = count(most);
    // One takes the place of another, whose number is free then, as is its descriptor.
    let (first, second) = (files.pop().unwrap(), files.pop().unwrap());
    // SAFETY: the calls take numbers only, and `first` is not used any more.
    assert_eq!(unsafe { fd_renumber(first.as_raw_fd(), second.as_raw_fd()) }, 0);
    std::mem::forget(first);
    let more = File::open("/data/given.txt").unwrap();
    assert!(File::open("/data/given.txt").is_err());
    drop((second, more, files));
    let files = count(most);
    // Standard input, and then the folder: others have opened them.
    for fd in [0, 3] {
        // SAFETY: the call takes a number only. Nothing reads standard input here.
        assert_eq!(unsafe { fd_close(fd) }, 0);
        assert!(
            UdpSocket::bind("127.0.0.1:0").is_err(),
            "what was not the process's own is not given back"
        );
    }
    drop(files);
    UdpSocket::bind("127.0.0.1:0").unwrap();
}
