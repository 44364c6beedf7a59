//! Actors that are upgraded to and fro while anything happens to them. The oracle is the same actors without upgrades: whatever the
//! schedule, each must behave as if there were one version.
//!
//! The guest (`model` in `tests/guests/upgrades`) sends, asks, sets timers, kills and stops, and checks each answer, each end and the
//! order of all messages; half of the states are not taken by the next version, in one way or another. Meanwhile this thread brings
//! the program from one version to the other, with canaries and without, cancels some upgrades, and rehearses others.
//!
//! `cargo run --release -p lunatic-tests --example renewed -- UPGRADES [SEED]` goes on for as long as you like.

use std::time::Duration;

use lunatic_host::code::{Canary, UpgradeConfig};
use lunatic_host::inspect::Query;
use lunatic_host::{ExitReason, RunningSystem};

use crate::guests::{Profile, bytes};
use crate::host::Host;

/// What has happened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// Upgrades that were begun.
    pub upgrades: usize,
    /// Processes that went over to another version, or came back.
    pub changed: usize,
    /// Processes that were tried and stayed.
    pub kept: usize,
}

/// Has a guest do things that the seed chooses, and upgrades it so often meanwhile.
///
/// # Panics
///
/// If anything is not as it would be without upgrades.
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
                // At some point of the upgrade, which one does not matter.
                (0..random.below(3000)).for_each(|_| std::thread::yield_now());
                upgrade.cancel();
            }
            let report = upgrade.wait();
            happened.upgrades += 1;
            happened.changed += report.changed;
            happened.kept += report.kept;
        }
        // If it has failed, that is told by how it ended.
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
    // That would be to forget messages.
    config.restores_saved = false;
    config.rehearse_only = random.below(8) == 0;
    config.canary = match random.below(3) {
        0 => Canary::Count(2),
        1 => Canary::Percent(50.0),
        _ => Canary::None,
    };
    config.watch = Duration::from_micros(random.below(2000));
    config.time_limit = Duration::from_millis(5);
    config.batch = 1 + random.below(4) as usize;
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

/// Numbers that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
