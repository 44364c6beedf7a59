//! Programs that count, with `lunatic::metrics`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lunatic::metrics::{counter, counter_with, gauge, histogram};
use lunatic::rights::Right;
use lunatic::{ExitReason, Process, ProcessConfig, sleep};

lunatic_test_guests::scenarios![together, sandboxed, too_many, another_kind, cost];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

/// What many processes count is added up, and stays when they have ended; what they say of gauges goes with them.
fn together() {
    for number in 0..100_u64 {
        let ended = Process::spawn(move || {
            counter("orders").add(2);
            counter_with("requests", &[("method", if number % 2 == 0 { "GET" } else { "PUT" })]).add(1);
            gauge("open").add(3);
            histogram("seconds", &[0.5, 50.0]).observe(number as f64);
            assert_ne!(number, 7, "one of them fails");
        });
        let ended = ended.unwrap().join();
        assert_eq!(ended == ExitReason::Normal, number != 7, "{ended:?}");
    }
    gauge("open").set(4);
    gauge("open").add(1);
    println!("ready");
    sleep(LONG);
}

fn sandboxed() {
    let count = || counter("secret").add(1);
    let join = |config: &ProcessConfig| Process::builder().config(config).spawn(count).unwrap().join();
    assert_eq!(join(&ProcessConfig::new()), ExitReason::Normal);
    assert_eq!(join(&ProcessConfig::new().allow(Right::Metrics)), ExitReason::Normal);
    println!("ready");
    sleep(LONG);
}

fn too_many() {
    for number in 0..5000 {
        counter_with("many", &[("number", &number.to_string())]).add(1);
    }
    println!("ready");
    sleep(LONG);
}

fn another_kind() {
    counter("orders").add(1);
    let ended = Process::spawn(|| gauge("orders").add(1)).unwrap().join();
    assert!(matches!(ended, ExitReason::Panic(why) if why.contains("`orders` is of another kind")));
    let ended = Process::spawn(|| counter("no name").add(1)).unwrap().join();
    assert!(matches!(ended, ExitReason::Trap { .. }));
}

/// Prints what an addition costs, in nanoseconds.
fn cost() {
    let measure = |name: &str, rounds: u32, act: &dyn Fn(u32)| {
        act(0);
        let start = Instant::now();
        (0..rounds).for_each(act);
        println!("{name} {:.1}", start.elapsed().as_nanos() as f64 / f64::from(rounds));
    };
    let rounds: u32 = std::env::args().nth(2).unwrap().parse().unwrap();
    let kept = counter("kept");
    measure("nothing", rounds, &|round| _ = black_box(round));
    measure("kept", rounds, &|_| kept.add(1));
    measure("by-name", rounds, &|_| counter("by_name").add(1));
    measure("gauge", rounds, &|_| gauge("gauge").add(1));
    measure("histogram", rounds, &|round| {
        histogram("histogram", &[0.5, 1.0, 10.0, 100.0]).observe(f64::from(round))
    });
    measure("spawn", rounds / 10, &|_| _ = Process::spawn(|| ()).unwrap().join());
    measure("with-labels", rounds, &|_| {
        counter_with("labels", &[("method", "GET"), ("code", "200")]).add(1)
    });
}
