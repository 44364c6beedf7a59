//! What changes nothing: a version that does not accept a state, and a rehearsal.

use std::time::Duration;

use lunatic_host::code::UpgradePhase;
use lunatic_tests::guests::Profile;
use lunatic_tests::host::Host;

use super::{at_once, done, run, upgrade};

/// The new version rejects the state: nothing changes, and the report says why.
#[track_caller]
fn stays(scenario: &str, why: &str) {
    run(Host::shared(), &[scenario], Profile::Debug, |system, new| {
        let open = || (system.channels(0, 1).matched, system.sockets(0, 1).matched);
        let before = open();
        let mut config = at_once();
        config.time_limit = Duration::from_secs(3);
        let refused = upgrade(system, new, config.clone());
        let UpgradePhase::Refused(text) = &refused.phase else {
            panic!("{refused:?}");
        };
        assert!(text.contains(why), "{text}");
        assert_eq!(refused.changed + refused.kept, 0, "{refused:?}");
        config.is_partial = true;
        let partial = upgrade(system, new, config);
        assert_eq!(
            (&partial.phase, partial.changed, partial.kept),
            (&UpgradePhase::Done, 0, 1),
            "{partial:?}"
        );
        assert!(partial.refusals[0].1.contains(why), "{partial:?}");
        assert_eq!(open(), before, "channels and sockets");
        done(system);
    });
}

#[test]
fn a_version_that_does_not_take_the_state_changes_nothing() {
    stays("traps", "trapped");
    stays("panics", "no such state");
    stays("refuses", "it is Saturday");
    stays("loops", "it did not accept the state within 3s");
    stays("lies", "cannot read the state `alloc::string::String`");
    stays("exits", "it gives up");
    stays("sends", "may not send");
    stays("spawns", "may not send, receive, spawn");
    stays("listens", "may not send");
    stays("counts", "may not send");
    stays("opens", "it has opened channels");
    stays("returns", "before it had accepted the state");
    stays("misreads", "upgrades::stubborn::Changed: its casts could be misread");
    stays("misreads", "variant 0 was `Get`, and now is `Reset`");
    stays("unsaved", "`upgrades::stubborn::Unsaved` does not save its state");
}

#[test]
fn a_version_that_cannot_start_the_children_again_is_refused() {
    run(Host::shared(), &["starters"], Profile::Debug, |system, new| {
        let report = upgrade(system, new, at_once());
        let misfits = report.kinds.iter().filter_map(|kind| kind.misfit.as_deref());
        let why = "cannot read what `upgrades::supervised::Started` was started with";
        let misfits: Vec<_> = misfits.filter(|misfit| misfit.contains(why)).collect();
        // The dynamic supervisor, the pool, and the supervisor with a child that was added.
        assert_eq!(misfits.len(), 3, "{report:?}");
        assert!(matches!(report.phase, UpgradePhase::Refused(_)), "{report:?}");
        done(system);
    });
}

#[test]
fn a_rehearsal_changes_nothing() {
    run(Host::shared(), &["tree"], Profile::Debug, |system, new| {
        let mut config = at_once();
        config.rehearse_only = true;
        for _ in 0..2 {
            let report = upgrade(system, new, config.clone());
            assert_eq!(report.phase, UpgradePhase::Rehearsed, "{report:?}");
            assert_eq!(
                (report.changed, report.kept, report.kinds.len()),
                (0, 0, 2),
                "{report:?}"
            );
            assert!(
                report.kinds.iter().all(|kind| kind.is_tried && kind.misfit.is_none()),
                "{report:?}"
            );
            assert_eq!(system.versions().len(), 1, "{:?}", system.versions());
        }
        assert!(upgrade(system, new, at_once()).changed >= 2);
        let versions = system.versions();
        let told: Vec<_> = versions
            .iter()
            .map(|version| (version.number, version.is_current, version.processes))
            .collect();
        assert_eq!(told.first(), Some(&(1, false, 1)));
        let last = told
            .last()
            .map(|(_, is_current, processes)| (*is_current, *processes >= 2));
        assert_eq!(last, Some((true, true)), "{versions:?}");
        done(system);
    });
}

/// An upgrade that is over, but waits for a process, goes on waiting after a dry run.
#[test]
fn a_rehearsal_leaves_a_change_that_is_pending() {
    run(Host::shared(), &["busy"], Profile::Debug, |system, new| {
        let mut config = at_once();
        config.patience = Duration::ZERO;
        let report = upgrade(system, new, config.clone());
        assert_eq!((report.phase.name(), report.waiting), ("done", 1), "{report:?}");
        config.rehearse_only = true;
        let report = upgrade(system, new, config);
        assert_eq!(report.phase, UpgradePhase::Rehearsed, "{report:?}");
        done(system);
    });
}
