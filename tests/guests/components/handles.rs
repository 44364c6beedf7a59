//! Handles, pollables and lists, as a program uses them, and as one does that wants to harm the host.

use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip2::io::poll;
use wasip2::random::random::get_random_bytes;

fn folder() -> Descriptor {
    get_directories().swap_remove(0).0
}

fn open(folder: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    folder.open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ)
}

pub(super) fn random() {
    let (one, other) = (get_random_bytes(32), get_random_bytes(32));
    assert_eq!((one.len(), other.len()), (32, 32));
    assert_ne!(one, other);
    assert_eq!(get_random_bytes(0), []);
    let many = get_random_bytes(1 << 20);
    assert_eq!(many.len(), 1 << 20);
    // Not the same pieces again.
    assert_ne!(many[..1 << 10], many[64 << 10..][..1 << 10]);
}

pub(super) fn random_too_much() {
    println!("{}", get_random_bytes(1 << 32).len());
}

pub(super) fn polls() {
    let late = subscribe_duration(3_600_000_000_000);
    let soon = subscribe_duration(1_000_000);
    assert_eq!(poll::poll(&[&late, &soon]), [1]);
    assert!(soon.ready() && !late.ready());
    let folder = folder();
    let file = open(&folder, "given").unwrap();
    let stream = file.read_via_stream(0).unwrap();
    let readable = stream.subscribe();
    assert_eq!(poll::poll(&[&late, &readable]), [1]);
    assert_eq!(stream.read(100).unwrap(), b"given");
    readable.block();
    assert!(stream.read(100).is_err(), "it is at its end");
}

pub(super) fn floods_pollables() {
    let mut all = Vec::new();
    loop {
        all.push(subscribe_duration(3_600_000_000_000));
    }
}

/// Streams of one file that all have read, and give the bytes to nobody.
pub(super) fn floods_streams() {
    let folder = folder();
    let file = open(&folder, "given").unwrap();
    let mut all = Vec::new();
    loop {
        let stream = file.read_via_stream(0).unwrap();
        let _ = stream.read(1 << 16);
        // Not more than can read at the same time.
        if all.len().is_multiple_of(100) {
            stream.subscribe().block();
        }
        all.push(stream);
    }
}

/// Reads that nobody waits for, of streams that are dropped.
pub(super) fn drops_streams() {
    let folder = folder();
    let file = open(&folder, "given").unwrap();
    loop {
        let stream = file.read_via_stream(0).unwrap();
        let _ = stream.read(1);
    }
}

pub(super) fn floods_listings() {
    let folder = folder();
    let mut all = Vec::new();
    let code = loop {
        match folder.read_directory() {
            Ok(listing) => all.push(listing),
            Err(code) => break code,
        }
    };
    println!("{} lists, then {}", all.len(), code.name());
    // The folder that the process was given, and not one that it has opened.
    let entry = all[0].read_directory_entry().unwrap();
    assert_eq!(entry.map(|entry| entry.name).as_deref(), Some("given"));
    assert!(all[0].read_directory_entry().unwrap().is_none());
}

/// Writes without asking whether there is room.
pub(super) fn floods_output() {
    let stdout = get_stdout();
    let text = vec![b'x'; 64 << 10];
    assert!(stdout.check_write().unwrap() > 0);
    stdout.write(&text).unwrap();
    // Nothing has permitted this.
    let _ = stdout.write(&text);
    unreachable!("the second write traps");
}

/// Asks on many handles, and then writes on all of them.
pub(super) fn floods_output_by_handles() {
    let text = vec![b'x'; 64 << 10];
    let handles: Vec<_> = (0..1000).map(|_| get_stdout()).collect();
    for stdout in &handles {
        assert!(stdout.check_write().unwrap() > 0);
    }
    for stdout in &handles {
        let _ = stdout.write(&text);
    }
    unreachable!("all but the last may not write");
}

pub(super) fn drops_in_disorder() {
    let folder = folder();
    for _ in 0..2000 {
        let file = open(&folder, "given").unwrap();
        let stream = file.read_via_stream(0).unwrap();
        drop(file);
        assert_eq!(stream.blocking_read(5).unwrap(), b"given");
    }
}

pub(super) fn long_paths() {
    let folder = folder();
    let long = "x".repeat(5000);
    assert_eq!(open(&folder, &long).unwrap_err(), ErrorCode::NameTooLong);
    assert_eq!(folder.create_directory_at(&long).unwrap_err(), ErrorCode::NameTooLong);
    assert_eq!(folder.symlink_at(&long, "link").unwrap_err(), ErrorCode::NameTooLong);
    assert_eq!(
        folder.rename_at("given", &folder, &long).unwrap_err(),
        ErrorCode::NameTooLong
    );
}

/// More than a call can pass.
pub(super) fn writes_too_much() {
    let folder = folder();
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = folder
        .open_at(PathFlags::empty(), "new", OpenFlags::CREATE, flags)
        .unwrap();
    let bytes = vec![7; 1 << 19];
    assert_eq!(file.write(&bytes, 0).unwrap(), 1 << 19);
    let bytes = vec![7; 1 << 24];
    let _ = file.write(&bytes, 0);
    unreachable!("the second write traps");
}
