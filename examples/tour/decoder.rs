//! Code that nobody has reviewed, in processes with few rights: each gets 16 MiB, half a second of computing, and nothing else.
//!
//! Run it with `cargo lunatic run --example decoder`.

use std::hint::black_box;
use std::time::Duration;

use lunatic::net::TcpStream;
use lunatic::process::exit;
use lunatic::{ExitReason, Process, ProcessConfig};

// ANCHOR: sandbox
fn main() {
    let config = ProcessConfig::new() // standard output, clocks and random numbers only
        .max_memory(16 << 20)
        .cpu_time(Duration::from_millis(500)); // shared with every process that it spawns
    let run = |what: &str, code: fn()| {
        let process = Process::builder().config(&config).spawn(code).unwrap();
        match process.join() {
            ExitReason::OutOfMemory(_) => println!("{what}: the process ran out of memory"),
            reason => println!("{what}: the process {reason}"),
        }
    };

    run("decode an image", || {});
    run("read a file", read_a_file);
    run("connect", connect);
    run("fill the memory", fill_the_memory);
    run("loop for ever", loop_for_ever);
}
// ANCHOR_END: sandbox

// ANCHOR: attempts
fn read_a_file() {
    if std::fs::read("/etc/passwd").is_err() {
        exit(ExitReason::Error("no files".to_owned()));
    }
}

fn connect() {
    if TcpStream::connect("192.0.2.1:80").is_err() {
        exit(ExitReason::Error("no network".to_owned()));
    }
}

fn fill_the_memory() {
    let mut all = Vec::new();
    for _ in 0..1000 {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn loop_for_ever() {
    loop {
        black_box(());
    }
}
// ANCHOR_END: attempts
