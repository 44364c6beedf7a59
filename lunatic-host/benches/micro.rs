//! Micro-benchmarks: `cargo bench -p lunatic-host`. In `cargo test` each runs once.
//!
//! Most are guests that take one step many times and tell how long that took, on one worker, so that what is measured is the
//! way through WebAssembly and the host, and nothing else runs.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use lunatic_host::bench::Sleeper;
use lunatic_host::{ExitReason, Runtime, SystemConfig};

/// A guest that runs a given number of steps. It exits with the time of one of its parts, in units of 16 ns.
///
/// It works in rounds of 500, which take less than a time slice each: `$first` and `$second` are timed apart.
const GUEST: &str = r#"(module
    (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
    (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
    (import "lunatic::process" "captured" (func $captured (param i32 i32)))
    (import "lunatic::process" "next" (func (result i32)))
    (import "lunatic::process" "this" (func $this (param i32)))
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (import "lunatic::channel" "new" (func $new (param i64 i32) (result i32)))
    (import "lunatic::channel" "try_send" (func $try_send (param i64 i64 i32 i32) (result i32)))
    (import "lunatic::channel" "try_receive" (func $try_receive (param i64 i64 i32 i32) (result i32)))
    (import "lunatic::channel" "receive" (func $receive (param i64 i64 i32 i32 i64) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 4)
    (table funcref (elem $nothing $echo))
    (func $nothing)
    (func $now (result i64) (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 256))) (i64.load (i32.const 256)))
    (func $ok (param i32) (if (i32.lt_s (local.get 0) (i32.const 0)) (then unreachable)))
    ;; Handles: of the last child at 0, of two channels at 16 and 32.
    (func $open (call $ok (call $new (i64.const 0) (i32.const 16))) (call $ok (call $new (i64.const 0) (i32.const 32))))
    (func $put (param $at i32)
        (call $ok (call $try_send (i64.load (local.get $at)) (i64.load offset=8 (local.get $at)) (i32.const 64) (i32.const 8))))
    (func $take (param $at i32)
        (call $ok (call $try_receive
            (i64.load (local.get $at)) (i64.load offset=8 (local.get $at)) (i32.const 64) (i32.const 8))))
    (func $await (param $at i32)
        (call $ok (call $receive
            (i64.load (local.get $at)) (i64.load offset=8 (local.get $at)) (i32.const 64) (i32.const 8) (i64.const -1))))
    (func $child (call $ok (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
    ;; Answers on one channel what comes on the other, for ever.
    (func $echo
        (call $captured (i32.const 16) (i32.const 32))
        (loop $again (call $await (i32.const 16)) (call $put (i32.const 32)) (br $again)))
    (func $none)
    ;; Joins the last child, which all others come before, once.
    (func $join_last
        (if (i64.ne (i64.load (i32.const 0)) (i64.const 0)) (then
            (drop (call $join (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i64.const -1)))
            (i64.store (i32.const 0) (i64.const 0)))))
    (func $call_host (call $this (i32.const 64)))
    (func $send (call $put (i32.const 16)))
    (func $receive_one (call $take (i32.const 16)))
    (func $round_trip (call $put (i32.const 16)) (call $await (i32.const 32)))
    (func $start_echo (call $ok (call $spawn (i32.const 1) (i32.const 16) (i32.const 32) (i32.const 0))))
    (func (export "sleeps") (local $page i32)
        (loop $next
            (i32.store offset=4096 (i32.mul (local.get $page) (i32.const 4096)) (i32.const 7))
            (local.set $page (i32.add (local.get $page) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $page) (i32.const 8))))
        (call $sleep (i64.const 3600000000000)))
    (func (export "_start")
        (local $left i32) (local $n i32) (local $k i32) (local $t0 i64) (local $t1 i64) (local $first i64) (local $second i64)
        (call $open)
        (call $PREPARE)
        (local.set $left (i32.const STEPS))
        (loop $rounds
            (local.set $n (select (local.get $left) (i32.const 500) (i32.lt_u (local.get $left) (i32.const 500))))
            (local.set $t0 (call $now))
            (local.set $k (local.get $n))
            (loop $more (call $FIRST) (br_if $more (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
            (local.set $t1 (call $now))
            (local.set $first (i64.add (local.get $first) (i64.sub (local.get $t1) (local.get $t0))))
            (local.set $k (local.get $n))
            (loop $more (call $SECOND) (br_if $more (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
            (local.set $second (i64.add (local.get $second) (i64.sub (call $now) (local.get $t1))))
            (local.set $left (i32.sub (local.get $left) (local.get $n)))
            (br_if $rounds (local.get $left)))
        (call $exit (i32.wrap_i64 (i64.shr_u (local.get $TIMED) (i64.const 4))))))"#;

/// What a guest does: before all, in the first and in the second part of a round, and which part is timed.
struct Steps {
    prepare: &'static str,
    first: &'static str,
    second: &'static str,
    timed: &'static str,
}

impl Steps {
    const fn new(first: &'static str, second: &'static str, timed: &'static str) -> Self {
        Self {
            prepare: "none",
            first,
            second,
            timed,
        }
    }

    fn guest(&self, steps: u64) -> String {
        GUEST
            .replace("$PREPARE", &format!("${}", self.prepare))
            .replace("$FIRST", &format!("${}", self.first))
            .replace("$SECOND", &format!("${}", self.second))
            .replace("$TIMED", &format!("${}", self.timed))
            .replace("STEPS", &steps.to_string())
    }

    /// The time of a number of steps.
    fn run(&self, runtime: &Runtime, steps: u64) -> Duration {
        let module = runtime.load(self.guest(steps).as_bytes()).expect("the guest is good");
        let system = runtime
            .start(&module, SystemConfig::default())
            .expect("it has an entry");
        match system.wait() {
            ExitReason::Normal => Duration::ZERO,
            ExitReason::Exit(time) => Duration::from_nanos(u64::from(time as u32) << 4),
            other => panic!("the guest {other}"),
        }
    }
}

fn runtime() -> Runtime {
    let builder = Runtime::builder().workers(1).cache(None);
    builder.build().expect("there are threads and memory")
}

fn guests(c: &mut Criterion) {
    let runtime = runtime();
    let benches = [
        ("host call", Steps::new("call_host", "none", "first")),
        ("spawn", Steps::new("child", "join_last", "first")),
        // The children of a round begin and end one after the other in one instance, while their parent joins the last.
        ("recycle", Steps::new("child", "join_last", "second")),
        ("send", Steps::new("send", "receive_one", "first")),
        ("receive", Steps::new("send", "receive_one", "second")),
        // Each step blocks and wakes both sides.
        (
            "block and wake, twice",
            Steps {
                prepare: "start_echo",
                ..Steps::new("round_trip", "none", "first")
            },
        ),
    ];
    for (name, steps) in benches {
        c.bench_function(name, |bencher| bencher.iter_custom(|count| steps.run(&runtime, count)));
    }
}

fn hibernation(c: &mut Criterion) {
    let runtime = runtime();
    let steps = Steps::new("none", "none", "first");
    let module = runtime.load(steps.guest(1).as_bytes()).expect("the guest is good");
    let config = SystemConfig {
        entry: "sleeps".into(),
        ..SystemConfig::default()
    };
    let system = runtime.start(&module, config).expect("it has an entry");
    let sleeper = Sleeper::new(system);
    c.bench_function("freeze", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| sleeper.freeze_and_thaw().0).sum());
    });
    c.bench_function("thaw", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| sleeper.freeze_and_thaw().1).sum());
    });
}

fn cache(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is a place for temporary folders");
    let builder = Runtime::builder().workers(1).cache(Some(folder.path().to_owned()));
    let runtime = builder.build().expect("there are threads and memory");
    let guest = Steps::new("none", "none", "first").guest(1);
    drop(runtime.load(guest.as_bytes()).expect("the guest is good"));
    c.bench_function("module load from cache", |bencher| {
        bencher.iter(|| runtime.load(guest.as_bytes()).expect("the guest is good"));
    });
}

criterion_group! {
    name = micro;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = guests, hibernation, cache
}
criterion_main!(micro);
