//! A process that repeatedly sleeps 5 ms beside the other processes of a host, and how late it wakes.

use std::time::{Duration, Instant};

use lunatic_host::RunningSystem;
use lunatic_host::wasi::{Capture, Output};

use crate::host::Host;

/// The duration of each sleep.
pub const SLEEP: Duration = Duration::from_millis(5);
/// After this time the test no longer waits for a sleep to end.
const GIVES_UP: Duration = Duration::from_secs(20);

/// A running bystander, which is stopped when this is dropped.
pub struct Bystander {
    /// Its output: the nanoseconds of each of its sleeps.
    slept: Capture,
    _system: RunningSystem,
}

impl Bystander {
    /// Starts a bystander, and waits until it has slept once: after that the host has set up everything that it needs.
    pub fn start(host: &Host) -> Self {
        let (output, slept) = Output::captured();
        let _system = host.program(PROGRAM.as_bytes()).stdout(output).start();
        let bystander = Self { slept, _system };
        bystander.lateness();
        bystander
    }

    /// Returns how late it woke each time since the last call; at least one time, for which it waits if necessary, but
    /// at most 20 s.
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

/// Decodes the times in the bystander's output.
fn times(bytes: &[u8]) -> impl Iterator<Item = Duration> {
    let times = bytes.as_chunks::<8>().0.iter();
    times.map(|&time| Duration::from_nanos(u64::from_le_bytes(time)))
}

/// Repeatedly sleeps 5 ms, and writes how long each sleep took: 8 bytes, in nanoseconds.
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
