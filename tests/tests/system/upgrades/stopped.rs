//! Upgrades that are stopped while processes change.

use std::time::Duration;

use lunatic_host::RunningSystem;
use lunatic_host::code::{Canary, Upgrade, UpgradeConfig, UpgradePhase};
use lunatic_tests::guests::Profile;
use lunatic_tests::host::{Host, PATIENCE};

use super::{at_once, done, run, upgrade};

/// Waits until the upgrade is in this phase.
#[track_caller]
fn wait_for(upgrade: &Upgrade, phase: &UpgradePhase) {
    while upgrade.report().phase != *phase {
        assert!(!upgrade.report().phase.is_over(), "{:?}", upgrade.report());
        std::thread::yield_now();
    }
}

/// The number of each version, and whether it is current.
fn versions(system: &RunningSystem) -> Vec<(u32, bool)> {
    let versions = system.versions().into_iter();
    versions.map(|version| (version.number, version.is_current)).collect()
}

#[test]
fn a_process_does_not_accept_a_version_after_the_upgrade_was_stopped() {
    run(Host::shared(), &["hesitant"], Profile::Debug, |system, new| {
        let mut config = UpgradeConfig::default();
        (config.canary, config.watch) = (Canary::Count(2), PATIENCE);
        config.time_limit = PATIENCE;
        // Less than the one of them needs, and enough for the other.
        config.patience = Duration::from_secs(8);
        let watched = system.upgrade(new, config).unwrap();
        wait_for(&watched, &UpgradePhase::Watching);
        let report = watched.report();
        assert_eq!((report.changed, report.waiting), (1, 1), "{report:?}");
        watched.cancel();
        let report = watched.wait();
        assert_eq!(report.phase, UpgradePhase::RolledBack("it was cancelled".into()));
        assert_eq!((report.changed, report.waiting), (0, 0), "{report:?}");
        assert_eq!(versions(system), [(1, true)]);
        done(system);
    });
}

#[test]
fn an_upgrade_without_the_processes_that_were_to_change_first_is_refused() {
    run(Host::shared(), &["hesitant"], Profile::Debug, |system, new| {
        let mut config = UpgradeConfig::default();
        config.patience = Duration::from_millis(100);
        for (name, why) in [
            ("nobody", "no process that can change has the name"),
            // It is on trial for longer than that.
            ("sleepy", "none of the first processes changed"),
        ] {
            config.canary = Canary::Named(name.into());
            let report = upgrade(system, new, config.clone());
            let UpgradePhase::Refused(text) = &report.phase else {
                panic!("{report:?}");
            };
            assert!(text.starts_with(why), "{text}");
            assert_eq!(report.changed, 0, "{report:?}");
        }
        config.canary = Canary::Percent(0.0);
        config.watch = PATIENCE;
        (config.patience, config.time_limit) = (PATIENCE, PATIENCE);
        let watched = system.upgrade(new, config).unwrap();
        wait_for(&watched, &UpgradePhase::Watching);
        assert_eq!(watched.report().changed, 1);
        watched.cancel();
        watched.wait();
        done(system);
    });
}

#[test]
fn the_version_before_an_upgrade_that_was_stopped_is_the_current_one_again() {
    run(Host::shared(), &["hesitant"], Profile::Debug, |system, new| {
        let mut config = at_once();
        config.time_limit = PATIENCE;
        let changing = system.upgrade(new, config).unwrap();
        wait_for(&changing, &UpgradePhase::Changing);
        changing.cancel();
        let report = changing.wait();
        assert_eq!(
            (report.phase.why(), report.changed),
            (Some("it was cancelled"), 0),
            "{report:?}"
        );
        assert_eq!(versions(system), [(1, true)]);
        done(system);
    });
}
