//! What SQL of a guest may cost: time, threads and memory of the host. The guests are in the text format, for the interface of
//! Lunatic 0.13; whole programs with databases are in `published`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lunatic_host::budget::{Caps, Usage};
use lunatic_host::{ExitReason, ProcessInfo, RunningSystem, WaitFor};
use lunatic_tests::host::{Host, PATIENCE, Program};

use crate::imports;

/// A query that nothing but an interruption ends, and that takes no memory.
const ENDLESS: &str = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";

/// A module that opens a database in memory, with number 0, and then runs `body`, in which `$sql0`, `$sql1` and so on
/// run these texts of SQL on it and return SQLite's code.
fn module(items: &str, body: &str, sql: &[&str]) -> Vec<u8> {
    let mut texts = String::new();
    for (at, sql) in sql.iter().enumerate() {
        let (place, len) = (1024 + 512 * at, sql.len());
        let _ = write!(
            texts,
            r#"(data (i32.const {place}) "{sql}")
            (func $sql{at} (result i32) (call $sqlite.execute (i64.const 0) (i32.const {place}) (i32.const {len})))"#
        );
    }
    let declarations = imports::declarations_of(imports::compat());
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        {declarations}
        (memory (export "memory") 1)
        (data (i32.const 100) "child")
        {texts}
        ;; Ends the process with `code` unless the two are equal.
        (func $expect (param $found i32) (param $expected i32) (param $code i32)
            (if (i32.ne (local.get $found) (local.get $expected)) (then (call $exit (local.get $code)))))
        (func $open
            (if (i64.ne (call $sqlite.open (i32.const 0) (i32.const 0) (i32.const 16)) (i64.const 0)) (then unreachable)))
        {items}
        (func $main {body})
        (func (export "_start") (call $open) (call $main)))"#
    );
    text.into_bytes()
}

/// Another program on the same host, whose database works.
#[track_caller]
fn is_well(host: &Host) {
    let sql = ["CREATE TABLE t (n); INSERT INTO t VALUES (1)", "SELECT n FROM t"];
    let body = "(call $expect (call $sql0) (i32.const 0) (i32.const 1)) (call $expect (call $sql1) (i32.const 0) (i32.const 2))";
    host.program(&module("", body, &sql)).run().normal();
}

/// How a program ends, and what it used.
#[track_caller]
fn usage(program: Program<'_>) -> (ExitReason, Usage) {
    let system = program.quiet().start();
    let reason = system.wait_timeout(PATIENCE).expect("the program hangs");
    (reason, system.usage().expect("it has a budget"))
}

#[test]
fn a_query_is_charged_and_ends_when_the_budget_is_spent() {
    let prepared = r#"
        (i32.store (i32.const 32) (i32.wrap_i64
            (call $sqlite.query_prepare (i64.const 0) (i32.const 1024) (i32.const LEN))))
        (drop (call $sqlite.sqlite3_step (i64.extend_i32_u (i32.load (i32.const 32)))))"#;
    let prepared = prepared.replace("LEN", &ENDLESS.len().to_string());
    let cpu = Duration::from_millis(200);
    for body in ["(drop (call $sql0))", &prepared] {
        let caps = Caps {
            cpu: Some(cpu),
            ..Caps::default()
        };
        let program = Host::shared().program(&module("", body, &[ENDLESS])).caps(caps);
        let (reason, used) = usage(program);
        assert_eq!(reason, ExitReason::OutOfBudget);
        // Asked every 10,000 instructions, which are far less than a millisecond.
        assert!((cpu..cpu * 5).contains(&used.cpu), "{used:?}");
    }
}

/// Long texts: SQLite is interrupted between two instructions of its machine, one of which is a whole function of a text.
#[test]
fn a_query_of_long_texts_ends_soon_after_its_budget_is_spent() {
    let spent = |sql: &str, cpu: Duration| {
        let texts = "SELECT printf('%.*c', 8000000, 'a') AS x, printf('%.*c', 4000000, 'a') || 'b' AS y";
        let sql = format!("WITH RECURSIVE t AS ({texts}), c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) {sql}");
        let caps = Caps {
            cpu: Some(cpu),
            ..Caps::default()
        };
        let program = Host::shared()
            .program(&module("", "(drop (call $sql0))", &[&sql]))
            .caps(caps);
        let (reason, used) = usage(program);
        (reason, used.cpu)
    };
    let cpu = Duration::from_millis(300);
    let (reason, once) = spent("SELECT length(upper(x)) FROM t", PATIENCE);
    assert_eq!(reason, ExitReason::Normal);
    // Again and again: by one row after the other, in one row, with functions of the host's own.
    // Each is another one, since SQLite computes what is the same once.
    let many: Vec<_> = (0..300).map(|number| format!("length(upper(x || {number}))")).collect();
    for sql in [
        "SELECT max(length(upper(x))) FROM t, c",
        &format!("SELECT {} FROM t", many.join(" + ")),
        "SELECT max(instr(x, y) + length(replace(x, y, 'c')) + length(trim(x, y))) FROM t, c",
    ] {
        let (reason, used) = spent(sql, cpu);
        println!("{sql}: {used:?}, one function {once:?}");
        assert_eq!(reason, ExitReason::OutOfBudget, "{sql}");
        assert!(used < cpu + once * 10, "{sql} took {used:?}, one function {once:?}");
    }
}

/// The same megabyte in each of many columns.
#[test]
fn a_row_is_read_whole_if_it_is_not_too_long_and_is_paid_for() {
    let read = |columns: usize, memory: Option<u64>, read: &str| {
        let sql = format!("SELECT {}", vec!["?1"; columns].join(","));
        let body = format!(
            r#"
            (drop (memory.grow (i32.const 64)))
            ;; One value for the next parameter: a blob.
            (i64.store (i32.const 65536) (i64.const 1))
            (i32.store (i32.const 65548) (i32.const 1))
            (i64.store (i32.const 65552) (i64.const 1048576))
            (drop (call $sqlite.query_prepare (i64.const 0) (i32.const 1024) (i32.const {})))
            (call $sqlite.bind_value (i64.const 0) (i32.const 65536) (i32.const 1048600))
            (call $expect (call $sqlite.sqlite3_step (i64.const 0)) (i32.const 100) (i32.const 1))
            {read}"#,
            sql.len()
        );
        let alloc = r#"(func (export "lunatic_alloc") (param i32) (result i32) (i32.const 1200000))"#;
        let caps = Caps {
            memory,
            ..Caps::default()
        };
        Host::shared().program(&module(alloc, &body, &[&sql])).caps(caps).run()
    };
    let row = "(drop (call $sqlite.read_row (i64.const 0) (i32.const 40)))
        (call $expect (i32.load (i32.const 40)) (i32.const 2097184) (i32.const 2))";
    read(2, None, row).normal();
    let ended = read(20, None, row);
    assert!(ended.trap().contains("at most 17825792 bytes"), "{ended}");
    // Its columns one by one can be read, and what is no column.
    let columns = "(drop (call $sqlite.read_column (i64.const 0) (i32.const 19) (i32.const 40)))
        (call $expect (i32.load (i32.const 40)) (i32.const 1048588) (i32.const 3))
        (drop (call $sqlite.read_column (i64.const 0) (i32.const 20) (i32.const 40)))
        (call $expect (i32.load (i32.const 40)) (i32.const 4) (i32.const 4))
        (drop (call $sqlite.read_column (i64.const 0) (i32.const 0x7fffffff) (i32.const 40)))
        (call $expect (i32.load (i32.const 40)) (i32.const 4) (i32.const 5))";
    read(20, None, columns).normal();
    // Its memory has 4 MiB, and what SQLite and the host have of the value some more; the row would be 30 MiB for a moment.
    let ended = read(15, Some(24 << 20), row);
    assert!(matches!(ended.reason, ExitReason::OutOfMemory(_)), "{ended}");
}

/// Texts of another encoding are converted, and bytes that are no text replaced.
#[test]
fn texts_of_any_kind_are_read_as_utf_8() {
    let (encoding, wide) = ("PRAGMA encoding = 'UTF-16'", "SELECT 'ab\u{e9}', 5, 2.5, NULL");
    let bad = "SELECT CAST(x'61ff62' AS TEXT)";
    let check = |first: &str, sql: &str, len: u32, at: u32, bytes: i64| {
        let body = format!(
            r#"
            (call $expect (call $sql0) (i32.const 0) (i32.const 1))
            (drop (call $sqlite.query_prepare (i64.const 0) (i32.const 1536) (i32.const {})))
            (call $expect (call $sqlite.sqlite3_step (i64.const 0)) (i32.const 100) (i32.const 2))
            (drop (call $sqlite.read_row (i64.const 0) (i32.const 40)))
            (call $expect (i32.load (i32.const 40)) (i32.const {len}) (i32.const 3))
            (call $expect (i64.eq (i64.load (i32.const {at})) (i64.const {bytes})) (i32.const 1) (i32.const 4))"#,
            sql.len()
        );
        let alloc = r#"(func (export "lunatic_alloc") (param i32) (result i32) (i32.const 8192))"#;
        Host::shared()
            .program(&module(alloc, &body, &[first, sql]))
            .run()
            .normal();
    };
    // A count, a text of 4 bytes, two numbers of 8 and nothing, of which each has a head.
    check(encoding, wide, 8 + (12 + 4) + (4 + 8) + (4 + 8) + 4, 8204, 4);
    // A count, and a text of 5 bytes.
    check("SELECT 1", bad, 8 + 12 + 5, 8204, 5);
}

#[test]
fn what_is_too_long_for_a_database_is_refused_before_it_is_copied() {
    let prepare = "(drop (call $sqlite.query_prepare (i64.const 0) (i32.const 1024) (i32.const 9)))";
    for (call, what) in [
        (
            "(drop (call $sqlite.execute (i64.const 0) (i32.const 0) (i32.const 16777217)))",
            "SQL has at most 16777216 bytes",
        ),
        (
            "(drop (call $sqlite.query_prepare (i64.const 0) (i32.const 0) (i32.const 1048577)))",
            "an SQL statement has at most 1048576 bytes",
        ),
        (
            "(call $sqlite.bind_value (i64.const 0) (i32.const 0) (i32.const 17825793))",
            "values to bind have at most 17825792 bytes",
        ),
        (
            "(i64.store (i32.const 2048) (i64.const 32767)) (call $sqlite.bind_value (i64.const 0) (i32.const 2048) (i32.const 8))",
            "at most 32766 parameters",
        ),
    ] {
        let ended = Host::shared()
            .program(&module("", &format!("{prepare}{call}"), &["SELECT ?1"]))
            .run();
        assert!(ended.trap().contains(what), "{ended}");
    }
    // A path is not even looked up: a denial would be logged.
    let open = "(if (i64.ne (call $sqlite.open (i32.const 0) (i32.const 4097) (i32.const 16)) (i64.const 1)) (then unreachable))";
    let program = Host::shared().program(&module("", open, &[])).log_denials();
    let ended = program.run().normal();
    assert!(!ended.stderr.contains("may not open"), "{ended}");
}

#[test]
fn a_query_gets_its_share_of_a_core_and_no_more() {
    let sql = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 400000) SELECT count(*) FROM c";
    let run = |cpu_share| {
        let caps = Caps {
            cpu_share,
            ..Caps::default()
        };
        let body = "(call $expect (call $sql0) (i32.const 0) (i32.const 1))";
        let program = Host::shared().program(&module("", body, &[sql])).caps(caps);
        let start = Instant::now();
        let (reason, used) = usage(program);
        assert_eq!(reason, ExitReason::Normal);
        (start.elapsed(), used.cpu)
    };
    let (_, free) = run(None);
    assert!(free > Duration::ZERO);
    let (passed, used) = run(Some(20));
    // Five times what it computed, less what it may have saved up: 20 ms.
    assert!(
        passed > (used - Duration::from_millis(20).min(used)) * 4,
        "{used:?} in {passed:?}"
    );
}

/// Waits until so many processes of a system wait, each for what `judge` says.
fn until_all_wait(system: &RunningSystem, count: usize, judge: fn(WaitFor) -> bool) {
    let start = Instant::now();
    loop {
        let processes = system.processes();
        let waits = |process: &ProcessInfo| process.snapshot.wait.is_some_and(|(wait, _)| judge(wait));
        if processes.len() == count && processes.iter().all(waits) {
            return;
        }
        let ended = system.wait_timeout(Duration::ZERO);
        assert!(ended.is_none() && start.elapsed() < PATIENCE, "{ended:?} {processes:?}");
        std::thread::yield_now();
    }
}

/// A process that spawns a hundred others, each with a query without end.
const CHILD: &str = "(func (export \"child\") (call $open) (drop (call $sql0)))";

/// The text that spawns them, with the configuration in local `$config`.
const FLOOD: &str = r#"
    (loop $more
        (call $expect
            (call $process.spawn (i64.const 0) (local.get $config) (i64.const -1)
                (i32.const 100) (i32.const 5) (i32.const 300) (i32.const 0) (i32.const 16))
            (i32.const 0) (i32.const 1))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $count) (i32.const 100))))"#;

/// Their queries run, or wait for their turn.
fn until_all_query(system: &RunningSystem) {
    until_all_wait(system, 101, |wait| matches!(wait, WaitFor::Outside | WaitFor::Sleep));
}

#[test]
fn a_flood_of_queries_without_end_leaves_others_theirs() {
    let body = format!(
        "(local $count i32) (local $config i64) (local.set $config (i64.const -1))
        {FLOOD} (call $process.sleep_ms (i64.const 3600000))"
    );
    let host = Host::with(|builder| builder.workers(2));
    // The second flood shows that what the first one held came back.
    for _ in 0..2 {
        let attacker = host.program(&module(CHILD, &body, &[ENDLESS])).quiet().start();
        until_all_query(&attacker);
        is_well(&host);
        is_well(&host);
        drop(attacker);
    }
    is_well(&host);
}

#[test]
fn a_childs_flood_leaves_its_parent_something() {
    // Each child has a configuration of its own. How long the parent sleeps decides nothing but how many of the queries have
    // begun by then.
    let body = format!(
        "(local $count i32) (local $config i64)
        (local.set $config (call $process.create_config))
        {FLOOD}
        (local.set $count (i32.const 20))
        (loop $again
            (call $process.sleep_ms (i64.const 20))
            (call $expect (call $sql1) (i32.const 0) (i32.const 2))
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (br_if $again (local.get $count)))"
    );
    let program = Host::shared().program(&module(CHILD, &body, &[ENDLESS, "SELECT 1"]));
    program.quiet().run().normal();
}

#[test]
fn what_a_database_holds_is_charged_and_limited() {
    let sql = [
        "CREATE TABLE t (b)",
        "INSERT INTO t VALUES (randomblob(1000000))",
        "SELECT 1",
        "DELETE FROM t",
    ];
    // 7 is SQLite's code for "out of memory". What was there before is still there, and what is deleted makes room.
    let body = r#"(local $count i32) (local $code i32)
        (call $expect (call $sql0) (i32.const 0) (i32.const 1))
        (loop $more
            (local.set $code (call $sql1))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br_if $more (i32.eqz (local.get $code))))
        (call $expect (local.get $code) (i32.const 7) (i32.const 2))
        (call $expect (i32.ge_u (local.get $count) (i32.const 5)) (i32.const 1) (i32.const 3))
        (call $expect (i32.le_u (local.get $count) (i32.const 16)) (i32.const 1) (i32.const 4))
        (call $expect (call $sql2) (i32.const 0) (i32.const 5))
        (call $expect (call $sql3) (i32.const 0) (i32.const 6))
        (call $expect (call $sql1) (i32.const 0) (i32.const 7))
        (call $process.sleep_ms (i64.const 3600000))"#;
    let caps = Caps {
        memory: Some(16 << 20),
        ..Caps::default()
    };
    let system = Host::shared().program(&module("", body, &sql)).caps(caps).start();
    until_all_wait(&system, 1, |wait| wait == WaitFor::Sleep);
    let used = system.usage().unwrap().memory;
    assert!((5 << 20..=16 << 20).contains(&used), "{used}");
    is_well(Host::shared());
}

#[test]
fn limits_of_the_host_cannot_be_set() {
    let sql = [
        "PRAGMA hard_heap_limit = 1000; PRAGMA soft_heap_limit = 1000; PRAGMA threads = 8",
        "PRAGMA temp_store = FILE",
    ];
    let body = r#"
        (call $expect (call $sql0) (i32.const 0) (i32.const 1))
        (call $expect (call $sql1) (i32.const 23) (i32.const 2))"#;
    Host::shared().program(&module("", body, &sql)).run().normal();
    is_well(Host::shared());
}

#[test]
fn who_waits_for_a_database_gives_up_after_a_while_whatever_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let sql = [
        "PRAGMA busy_timeout = 2000000000; BEGIN EXCLUSIVE",
        // The connection in memory is not meant: see below.
        "/data/a.db",
    ];
    let body = r#"
        (call $expect (i32.wrap_i64 (call $sqlite.open (i32.const 1536) (i32.const 10) (i32.const 16))) (i32.const 0) (i32.const 1))
        (call $expect (i32.wrap_i64 (call $sqlite.open (i32.const 1536) (i32.const 10) (i32.const 16))) (i32.const 0) (i32.const 2))
        (call $expect (call $sqlite.execute (i64.const 1) (i32.const 1024) (i32.const LEN)) (i32.const 0) (i32.const 3))
        ;; Busy.
        (call $expect (call $sqlite.execute (i64.const 2) (i32.const 1024) (i32.const LEN)) (i32.const 5) (i32.const 4))"#;
    let body = body.replace("LEN", &sql[0].len().to_string());
    let program = Host::shared().program(&module("", &body, &sql));
    program.dir(folder.path(), "/data", false).run().normal();
}

#[test]
fn open_databases_count_as_files() {
    let body = r#"(local $count i32)
        (loop $more
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br_if $more (i64.eqz (call $sqlite.open (i32.const 0) (i32.const 0) (i32.const 16)))))
        (call $expect (local.get $count) (i32.const 1024) (i32.const 1))"#;
    Host::shared().program(&module("", body, &[])).run().normal();
}
