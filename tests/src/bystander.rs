//! A process that sleeps 5 ms again and again beside whatever else a host runs, and how late it wakes.

use std::time::{Duration, Instant};

use lunatic_host::RunningSystem;
use lunatic_host::wasi::{Capture, Output};

use crate::host::Host;

/// How long each sleep is to be.
pub const SLEEP: Duration = Duration::from_millis(5);
/// A sleep that takes longer is not waited for.
const GIVES_UP: Duration = Duration::from_secs(20);

/// A bystander that runs. It ends when this is dropped.
pub struct Bystander {
    /// What it writes: the nanoseconds of each of its sleeps.
    slept: Capture,
    _system: RunningSystem,
}

impl Bystander {
    /// Starts one, and waits until it has slept once: from then on the host has all that it needs.
    pub fn start(host: &Host) -> Self {
        let (output, slept) = Output::captured();
        let _system = host.program(PROGRAM.as_bytes()).stdout(output).start();
        let bystander = Self { slept, _system };
        bystander.lateness();
        bystander
    }

    /// By how much it woke too late each time since the last call, the sleep among them that ends now; at least one. One of
    /// 20 s is not waited for.
    pub fn lateness(&self) -> Vec<Duration> {
        let mut slept = self.slept.take();
        let start = Instant::now();
        loop {
            let last = self.slept.take();
            slept.extend_from_slice(&last);
            if !last.is_empty() {
                return times(&slept).map(|time| time.saturating_sub(SLEEP)).collect();
            }
            if start.elapsed() > GIVES_UP {
                return vec![GIVES_UP];
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The times in what the bystander wrote.
fn times(bytes: &[u8]) -> impl Iterator<Item = Duration> {
    let times = bytes.as_chunks::<8>().0.iter();
    times.map(|&time| Duration::from_nanos(u64::from_le_bytes(time)))
}

/// Sleeps 5 ms again and again, and writes how long each sleep was: 8 bytes, nanoseconds.
const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (memory (export "memory") 1)
    (data (i32.const 64) "\00\00\00\00\08\00\00\00")
    (func $now (result i64)
        (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 16)))
        (i64.load (i32.const 16)))
    (func (export "_start") (local $start i64)
        (loop $again
            (local.set $start (call $now))
            (call $sleep (i64.const 5000000))
            (i64.store (i32.const 0) (i64.sub (call $now) (local.get $start)))
            (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 24)))
            (br $again))))"#;
