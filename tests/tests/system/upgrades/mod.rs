//! New code for running processes. The program, in two versions, is in `guests/upgrades`.

mod changes;
mod refusals;
mod servers;
mod stopped;
mod trials;

use std::sync::Arc;
use std::time::Instant;

use lunatic_host::code::{Canary, UpgradeConfig, UpgradePhase, UpgradeReport};
use lunatic_host::inspect::Query;
use lunatic_host::{ExitReason, Id, Module, RunningSystem};
use lunatic_tests::guests::{Profile, bytes};
use lunatic_tests::host::{Ended, Host, PATIENCE};

fn load(host: &Host, version: &str, profile: Profile) -> Arc<Module> {
    host.load(&bytes(&format!("upgrades-{version}"), profile)).unwrap()
}

/// Immediately, without a canary.
fn at_once() -> UpgradeConfig {
    let mut config = UpgradeConfig::default();
    config.canary = Canary::None;
    config
}

/// The process with this name; waits until there is one.
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
    panic!("no process has the name {name}");
}

/// Ends a program whose test has failed; otherwise it would run for ever.
struct EndOnPanic<'a>(&'a RunningSystem);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// Lets the program continue.
fn done(system: &RunningSystem) {
    // If it has failed, that is noticed when its end is checked.
    if let Some(main) = system.main() {
        system.exit(main, &ExitReason::Error("done".into()));
    }
}

/// Runs a scenario of the old version, and calls `change` when it is ready.
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
