//! Actors that are upgraded repeatedly, to the new version and back, while they work. The oracle is the behaviour
//! without upgrades: whatever the schedule, each actor must behave as if there were only one version.
//!
//! The guest (`model` in `tests/guests/upgrades`) sends, calls, sets timers, kills and stops. It checks each answer,
//! each exit and the order of all messages. The next version rejects half of the states, in different ways. Meanwhile
//! this thread moves the program from one version to the other, with canaries and without, cancels some upgrades, and
//! rehearses others.
//!
//! `cargo run --release -p lunatic-tests --example renewed -- UPGRADES [SEED]` runs for any length of time.

use std::time::Duration;

use lunatic_host::code::{Canary, UpgradeConfig};
use lunatic_host::inspect::Query;
use lunatic_host::{ExitReason, RunningSystem};

use crate::guests::{Profile, bytes};
use crate::host::Host;

/// Counts of what happened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// Upgrades that were begun.
    pub upgrades: usize,
    /// Processes that moved to another version, or came back.
    pub changed: usize,
    /// Processes whose change was tried and failed.
    pub kept: usize,
}

/// Runs a guest that does what the seed determines, and upgrades it this many times meanwhile.
///
/// # Panics
///
/// If anything differs from the behaviour without upgrades.
pub fn renew(host: &Host, seed: u64, upgrades: usize) -> Happened {
    let [old, new] = ["old", "new"].map(|version| {
        let wasm = bytes(&format!("upgrades-{version}"), Profile::Release);
        host.load(&wasm).expect("the guests are modules")
    });
    let mut happened = Happened::default();
    let text = seed.to_string();
    let program = host.loaded(&old).args(["model", &text]).quiet();
    let ended = program.run_beside(|system| {
        let mut random = Random(seed | 1);
        wait_until_ready(system);
        while system.main().is_some() && happened.upgrades < upgrades {
            let to = if random.below(2) == 0 { &old } else { &new };
            let Ok(upgrade) = system.upgrade(to, config(&mut random)) else {
                continue;
            };
            if random.below(8) == 0 {
                // Cancel at an arbitrary point of the upgrade.
                (0..random.below(3000)).for_each(|_| std::thread::yield_now());
                upgrade.cancel();
            }
            let report = upgrade.wait();
            happened.upgrades += 1;
            happened.changed += report.changed;
            happened.kept += report.kept;
        }
        // If the guest has failed, its exit reason shows that below.
        if let Some(main) = system.main() {
            system.exit(main, &ExitReason::Error("done".into()));
        }
    });
    assert_eq!(ended.reason, ExitReason::Normal, "seed {seed}: {ended}");
    happened
}

fn config(random: &mut Random) -> UpgradeConfig {
    let mut config = UpgradeConfig::default();
    config.is_partial = true;
    // Restoring saved states would lose messages.
    config.restores_saved = false;
    config.rehearse_only = random.below(8) == 0;
    config.canary = match random.below(3) {
        0 => Canary::Count(2),
        1 => Canary::Percent(50.0),
        _ => Canary::None,
    };
    config.watch = Duration::from_micros(random.below(2000));
    config.time_limit = Duration::from_millis(5);
    config.batch = Some(1 + random.below(4) as usize);
    config.children_first = random.below(2) == 0;
    config
}

fn wait_until_ready(system: &RunningSystem) {
    let query = Query {
        name: Some("ready".into()),
        ..Query::default()
    };
    while system.main().is_some() && system.list(&query).matched == 0 {
        std::thread::yield_now();
    }
}

/// Pseudorandom numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
