//! Measures how much an attacker disturbs processes that run beside it.
//!
//! As many systems as the host has workers run the attacker, each with a budget, and are started again when they end. A
//! [`Bystander`] sleeps beside them. Then one attacker is killed when it holds most. The same is measured without
//! attackers, and with plain endless loops, which show the effects of the machine and of time slices.

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

/// The number of workers of the host, and of systems that run the attacker.
pub const WORKERS: usize = 2;
/// The memory budget of each system in bytes, for its memories and everything that is kept for it.
pub const BUDGET: usize = 256 << 20;
/// The limit of processes of each system.
const PROCESSES: u64 = 200;
/// How often an attacker is killed.
const KILLS: u32 = 3;
/// How full an attacker must be to be killed, in percent of the most that it has held.
const FULL: usize = 90;
/// After this time an attacker is killed even if it is not that full.
const FILLS: Duration = Duration::from_secs(2);
/// After this time the measurement no longer waits for resources to be freed.
const GIVES_UP: Duration = Duration::from_secs(30);

/// The costs of one attacker.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// How late the bystander woke: median, 99th percentile and maximum.
    pub p50: Duration,
    pub p99: Duration,
    pub worst: Duration,
    /// By how many bytes the test program grew. Of these, each system may use [`BUDGET`].
    pub grown: usize,
    /// The number of additional descriptors that were open.
    pub descriptors: usize,
    /// The worst times from the kill of a main process until it had exited, until no process of its system was left,
    /// and until everything that the host had kept for it was freed.
    pub main_gone: Duration,
    pub all_gone: Duration,
    pub given_back: Duration,
}

/// The promised bounds; [`Cost::broken`] returns those that are exceeded.
impl Cost {
    /// The bound for the 99th percentile of lateness.
    pub const P99: Duration = Duration::from_millis(5);
    /// The bound for the maximum of lateness.
    pub const WORST: Duration = Duration::from_millis(20);
    /// The bound for the time until a killed process is gone, whatever it held.
    pub const GONE: Duration = Duration::from_millis(50);
    /// The bound for the growth by all attackers together: a tenth and 64 MB more than their budgets.
    pub const GROWN: usize = WORKERS * BUDGET + WORKERS * BUDGET / 10 + (64 << 20);

    /// The names of the bounds that are exceeded.
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

/// What the host keeps for attackers.
#[derive(Clone, Copy)]
struct Held {
    processes: usize,
    kept: usize,
    bytes: usize,
}

impl Range {
    /// Makes a host on which each attacker runs for `time`.
    ///
    /// # Panics
    ///
    /// If the host cannot be made.
    pub fn new(time: Duration, settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Self {
        let host = Host::with(|builder| settings(builder.workers(WORKERS).cache(None)));
        Self {
            bystander: Bystander::start(&host),
            host,
            folder: tempfile::tempdir().expect("a folder for temporary files can be made"),
            time,
        }
    }

    /// Measures the bystander alone.
    pub fn alone(&self) -> Cost {
        let mut cost = Cost::default();
        self.bystander.lateness();
        std::thread::sleep(self.time);
        cost.set_lateness(self.bystander.lateness());
        cost
    }

    /// Measures the costs of an attacker.
    ///
    /// # Panics
    ///
    /// If the host cannot load its module.
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

    /// Measures the bystander beside attackers. Also returns the most bytes that the attackers held.
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
                        // If a system could not be started for lack of room, try again.
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
            // The ends of the attackers count, too.
            is_over.store(true, Ordering::Relaxed);
        });
        cost.set_lateness(self.bystander.lateness());
        (cost.grown, cost.descriptors) = (grown, open);
        (cost, most)
    }

    /// Kills an attacker when it holds `full` bytes, and records the times.
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

    /// Waits until the host keeps no more than before.
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

/// Runs a system until it ends, or the measurement is over.
fn run_until(system: &RunningSystem, is_over: &AtomicBool) {
    loop {
        let ended = system.wait_timeout(Duration::from_millis(10));
        if ended.is_some() || is_over.load(Ordering::Relaxed) {
            return;
        }
    }
}
