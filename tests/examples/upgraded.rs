//! What an upgrade costs those who are upgraded: `upgraded [ACTORS [BATCH]]`, by default 100,000, and as many at a time as the load
//! suggests. Prints how long actors stand still, and what
//! `wrk` sees of a web server with 128 connections that is upgraded a hundred times beside what it sees of the same server in peace.

use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lunatic_host::code::{Canary, UpgradeConfig, UpgradePhase};
use lunatic_host::inspect::Query;
use lunatic_host::{ExitReason, Module, RunningSystem};
use lunatic_tests::guests::{Profile, bytes};
use lunatic_tests::host::Host;

/// So long `wrk` asks.
const SECONDS: u32 = 10;
/// And so often the server is upgraded meanwhile.
const UPGRADES: u32 = 100;

fn main() {
    let size = std::env::args().nth(1);
    let size = size.map_or(100_000, |size| size.parse().expect("a number of actors"));
    let batch = std::env::args().nth(2);
    let batch = batch.map(|batch| batch.parse().expect("a number of actors at a time"));
    actors("at rest", "pauses", 1000, batch);
    actors("at rest", "pauses", size, batch);
    actors("under load", "many", size, batch);
    let (host, [old, new]) = (Host::with(|builder| builder), ["old", "new"]);
    let (old, new) = (version(&host, old), version(&host, new));
    let system = start(&host, &old, &["site"]);
    let address = system
        .sockets(0, 1)
        .rows
        .into_iter()
        .find_map(|socket| socket.local)
        .expect("the server listens");
    let url = format!("http://{address}/version");
    // What is compiled or allocated first is not measured.
    wrk(&url, 1);
    println!("in peace: {}", wrk(&url, SECONDS));
    let changed = thread::scope(|scope| {
        let upgrades = scope.spawn(|| {
            let start = Instant::now();
            let rounds = (0..UPGRADES).map(|round| {
                let at = start + Duration::from_secs(SECONDS.into()) * round / UPGRADES;
                thread::sleep(at.saturating_duration_since(Instant::now()));
                upgrade(&system, if round % 2 == 0 { &new } else { &old }, batch)
            });
            rounds.sum::<usize>()
        });
        println!("while it is upgraded: {}", wrk(&url, SECONDS));
        upgrades.join().expect("upgrades do not panic")
    });
    println!("{UPGRADES} upgrades, {changed} changes of a process");
}

fn version(host: &Host, name: &str) -> Arc<Module> {
    let loaded = host.load(&bytes(&format!("upgrades-{name}"), Profile::Release));
    loaded.expect("both versions can be loaded")
}

/// Starts a scenario, and waits until it is ready.
fn start(host: &Host, module: &Arc<Module>, args: &[&str]) -> RunningSystem {
    let local = ["127.0.0.1:*", "bind:127.0.0.1:*"].map(|rule| rule.parse().expect("these are rules"));
    let system = host.loaded(module).net(local.into()).args(args.iter().copied()).start();
    let ready = Query {
        name: Some("ready".into()),
        ..Query::default()
    };
    while system.list(&ready).matched == 0 {
        assert!(system.main().is_some(), "it has ended");
        thread::sleep(Duration::from_millis(10));
    }
    system
}

/// Upgrades all that can be, and tells how many have changed.
fn upgrade(system: &RunningSystem, module: &Arc<Module>, batch: Option<usize>) -> usize {
    let mut config = UpgradeConfig::default();
    config.batch = batch;
    config.canary = Canary::None;
    let report = system.upgrade(module, config).expect("no other goes on").wait();
    assert_eq!((&report.phase, report.kept), (&UpgradePhase::Done, 0), "{report:?}");
    report.changed
}

fn actors(how: &str, scenario: &str, count: usize, batch: Option<usize>) {
    let host = Host::with(|builder| builder);
    let (old, new) = (version(&host, "old"), version(&host, "new"));
    let system = start(&host, &old, &[scenario, &count.to_string()]);
    let changed = upgrade(&system, &new, batch);
    let report = system.last_upgrade().expect("there was one").report();
    let [p50, p99, max] = report.pauses;
    println!(
        "{changed} actors {how}: {:.2?}; each stood still for {p50:.0?} at the median, {p99:.0?} at the 99th percentile, {max:.1?} at most",
        report.time
    );
    let main = system.main().expect("it waits for this");
    system.exit(main, &ExitReason::Error("done".into()));
    assert_eq!(
        system.wait(),
        ExitReason::Normal,
        "nothing is lost, doubled or out of order"
    );
}

/// What `wrk` prints that matters, in one line.
fn wrk(url: &str, seconds: u32) -> String {
    let seconds = format!("{seconds}s");
    let args = [
        "--threads",
        "1",
        "--connections",
        "128",
        "--duration",
        &seconds,
        "--latency",
        url,
    ];
    let output = Command::new("wrk").args(args).output();
    let output = output.expect("`wrk` is missing: its package in Debian is `wrk`");
    let text = String::from_utf8_lossy(&output.stdout);
    let wanted = ["50%", "99%", "Requests/sec:", "Socket errors:", "Non-2xx"];
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| wanted.iter().any(|wanted| line.starts_with(wanted)));
    lines.collect::<Vec<_>>().join(", ")
}
