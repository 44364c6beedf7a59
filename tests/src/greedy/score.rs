//! Runs a case and measures what it costs others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lunatic_host::budget::Caps;
use lunatic_host::wasi::{Capture, Output};
use lunatic_host::{ExitReason, RunningSystem};

use super::Lineage;
use crate::host::Host;
use crate::resident::resident;

/// The bytes that the system of a case may use, its memories and all that is kept for it together.
pub const BUDGET: usize = 8 << 20;
/// The processes of a case.
const PROCESSES: u64 = 100;
/// The time on a core that a case has.
const CPU: Duration = Duration::from_millis(300);
/// A case that waits is stopped after this time.
const PATIENCE: Duration = Duration::from_millis(700);
/// What has not been given back by then never is.
const GIVEN_BACK: Duration = Duration::from_secs(20);
/// How long the bystander and its control sleep.
const SLEEP: Duration = Duration::from_millis(5);

/// What a case cost; less is better for all but the case.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scores {
    /// By how many bytes the program grew; what is beyond the budget nobody has paid for.
    pub resident: u64,
    /// How many bytes the host said that it kept beside memories.
    pub kept: u64,
    /// The worst delay of a process that sleeps, in microseconds, less that of a thread that does the same.
    pub delay: u64,
    /// The microseconds from the end of the case until all was given back.
    pub return_: u64,
}

impl Scores {
    pub(super) const COUNT: usize = 4;

    pub(super) fn get(&self, kind: usize) -> u64 {
        [self.resident, self.kept, self.delay, self.return_][kind]
    }

    /// What both runs of a case have cost at least.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            resident: self.resident.min(other.resident),
            kept: self.kept.min(other.kept),
            delay: self.delay.min(other.delay),
            return_: self.return_.min(other.return_),
        }
    }
}

/// A host with a bystander, on which cases run.
pub struct Stand {
    host: Host,
    folder: tempfile::TempDir,
    /// What the bystander says: the nanoseconds of each of its sleeps.
    slept: Capture,
    control: Control,
    /// The processes that run all the time.
    others: usize,
    _bystander: RunningSystem,
}

impl Default for Stand {
    fn default() -> Self {
        Self::new()
    }
}

impl Stand {
    /// One with a host of two workers.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn new() -> Self {
        let host = Host::with(|builder| builder.workers(2).cache(None));
        let (output, slept) = Output::captured();
        let bystander = host.program(BYSTANDER.as_bytes()).stdout(output).start();
        // All that the bystander needs it has from now on.
        while slept.take().is_empty() {
            std::thread::sleep(SLEEP);
        }
        Self {
            others: host.figures().processes,
            host,
            folder: tempfile::tempdir().expect("a folder for temporary files can be made"),
            slept,
            control: Control::start(),
            _bystander: bystander,
        }
    }

    /// Runs a case.
    ///
    /// # Panics
    ///
    /// If the host says that it has a bug.
    pub fn run(&self, lineage: &Lineage) -> Scores {
        let data = self.folder.path().join("data");
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).expect("the folder can be written");
        let wasm = wat::parse_str(lineage.plan().module()).unwrap_or_else(|error| panic!("{lineage}: {error}"));
        let module = self.host.load(&wasm);
        let module = module.unwrap_or_else(|error| panic!("{lineage}: {error}"));
        let before = Peaks::now(&self.host);
        self.slept.take();
        self.control.take();
        let start = || self.attacker(&module, &data);
        let (peaks, ended) = self.watch(before, start);
        if let Some(reason @ ExitReason::HostBug(_)) = ended.reason {
            panic!("{lineage}: {reason}");
        }
        let delay = self.longest_sleep().saturating_sub(self.control.take().max(SLEEP));
        Scores {
            resident: peaks.resident - before.resident,
            kept: peaks.kept - before.kept,
            delay: delay.as_micros() as u64,
            return_: ended.given_back.as_micros() as u64,
        }
    }

    /// Runs the system of a case to its end, and waits until all is given back.
    fn attacker(&self, module: &Arc<lunatic_host::Module>, data: &Path) -> Ended {
        let caps = Caps {
            processes: Some(PROCESSES),
            memory: Some(BUDGET as u64),
            cpu: Some(CPU),
            ..Caps::default()
        };
        let kept = self.host.figures().kept_bytes;
        let program = self.host.loaded(module).quiet().caps(caps).dir(data, "/data", false);
        let rules = ["127.0.0.1", "bind:127.0.0.1"].map(|rule| rule.parse().expect("it is a rule"));
        let Ok(system) = program.net(rules.into()).try_start() else {
            return Ended::default();
        };
        let reason = system.wait_timeout(PATIENCE);
        let end = Instant::now();
        drop(system);
        let is_left = || {
            let figures = self.host.figures();
            figures.processes > self.others || figures.kept_bytes > kept
        };
        while is_left() && end.elapsed() < GIVEN_BACK {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ended {
            reason,
            given_back: end.elapsed(),
        }
    }

    /// The longest sleep of the bystander since the last call, the one among them that ends now.
    fn longest_sleep(&self) -> Duration {
        let mut before = self.slept.take();
        let start = Instant::now();
        loop {
            let last = self.slept.take();
            before.extend_from_slice(&last);
            if !last.is_empty() {
                return sleeps(&before).max().unwrap_or_default();
            }
            if start.elapsed() > GIVEN_BACK {
                return GIVEN_BACK;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The most that was held while `run` ran.
    fn watch(&self, before: Peaks, run: impl FnOnce() -> Ended) -> (Peaks, Ended) {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut peaks = before;
                while !is_over.load(Ordering::Relaxed) {
                    peaks = peaks.most(Peaks::now(&self.host));
                    std::thread::sleep(Duration::from_millis(1));
                }
                peaks
            });
            let ended = run();
            is_over.store(true, Ordering::Relaxed);
            (watching.join().expect("watching does not panic"), ended)
        })
    }
}

/// How a case ended.
#[derive(Default)]
struct Ended {
    reason: Option<ExitReason>,
    given_back: Duration,
}

/// The most that was held so far, in bytes.
#[derive(Clone, Copy)]
struct Peaks {
    resident: u64,
    kept: u64,
}

impl Peaks {
    fn now(host: &Host) -> Self {
        Self {
            resident: resident() as u64,
            kept: host.figures().kept_bytes as u64,
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            kept: self.kept.max(other.kept),
        }
    }
}

/// The times that the bystander wrote.
fn sleeps(bytes: &[u8]) -> impl Iterator<Item = Duration> {
    let times = bytes.as_chunks::<8>().0.iter();
    times.map(|&time| Duration::from_nanos(u64::from_le_bytes(time)))
}

/// Sleeps 5 ms again and again, and writes how long each sleep was: 8 bytes, nanoseconds.
const BYSTANDER: &str = r#"(module
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

/// A thread that does what the bystander does: how late it is, the machine is.
struct Control {
    worst: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    fn start() -> Self {
        let (worst, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (worst_of, is_over_of) = (worst.clone(), is_over.clone());
        let thread = std::thread::spawn(move || {
            while !is_over_of.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(SLEEP);
                worst_of.fetch_max(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
        });
        Self {
            worst,
            is_over,
            thread: Some(thread),
        }
    }

    /// The longest sleep since the last call.
    fn take(&self) -> Duration {
        Duration::from_nanos(self.worst.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
