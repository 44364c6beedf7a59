//! `/metrics`, read by a strict parser of its format.

mod opened;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use lunatic_host::{Runtime, SystemConfig};

use crate::opened::open;

/// Sleeps; its other entries end at once.
const PROGRAM: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (memory (export "memory") 1)
    (func (export "_start") (call $sleep (i64.const 3600000000000)))
    (func (export "trap") unreachable)
    (func (export "normal")))"#;

/// The head and the body of the answer to a GET.
fn get(socket: &Path, path: &str) -> (String, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// A figure: its name with its label, whether it only grows, and its value.
type Figures = BTreeMap<String, (bool, f64)>;

fn is_name(name: &str) -> bool {
    let is_first = |first: char| first.is_ascii_alphabetic() || first == '_' || first == ':';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

/// The name of the metric in `name` or `name{label="value"}`, if that is well-formed.
fn metric(series: &str) -> Option<&str> {
    let Some((name, labels)) = series.split_once('{') else {
        return is_name(series).then_some(series);
    };
    let mut rest = labels;
    loop {
        let (label, value) = rest.split_once("=\"")?;
        rest = after_value(value)?;
        if !is_name(label) {
            return None;
        }
        match rest.split_at_checked(1)? {
            ("}", "") => return is_name(name).then_some(name),
            (",", more) => rest = more,
            _ => return None,
        }
    }
}

/// What stands behind the end of a value, whose quotes, backslashes and ends of lines are escaped.
fn after_value(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(chars.as_str()),
            '\\' => matches!(chars.next()?, '\\' | '"' | 'n').then_some(())?,
            _ => {}
        }
    }
}

/// The name of the figure that a line of a metric of this name and kind has.
fn is_of(series: &str, name: &str, kind: &str) -> bool {
    let Some(found) = metric(series) else { return false };
    let end = found.strip_prefix(name);
    match kind {
        "histogram" => end.is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end)),
        _ => end == Some(""),
    }
}

/// Reads the text format 0.0.4 as strictly as its description says.
fn parse(text: &str) -> Figures {
    let (mut figures, mut kinds) = (Figures::new(), BTreeMap::new());
    let mut helped = Vec::new();
    let mut current = "";
    assert!(text.ends_with('\n'), "the last line has an end");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect(line);
            assert!(is_name(name) && !words.is_empty() && !helped.contains(&name), "{line}");
            helped.push(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert!(
                helped.last() == Some(&name) && ["gauge", "counter", "histogram"].contains(&kind),
                "{line}"
            );
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(kinds.insert(name, kind).is_none(), "{line}");
            current = name;
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            assert!(is_of(series, current, kinds[current]), "{line}");
            let value: f64 = value.parse().expect(line);
            assert!(value.is_finite() && value >= 0.0, "{line}");
            let former = figures.insert(series.to_owned(), (kinds[current] == "counter", value));
            assert!(former.is_none(), "twice: {line}");
        }
    }
    figures
}

fn figures(socket: &Path) -> Figures {
    let (head, body) = get(socket, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    parse(&body)
}

/// Starts so many systems, one after the other, whose main processes begin at `entry` and end.
fn run(runtime: &Runtime, entry: &str, times: usize) {
    let module = runtime.load(PROGRAM.as_bytes()).unwrap();
    for _ in 0..times {
        let config = SystemConfig {
            entry: entry.into(),
            ..SystemConfig::default()
        };
        runtime.start(&module, config).unwrap().wait();
    }
}

#[test]
fn all_lines_are_valid_and_say_what_has_happened() {
    let opened = open(PROGRAM);
    run(&opened.runtime, "normal", 30);
    run(&opened.runtime, "trap", 20);
    let figures = figures(&opened.path);
    let value = |series: &str| figures.get(series).unwrap_or_else(|| panic!("{series}: {figures:?}")).1;
    assert_eq!(value("lunatic_processes"), 1.0);
    assert_eq!(value("lunatic_processes_spawned_total"), 51.0);
    assert_eq!(value(r#"lunatic_processes_ended_total{reason="normal"}"#), 30.0);
    assert_eq!(value(r#"lunatic_processes_ended_total{reason="trap"}"#), 20.0);
    assert_eq!(value(r#"lunatic_processes_ended_total{reason="panic"}"#), 0.0);
    if cfg!(target_os = "linux") {
        assert!(value("lunatic_host_resident_bytes") > 1e6);
        assert!(value(r#"lunatic_worker_cpu_seconds_total{worker="1"}"#) > 0.0);
    }
    for worker in 0..2 {
        value(&format!(r#"lunatic_worker_steals_total{{worker="{worker}"}}"#));
    }
    assert!(
        !figures.keys().any(|series| series.contains("cluster")),
        "it is no node"
    );
}

#[test]
fn counters_never_go_down() {
    let opened = open(PROGRAM);
    let runtime = opened.runtime.clone();
    let load = std::thread::spawn(move || {
        run(&runtime, "normal", 300);
        run(&runtime, "trap", 100);
    });
    let mut last = figures(&opened.path);
    let names: Vec<_> = last.keys().cloned().collect();
    while !load.is_finished() {
        let now = figures(&opened.path);
        assert!(now.keys().eq(&names), "{now:?}");
        let mut ended = 0.0;
        for (series, (grows, value)) in &now {
            assert!(
                !grows || *value >= last[series].1,
                "{series}: {value} after {:?}",
                last[series]
            );
            ended += if series.contains("ended_total") { *value } else { 0.0 };
        }
        assert!(ended <= now["lunatic_processes_spawned_total"].1, "{now:?}");
        last = now;
    }
    load.join().unwrap();
    assert_eq!(figures(&opened.path)["lunatic_processes_spawned_total"].1, 401.0);
}

/// Counts three times, says 5 of a gauge, sorts two values, and sleeps; `again` counts once more, and says 7.
const COUNTING: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (import "lunatic::metrics" "open" (func $open (param i32 i32 i32 i32 i32) (result i32)))
    (import "lunatic::metrics" "add" (func $add (param i32 i64) (result i32)))
    (import "lunatic::metrics" "set" (func $set (param i32 i64) (result i32)))
    (import "lunatic::metrics" "observe" (func $observe (param i32 f64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "orders\00what=a \"\\\nb\00a=1")
    (data (i32.const 100) "open")
    (data (i32.const 200) "size")
    (data (i32.const 304) "\00\00\00\00\00\00\e0\3f\00\00\00\00\00\00\f8\3f")
    (func (export "_start") (local $series i32)
        (local.set $series (call $open (i32.const 0) (i32.const 0) (i32.const 22) (i32.const 0) (i32.const 0)))
        (drop (call $add (local.get $series) (i64.const 1)))
        (drop (call $add (local.get $series) (i64.const 2)))
        (drop (call $set (call $open (i32.const 1) (i32.const 100) (i32.const 4) (i32.const 0) (i32.const 0)) (i64.const -5)))
        (local.set $series (call $open (i32.const 2) (i32.const 200) (i32.const 4) (i32.const 304) (i32.const 2)))
        (drop (call $observe (local.get $series) (f64.const 1)))
        (drop (call $observe (local.get $series) (f64.const 2.5)))
        (call $sleep (i64.const 3600000000000))))"#;

#[test]
fn what_the_program_counts_is_shown() {
    let opened = open(COUNTING);
    let shown = || {
        let (_, body) = get(&opened.path, "/metrics");
        body.split_once("# HELP open ").map(|(_, own)| own.to_owned())
    };
    let own = loop {
        match shown() {
            Some(own) if own.contains("size_count 2") => break own,
            _ => std::thread::yield_now(),
        }
    };
    let expected = [
        "Of the program.",
        "# TYPE open gauge",
        "open -5",
        "# HELP orders_total Of the program.",
        "# TYPE orders_total counter",
        r#"orders_total{a="1",what="a \"\\\nb"} 3"#,
        "# HELP size Of the program.",
        "# TYPE size histogram",
        r#"size_bucket{le="0.5"} 0"#,
        r#"size_bucket{le="1.5"} 1"#,
        r#"size_bucket{le="+Inf"} 2"#,
        "size_sum 3.5",
        "size_count 2",
    ];
    assert_eq!(own.lines().collect::<Vec<_>>(), expected);
    // A gauge may be below zero; all else is as strict as before.
    let (_, body) = get(&opened.path, "/metrics");
    parse(&body.replace("open -5", "open 5"));
}
