//! Runs a case and measures its costs for others.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lunatic_host::budget::Caps;
use lunatic_host::{ExitReason, Module};

use super::Lineage;
use crate::attackers;
use crate::bystander::{Bystander, SLEEP};
use crate::host::Host;
use crate::resident::{descriptors, resident};

/// The memory budget of the system of a case in bytes, for its memories and everything that is kept for it.
pub const BUDGET: usize = 8 << 20;
/// The limit of processes of a case.
const PROCESSES: u64 = 100;
/// The processor time of a case.
const CPU: Duration = Duration::from_millis(300);
/// A case that waits is stopped after this time.
const PATIENCE: Duration = Duration::from_millis(700);
/// What is not freed by then counts as never freed.
const GIVEN_BACK: Duration = Duration::from_secs(20);
/// Plain loops are measured each time after this many cases; the worst of the last few measurements is the reference for cases.
const CASES_PER_CONTROL: u64 = 16;
const CONTROLS: usize = 4;
/// The number of processes that loop.
const LOOPS: u32 = 8;

/// The costs of a case. For everyone except the case, less is better.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scores {
    /// By how many bytes the test program grew. Anything beyond the budget was not paid for.
    pub resident: u64,
    /// How many bytes the host reported as kept beside memories.
    pub kept: u64,
    /// The worst delay of a process that sleeps, in microseconds, minus that of a thread that does the same.
    pub delay: u64,
    /// Microseconds from the end of the case until everything was freed.
    pub return_: u64,
    /// The number of descriptors that were open.
    pub descriptors: u64,
}

impl Scores {
    pub(super) const COUNT: usize = 5;
    /// The names of the scores.
    pub const NAMES: [&str; Self::COUNT] = ["resident", "kept", "delay", "return", "descriptors"];

    pub(super) fn get(&self, kind: usize) -> u64 {
        [self.resident, self.kept, self.delay, self.return_, self.descriptors][kind]
    }

    /// For each score the lower one of two runs of a case.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        Self {
            resident: self.resident.min(other.resident),
            kept: self.kept.min(other.kept),
            delay: self.delay.min(other.delay),
            return_: self.return_.min(other.return_),
            descriptors: self.descriptors.min(other.descriptors),
        }
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, kept, delay, return_] =
            [self.resident, self.kept, self.delay, self.return_].map(|score| score as f64);
        write!(
            f,
            "resident {:.1} MB, kept {:.1} MB, delay {:.1} ms, return {:.1} ms, descriptors {}",
            resident / 1e6,
            kept / 1e6,
            delay / 1e3,
            return_ / 1e3,
            self.descriptors
        )
    }
}

/// A host with a bystander, on which cases run.
pub struct Stand {
    host: Host,
    folder: tempfile::TempDir,
    bystander: Bystander,
    control: Control,
    /// The processes that run all the time.
    others: usize,
    /// Plain loops, the latest measurements of the bystander's lateness beside them, and the number of cases since the
    /// start.
    loops: Arc<Module>,
    beside_loops: VecDeque<Duration>,
    cases: u64,
}

impl Default for Stand {
    fn default() -> Self {
        Self::new()
    }
}

impl Stand {
    /// Makes a host with two workers.
    ///
    /// # Panics
    ///
    /// If the host cannot be made.
    pub fn new() -> Self {
        let host = Host::with(|builder| builder.workers(2).cache(None));
        let bystander = Bystander::start(&host);
        let loops = host.load(&attackers::loops(LOOPS).wasm);
        Self {
            others: host.figures().processes,
            loops: loops.expect("it is a good module"),
            host,
            folder: tempfile::tempdir().expect("a folder for temporary files can be made"),
            bystander,
            control: Control::start(),
            beside_loops: VecDeque::new(),
            cases: 0,
        }
    }

    /// The worst lateness of the bystander beside plain loops, in the last few of the measurements made from time to
    /// time.
    pub fn beside_loops(&self) -> Duration {
        self.beside_loops.iter().max().copied().unwrap_or_default()
    }

    /// Runs a case.
    ///
    /// # Panics
    ///
    /// If the host reports a bug.
    pub fn run(&mut self, lineage: &Lineage) -> Scores {
        if self.cases.is_multiple_of(CASES_PER_CONTROL) {
            let scores = self.measure(&self.loops, "plain loops");
            self.beside_loops.push_back(Duration::from_micros(scores.delay));
            if self.beside_loops.len() > CONTROLS {
                self.beside_loops.pop_front();
            }
        }
        self.cases += 1;
        let wasm = wat::parse_str(lineage.plan().module()).unwrap_or_else(|error| panic!("{lineage}: {error}"));
        let module = self.host.load(&wasm);
        let module = module.unwrap_or_else(|error| panic!("{lineage}: {error}"));
        self.measure(&module, &lineage.to_string())
    }

    fn measure(&self, module: &Arc<Module>, what: &str) -> Scores {
        let data = self.folder.path().join("data");
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).expect("the folder can be written");
        let before = Peaks::now(&self.host);
        self.bystander.lateness();
        self.control.take();
        let (peaks, ended) = self.watch(before, || self.attacker(module, &data));
        if let Some(reason @ ExitReason::HostBug(_)) = ended.reason {
            panic!("{what}: {reason}");
        }
        let worst = self.bystander.lateness().into_iter().max().unwrap_or_default();
        Scores {
            resident: peaks.resident - before.resident,
            kept: peaks.kept - before.kept,
            delay: worst.saturating_sub(self.control.take()).as_micros() as u64,
            return_: ended.given_back.as_micros() as u64,
            descriptors: peaks.descriptors - before.descriptors,
        }
    }

    /// Runs the system of a case to its end, and waits until everything is freed.
    fn attacker(&self, module: &Arc<Module>, data: &Path) -> Ended {
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

    /// The most that was held while `run` was running.
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

/// The most that was held so far: bytes, and descriptors.
#[derive(Clone, Copy)]
struct Peaks {
    resident: u64,
    kept: u64,
    descriptors: u64,
}

impl Peaks {
    fn now(host: &Host) -> Self {
        Self {
            resident: resident() as u64,
            kept: host.figures().kept_bytes as u64,
            descriptors: descriptors() as u64,
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            kept: self.kept.max(other.kept),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

/// A thread that does the same as the bystander: its lateness is that of the machine.
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
                let late = start.elapsed().saturating_sub(SLEEP);
                worst_of.fetch_max(late.as_nanos() as u64, Ordering::Relaxed);
            }
        });
        Self {
            worst,
            is_over,
            thread: Some(thread),
        }
    }

    /// Its worst lateness since the last call.
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
