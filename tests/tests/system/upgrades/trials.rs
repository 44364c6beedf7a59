//! New versions on trial, and the way back.

use std::time::Duration;

use lunatic_host::code::{UpgradeConfig, UpgradePhase};
use lunatic_tests::guests::Profile;
use lunatic_tests::host::{Host, PATIENCE};

use super::{at_once, done, named, run, upgrade};

#[test]
fn a_canary_that_fails_brings_all_back() {
    run(Host::shared(), &["forth"], Profile::Debug, |system, new| {
        let mut config = UpgradeConfig::default();
        // Times that no clock can represent are as good as none.
        (config.watch, config.patience, config.time_limit) = (Duration::MAX, Duration::MAX, Duration::MAX);
        let watched = system.upgrade(new, config.clone()).unwrap();
        while watched.report().phase != UpgradePhase::Watching {
            assert!(!watched.report().phase.is_over(), "{:?}", watched.report());
            std::thread::yield_now();
        }
        assert_eq!(watched.report().changed, 1);
        assert!(system.upgrade(new, config).is_err(), "one at a time");
        watched.cancel();
        let report = watched.wait();
        assert_eq!(report.phase, UpgradePhase::RolledBack("it was cancelled".into()));
        assert_eq!(report.changed, 0, "{report:?}");
        let versions = system.versions();
        assert_eq!(versions.len(), 1, "{versions:?}");
        assert_eq!((versions[0].number, versions[0].processes), (1, 2), "{versions:?}");
        done(system);
    });
}

#[test]
fn helpers_that_fail_in_the_new_version_bring_all_back() {
    run(Host::shared(), &["failing"], Profile::Debug, |system, new| {
        let mut config = UpgradeConfig::default();
        config.watch = PATIENCE;
        let report = upgrade(system, new, config);
        let UpgradePhase::RolledBack(why) = &report.phase else {
            panic!("{report:?}");
        };
        assert!(
            why.starts_with("processes of the new version fail more often: "),
            "{why}"
        );
        assert_eq!(report.changed, 0, "{report:?}");
        done(system);
    });
}

#[test]
fn what_cannot_be_read_on_the_way_back_is_what_it_was() {
    for restores in [true, false] {
        let ended = run(Host::shared(), &["back"], Profile::Debug, |system, new| {
            let mut config = UpgradeConfig::default();
            config.watch = PATIENCE;
            config.restores_saved = restores;
            let watched = system.upgrade(new, config).unwrap();
            while watched.report().phase != UpgradePhase::Watching {
                assert!(!watched.report().phase.is_over(), "{:?}", watched.report());
                std::thread::yield_now();
            }
            // Wait until it has been called several times in the new version.
            let asked = system.process(system.main().unwrap()).unwrap().snapshot.runs;
            while system.process(system.main().unwrap()).unwrap().snapshot.runs < asked + 20 {
                std::thread::yield_now();
            }
            watched.cancel();
            let report = watched.wait();
            assert_eq!(report.changed, usize::from(!restores), "{report:?}");
            done(system);
        });
        let jumps: Vec<Vec<u32>> = ended
            .stdout
            .lines()
            .map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect())
            .collect();
        let [there, back @ ..] = &*jumps else { panic!("{ended}") };
        let [1, left, 2, came] = **there else { panic!("{ended}") };
        assert_eq!(came, left + 1, "it goes on with its state");
        match (restores, back) {
            // Its state is the one with which it had left the first version.
            (true, [back]) => assert_eq!((back[0], back[2], back[3]), (2, 1, left + 1), "{ended}"),
            (false, []) => {}
            _ => panic!("{ended}"),
        }
    }
}

#[test]
fn a_process_on_trial_can_be_killed_and_hears_of_its_links() {
    for scenario in ["killed", "linked"] {
        run(Host::shared(), &[scenario], Profile::Debug, |system, new| {
            let mut config = at_once();
            config.is_partial = true;
            config.patience = Duration::from_secs(60);
            let upgrade = system.upgrade(new, config).unwrap();
            match scenario {
                "killed" => assert!(system.kill(named(system, "victim"))),
                _ => done(system),
            }
            let report = upgrade.wait();
            assert_eq!(report.changed, 0, "{report:?}");
        });
    }
}
