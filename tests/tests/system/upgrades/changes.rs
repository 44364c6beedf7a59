//! What changes, and what stays as it was.

use std::time::{Duration, Instant};

use lunatic_host::RunningSystem;
use lunatic_host::metrics::{FamilyView, ValueView};
use lunatic_tests::guests::{PROFILES, Profile, bytes};
use lunatic_tests::host::{Host, PATIENCE};
use lunatic_tests::renewed::renew;

use super::{EndOnPanic, at_once, done, load, named, run, upgrade, upgraded};

#[test]
fn all_that_a_process_is_and_has_stays() {
    for profile in PROFILES {
        let report = upgraded(&["keeps"], profile);
        assert_eq!(
            (report.from, report.to, report.changed, report.kept),
            (1, 2, 1, 0),
            "{report:?}"
        );
        assert_eq!(report.without_point, 1, "{report:?}");
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_under_load() {
    let report = upgraded(&["many"], Profile::Release);
    assert_eq!(report.changed, 300, "{report:?}");
}

#[test]
fn an_order_that_comes_while_a_process_changes_is_followed_too() {
    run(Host::shared(), &["slow"], Profile::Release, |system, new| {
        let mut impatient = at_once();
        impatient.patience = Duration::ZERO;
        // When this upgrade is over, the actor has not read its state yet.
        upgrade(system, new, impatient);
        let report = upgrade(system, new, at_once());
        assert_eq!((report.phase.name(), report.waiting), ("done", 0), "{report:?}");
        done(system);
    });
}

#[test]
fn children_run_the_version_of_their_parents() {
    let report = upgraded(&["children"], Profile::Debug);
    assert_eq!(report.changed, 1, "{report:?}");
}

#[test]
fn a_loop_changes_at_the_point_that_it_offers() {
    for profile in PROFILES {
        let report = upgraded(&["plain"], profile);
        assert_eq!(report.changed, 1, "{report:?}");
    }
}

#[test]
fn processes_that_wait_behind_their_point_of_change_delay_no_others() {
    run(Host::shared(), &["behind"], Profile::Debug, |system, new| {
        let mut config = at_once();
        config.patience = 2 * PATIENCE;
        let changing = system.upgrade(new, config).unwrap();
        let start = Instant::now();
        while changing.report().changed < 8 {
            assert!(start.elapsed() < PATIENCE, "{:?}", changing.report());
            std::thread::yield_now();
        }
        assert_eq!(changing.report().kept, 0, "{:?}", changing.report());
        // The loops end with the program, and the upgrade with them.
        done(system);
    });
}

#[test]
fn a_process_that_follows_another_in_its_instance_changes_as_any_other() {
    let host = Host::with(|builder| builder.workers(1));
    let old = load(&host, "old", Profile::Release);
    run(&host, &["following"], Profile::Release, |system, new| {
        let mut changed = 0;
        for round in 0..50 {
            let report = upgrade(system, if round % 2 == 0 { new } else { &old }, at_once());
            assert_eq!((report.phase.name(), report.kept), ("done", 0), "{report:?}");
            changed += report.changed;
        }
        assert_ne!(changed, 0);
        done(system);
    });
}

#[test]
fn a_supervisor_goes_on_with_its_children() {
    for profile in PROFILES {
        let report = upgraded(&["tree"], profile);
        // The new version no longer has one of the children, which may change before the supervisor does, or be ended
        // by it.
        assert!((3..=4).contains(&report.changed), "{report:?}");
    }
}

#[test]
fn dynamic_supervisors_and_pools_change_with_what_they_know() {
    let report = upgraded(&["managers"], Profile::Debug);
    // Two sessions, two workers, and both managers.
    assert_eq!(report.changed, 6, "{report:?}");
}

#[test]
fn frozen_processes_change_too() {
    let host = Host::with(|builder| builder.resident_max(0));
    run(&host, &["frozen"], Profile::Debug, |system, new| {
        let report = upgrade(system, new, at_once());
        assert_eq!(report.changed, 100, "{report:?}");
        done(system);
    });
}

#[test]
fn what_a_process_opens_while_it_reads_its_state_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text"), "some text").unwrap();
    let host = Host::shared();
    let [old, new] = ["old", "new"].map(|version| load(host, version, Profile::Debug));
    let program = host.loaded(&old).args(["gains"]).dir(folder.path(), "/", true);
    let ended = program.run_beside(|system| {
        let _ended = EndOnPanic(system);
        named(system, "ready");
        let report = upgrade(system, &new, at_once());
        assert_eq!((report.changed, report.kept), (1, 0), "{report:?}");
        let start = Instant::now();
        while gauges(system) != [("gained".to_owned(), 3), ("kept".to_owned(), 6)] {
            assert!(start.elapsed() < PATIENCE, "{:?}", gauges(system));
            std::thread::yield_now();
        }
        done(system);
    });
    ended.normal();
}

/// The gauges of a program and their values.
fn gauges(system: &RunningSystem) -> Vec<(String, i64)> {
    let families = system.metrics().into_iter();
    let value = |family: FamilyView| match family.series[0].value {
        ValueView::Gauge(value) => Some((family.name, value)),
        _ => None,
    };
    families.filter_map(value).collect()
}

/// Runs a scenario that upgrades itself.
fn upgrades_itself(scenario: &str) {
    // The guest compiles the new version itself, in turn with others, and an unoptimised one would be large.
    let profile = Profile::Release;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("new.wasm"), bytes("upgrades-new", profile)).unwrap();
    let host = Host::shared();
    let program = host.loaded(&load(host, "old", profile)).args([scenario]);
    program.dir(folder.path(), "/", true).run().normal();
}

#[test]
fn a_program_upgrades_itself() {
    upgrades_itself("whole");
}

#[test]
fn one_with_fewer_rights_upgrades_only_its_own() {
    upgrades_itself("narrow");
}

#[test]
fn one_with_fewer_rights_cannot_delay_the_upgrades_of_others() {
    upgrades_itself("delayed");
}

#[test]
fn a_process_that_was_late_among_the_first_is_counted_when_it_has_changed() {
    upgrades_itself("belated");
}

#[test]
fn to_and_fro_leaves_nothing_behind() {
    let host = Host::with(|builder| builder.workers(2));
    let old = load(&host, "old", Profile::Release);
    run(&host, &["forth"], Profile::Release, |system, new| {
        let mut instances = Vec::new();
        for round in 0..1000 {
            let to = if round % 2 == 0 { new } else { &old };
            let report = upgrade(system, to, at_once());
            assert_eq!((report.changed, report.kept), (1, 0), "{report:?}");
            instances.push(host.figures().instances);
        }
        assert!(instances[999] <= instances[9] + 2, "{instances:?}");
        assert_eq!(
            system.versions().iter().map(|version| version.processes).sum::<usize>(),
            2
        );
        done(system);
    });
}

#[test]
fn whatever_happens_meanwhile_it_is_as_if_there_were_one_version() {
    for seed in 1..=3 {
        let happened = renew(Host::shared(), seed, 20);
        assert!(
            happened.upgrades == 20 && happened.changed > 0 && happened.kept > 0,
            "{happened:?}"
        );
    }
}
