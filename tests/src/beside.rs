//! What an attacker costs those who run beside it, measured.
//!
//! As many systems as workers run the attacker, each under a budget, and start it again when it ends; a [`Bystander`] sleeps
//! beside them. Then one attacker is killed when it holds the most. The same is measured with nobody beside the bystander, and
//! with plain endless loops: what those cost, the machine and the turns cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lunatic_host::budget::Caps;
use lunatic_host::rights::net::Rule;
use lunatic_host::{Module, RunningSystem, RuntimeBuilder};

use crate::attackers::Attacker;
use crate::bystander::Bystander;
use crate::host::{Host, Program};
use crate::resident::{descriptors, resident};

/// Workers of the host, and systems of the attacker.
pub const WORKERS: usize = 2;
/// The bytes that each system may use, its memories and all that is kept for it together.
pub const BUDGET: usize = 256 << 20;
/// Processes of each.
const PROCESSES: u64 = 200;
/// An attacker is killed so often.
const KILLS: u32 = 3;
/// So full of what it has held at most it is then, in percent.
const FULL: usize = 90;
/// One that does not become so full is killed all the same.
const FILLS: Duration = Duration::from_secs(2);
/// What has not gone by then is not waited for.
const GIVES_UP: Duration = Duration::from_secs(30);

/// What one attacker cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// By how much the bystander woke too late: half of the times at most, 99 of 100, and ever.
    pub p50: Duration,
    pub p99: Duration,
    pub worst: Duration,
    /// By how many bytes the program grew, of which [`BUDGET`] may be those of each system.
    pub grown: usize,
    /// How many descriptors were open, and had not been before.
    pub descriptors: usize,
    /// The worst time from the kill of its main process until that had ended, until no process of its system was left, and until
    /// all that the host had kept for it was given back.
    pub main_gone: Duration,
    pub all_gone: Duration,
    pub given_back: Duration,
}

/// What is promised; [`Cost::broken`] says which of it is not kept.
impl Cost {
    /// The latest that 99 of 100 sleeps may be.
    pub const P99: Duration = Duration::from_millis(5);
    /// The latest that any may be.
    pub const WORST: Duration = Duration::from_millis(20);
    /// How soon a process that is killed must be gone, whatever it held.
    pub const GONE: Duration = Duration::from_millis(50);
    /// The bytes that all attackers together may make the program grow by: a tenth and 64 MB more than their budgets.
    pub const GROWN: usize = WORKERS * BUDGET + WORKERS * BUDGET / 10 + (64 << 20);

    /// The names of the figures that are beyond what is promised.
    pub fn broken(&self) -> Vec<&'static str> {
        let broken = [
            ("p99", self.p99 > Self::P99),
            ("worst", self.worst > Self::WORST),
            ("memory", self.grown > Self::GROWN),
            ("gone", self.all_gone > Self::GONE),
        ];
        let names = broken.iter().filter(|(_, is_broken)| *is_broken);
        names.map(|(name, _)| *name).collect()
    }

    fn set_lateness(&mut self, mut lateness: Vec<Duration>) {
        lateness.sort_unstable();
        let at = |percent: usize| lateness[(lateness.len() - 1) * percent / 100];
        (self.p50, self.p99, self.worst) = (at(50), at(99), at(100));
    }
}

/// A host on which attackers are measured.
pub struct Range {
    host: Host,
    bystander: Bystander,
    folder: tempfile::TempDir,
    /// How long attackers run.
    time: Duration,
}

/// What the host holds of attackers.
#[derive(Clone, Copy)]
struct Held {
    processes: usize,
    kept: usize,
    bytes: usize,
}

impl Range {
    /// One where each attacker runs for `time`.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn new(time: Duration, settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Self {
        let host = Host::with(|builder| settings(builder.workers(WORKERS).cache(None)));
        Self {
            bystander: Bystander::start(&host),
            host,
            folder: tempfile::tempdir().expect("a folder for temporary files can be made"),
            time,
        }
    }

    /// The bystander without anybody beside it.
    pub fn alone(&self) -> Cost {
        let mut cost = Cost::default();
        self.bystander.lateness();
        std::thread::sleep(self.time);
        cost.set_lateness(self.bystander.lateness());
        cost
    }

    /// What an attacker costs.
    ///
    /// # Panics
    ///
    /// If its module is none that the host takes.
    pub fn measure(&self, attacker: &Attacker) -> Cost {
        let module = self.host.load(&attacker.wasm);
        let module = module.unwrap_or_else(|error| panic!("{}: {error}", attacker.what));
        let before = self.held();
        let (mut cost, most) = self.beside(&module);
        self.wait_for(before, GIVES_UP);
        for _ in 0..KILLS {
            self.kill(&module, before, most / WORKERS * FULL / 100, &mut cost);
        }
        cost
    }

    /// The bystander beside attackers, and the most bytes that these held.
    fn beside(&self, module: &Arc<Module>) -> (Cost, usize) {
        let mut cost = Cost::default();
        let (resident_before, descriptors_before) = (resident(), descriptors());
        let (mut grown, mut open, mut most) = (0, 0, 0);
        let is_over = AtomicBool::new(false);
        self.bystander.lateness();
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        // One that could not be started, as there is no room, is tried again.
                        if let Ok(system) = self.program(module).try_start() {
                            run_until(&system, &is_over);
                        }
                    }
                });
            }
            let start = Instant::now();
            while start.elapsed() < self.time {
                std::thread::sleep(Duration::from_millis(2));
                grown = grown.max(resident().saturating_sub(resident_before));
                open = open.max(descriptors().saturating_sub(descriptors_before));
                most = most.max(self.held().bytes);
            }
            // Their ends count, too.
            is_over.store(true, Ordering::Relaxed);
        });
        cost.set_lateness(self.bystander.lateness());
        (cost.grown, cost.descriptors) = (grown, open);
        (cost, most)
    }

    /// Kills an attacker when it holds `full` bytes, and takes the times.
    fn kill(&self, module: &Arc<Module>, before: Held, full: usize, cost: &mut Cost) {
        let Ok(system) = self.program(module).try_start() else {
            return;
        };
        let start = Instant::now();
        while self.held().bytes < before.bytes + full && start.elapsed() < FILLS {
            if system.wait_timeout(Duration::from_micros(500)).is_some() {
                break;
            }
        }
        let start = Instant::now();
        kill_main(&system);
        system.wait_timeout(GIVES_UP);
        cost.main_gone = cost.main_gone.max(start.elapsed());
        drop(system);
        while self.held().processes > before.processes && start.elapsed() < GIVES_UP {
            std::thread::sleep(Duration::from_micros(100));
        }
        cost.all_gone = cost.all_gone.max(start.elapsed());
        self.wait_for(before, GIVES_UP);
        cost.given_back = cost.given_back.max(start.elapsed());
    }

    /// Waits until no more is held than before.
    fn wait_for(&self, before: Held, at_most: Duration) {
        let start = Instant::now();
        let is_left = || {
            let held = self.held();
            held.processes > before.processes || held.kept > before.kept
        };
        while is_left() && start.elapsed() < at_most {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn held(&self) -> Held {
        let figures = self.host.figures();
        Held {
            processes: figures.processes,
            kept: figures.kept_bytes,
            bytes: figures.kept_bytes + figures.memory_bytes,
        }
    }

    fn program(&self, module: &Arc<Module>) -> Program<'_> {
        let caps = Caps {
            processes: Some(PROCESSES),
            memory: Some(BUDGET as u64),
            ..Caps::default()
        };
        let rules: Vec<Rule> = ["127.0.0.1", "bind:127.0.0.1"]
            .iter()
            .filter_map(|rule| rule.parse().ok())
            .collect();
        let program = self.host.loaded(module).quiet().caps(caps).net(rules);
        program.dir(self.folder.path(), "/data", false)
    }
}

fn kill_main(system: &RunningSystem) {
    if let Some(main) = system.main() {
        system.kill(main);
    }
}

/// Lets a system run until it ends, or it is over.
fn run_until(system: &RunningSystem, is_over: &AtomicBool) {
    loop {
        let ended = system.wait_timeout(Duration::from_millis(10));
        if ended.is_some() || is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}
