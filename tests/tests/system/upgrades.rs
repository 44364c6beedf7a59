//! New code for processes that run. The program, in two versions, is in `guests/upgrades`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_host::code::{Canary, UpgradeConfig, UpgradePhase, UpgradeReport};
use lunatic_host::inspect::Query;
use lunatic_host::{ExitReason, Id, Module, RunningSystem};
use lunatic_tests::guests::{PROFILES, Profile, bytes};
use lunatic_tests::host::{Ended, Host, PATIENCE};
use lunatic_tests::renewed::renew;

fn load(host: &Host, version: &str, profile: Profile) -> Arc<Module> {
    host.load(&bytes(&format!("upgrades-{version}"), profile)).unwrap()
}

/// At once, without a canary.
fn at_once() -> UpgradeConfig {
    let mut config = UpgradeConfig::default();
    config.canary = Canary::None;
    config
}

/// The process of this name; waits until there is one.
fn named(system: &RunningSystem, name: &str) -> Id {
    let query = Query {
        name: Some(name.into()),
        ..Query::default()
    };
    let start = Instant::now();
    while start.elapsed() < PATIENCE && system.main().is_some() {
        let page = system.list(&query);
        let named = page
            .processes
            .into_iter()
            .find(|process| process.snapshot.names == [name]);
        if let Some(process) = named {
            return process.snapshot.id;
        }
        std::thread::yield_now();
    }
    panic!("nobody is called {name}");
}

/// Ends a program whose test has failed: nobody else would.
struct EndOnPanic<'a>(&'a RunningSystem);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// Lets the program go on.
fn done(system: &RunningSystem) {
    // If it has failed, that is told when it is judged.
    if let Some(main) = system.main() {
        system.exit(main, &ExitReason::Error("done".into()));
    }
}

/// Runs a scenario of the old version, and has `change` happen when it is ready.
fn run(
    host: &Host,
    args: &[&str],
    profile: Profile,
    change: impl FnOnce(&RunningSystem, &Arc<Module>) + Send,
) -> Ended {
    let new = load(host, "new", profile);
    let old = host.loaded(&load(host, "old", profile)).net(vec![
        "127.0.0.1:*".parse().unwrap(),
        "bind:127.0.0.1:*".parse().unwrap(),
    ]);
    let ended = old.args(args.iter().copied()).run_beside(|system| {
        let _ended = EndOnPanic(system);
        named(system, "ready");
        change(system, &new);
    });
    ended.normal()
}

#[track_caller]
fn upgrade(system: &RunningSystem, module: &Arc<Module>, config: UpgradeConfig) -> UpgradeReport {
    system.upgrade(module, config).unwrap().wait()
}

/// Runs a scenario, and upgrades it when it is ready.
fn upgraded(args: &[&str], profile: Profile) -> UpgradeReport {
    let mut report = None;
    run(Host::shared(), args, profile, |system, new| {
        let done_with = upgrade(system, new, at_once());
        assert_eq!(done_with.phase, UpgradePhase::Done, "{done_with:?}");
        report = Some(done_with);
        done(system);
    });
    report.unwrap()
}

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
fn a_server_changes_between_two_connections() {
    let report = upgraded(&["serving"], Profile::Debug);
    assert_eq!(report.changed, 1, "{report:?}");
}

#[test]
fn connections_of_a_web_server_stay_open() {
    let host = Host::shared();
    let old = load(host, "old", Profile::Release);
    let ended = run(host, &["web"], Profile::Release, |system, new| {
        for round in 0..50 {
            let report = upgrade(system, if round % 2 == 0 { new } else { &old }, at_once());
            // Its acceptor, the connection, and perhaps one that is about to end.
            assert!((2..=3).contains(&report.changed), "{report:?}");
            assert_eq!(report.kept, 0, "{report:?}");
            // It asks on both connections, which takes some waits for each.
            let runs = || system.process(system.main().unwrap()).unwrap().snapshot.runs;
            let before = runs();
            while runs() < before + 8 {
                std::thread::yield_now();
            }
        }
        assert_ne!(upgrade(system, new, at_once()).changed, 0);
        done(system);
    });
    let times: Vec<usize> = ended.stdout.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(times.iter().all(|times| *times >= 25), "{}", ended.stdout);
}

/// Nothing comes, and nobody is waited for.
#[test]
fn servers_and_idle_connections_change_at_once() {
    let host = Host::shared();
    for profile in PROFILES {
        let (old, new) = (load(host, "old", profile), load(host, "new", profile));
        let local = ["127.0.0.1:*", "bind:127.0.0.1:*"].map(|rule| rule.parse().unwrap());
        let system = host.loaded(&old).net(local.into()).args(["site"]).start();
        named(&system, "ready");
        let listener = system.sockets(0, 1).rows.into_iter().find_map(|socket| socket.local);
        let address = listener.unwrap();
        let mut idle: Vec<_> = (0..5).map(|_| TcpStream::connect(&address).unwrap()).collect();
        for stream in &mut idle {
            assert_eq!(ask(stream), b'1');
        }
        // Some of them have waited for long enough to be idle, perhaps, and others not.
        for round in 0..20 {
            let report = upgrade(&system, if round % 2 == 0 { &new } else { &old }, at_once());
            assert_eq!((report.changed, report.waiting, report.kept), (6, 0, 0), "{report:?}");
        }
        for stream in &mut idle {
            assert_eq!(ask(stream), b'1');
        }
        assert_eq!(upgrade(&system, &new, at_once()).changed, 6);
        for stream in &mut idle {
            assert_eq!(ask(stream), b'2');
        }
        assert_eq!(ask(&mut TcpStream::connect(&address).unwrap()), b'2');
    }
}

/// The version that answers on a connection.
fn ask(stream: &mut TcpStream) -> u8 {
    stream.write_all(b"GET /version HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n1") && !answer.ends_with(b"\r\n\r\n2") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    answer[answer.len() - 1]
}

#[test]
fn a_supervisor_goes_on_with_its_children() {
    for profile in PROFILES {
        let report = upgraded(&["tree"], profile);
        // One of the children is no more in the new version: it may change before the supervisor, or be ended by it.
        assert!((2..=3).contains(&report.changed), "{report:?}");
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

/// The new version does not take the state: nothing changes, and the report says why.
#[track_caller]
fn stays(scenario: &str, why: &str) {
    run(Host::shared(), &[scenario], Profile::Debug, |system, new| {
        let mut config = at_once();
        config.time_limit = Duration::from_millis(200);
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
        done(system);
    });
}

#[test]
fn a_version_that_does_not_take_the_state_changes_nothing() {
    stays("traps", "trapped");
    stays("panics", "no such state");
    stays("refuses", "it is Saturday");
    stays("loops", "it did not accept the state within 200ms");
    stays("lies", "cannot read the state `alloc::string::String`");
    stays("exits", "it gives up");
    stays("sends", "may not send");
    stays("spawns", "may not send, receive, spawn");
    stays("returns", "before it had accepted the state");
    stays("unsaved", "`upgrades::stubborn::Unsaved` does not save its state");
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

#[test]
fn a_canary_that_fails_brings_all_back() {
    run(Host::shared(), &["forth"], Profile::Debug, |system, new| {
        let mut config = UpgradeConfig::default();
        config.watch = PATIENCE;
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

/// Runs a scenario that upgrades itself.
fn upgrades_itself(scenario: &str) {
    // A guest has compiled what it brings along in turns, and the other one is large.
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
            // It is asked some times in the new version.
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
            // It was the state with which it had left.
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
            if scenario == "killed" {
                system.kill(named(system, "victim"));
            }
            let report = upgrade.wait();
            assert_eq!(report.changed, 0, "{report:?}");
        });
    }
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
