//! `lunatic trace`. The programs are in `guests/stopping.rs`.

use std::thread;
use std::time::{Duration, Instant};

use lunatic_tests::programs::lunatic;
use serde_json::Value;

use crate::operating::{Program, program};

/// The events of a trace that is printed as JSON.
fn events(printed: &str) -> Vec<Value> {
    printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

impl Program {
    /// Waits until somebody traces the program.
    fn is_traced(&self) {
        let late = Instant::now() + Duration::from_secs(60);
        loop {
            let metrics = std::process::Command::new("curl")
                .args(["--silent", "--unix-socket", &self.socket, "http://here/metrics"])
                .output()
                .expect("curl is there");
            let metrics = String::from_utf8(metrics.stdout).unwrap();
            if metrics.contains("\nlunatic_observers 1\n") {
                return;
            }
            assert!(Instant::now() < late, "{metrics}");
        }
    }
}

#[test]
fn what_a_process_does_is_told_in_order() {
    let program = program(&["talking"]);
    let traced = program
        .ask(&["trace", "--name", "listener", "--limit", "41", "--json"])
        .code(0);
    let events = events(&traced.stdout);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let (end, names) = names.split_last().unwrap();
    assert_eq!(*end, "end");
    let (mut sent, mut received, mut waits) = (0, 0, 0);
    // It may have been in the middle of something when the trace began; a worker may take it up again without a wait.
    let first = names.iter().position(|name| *name == "waits").unwrap();
    let mut is_waiting = false;
    for name in &names[first..] {
        match *name {
            "sent" => sent += 1,
            "runs" => is_waiting = false,
            "received" => received += 1,
            "waits" => waits += 1,
            other => panic!("{other}: {names:?}"),
        }
        assert!(
            received <= sent && !(is_waiting && ["received", "waits"].contains(name)),
            "{names:?}"
        );
        is_waiting |= *name == "waits";
    }
    assert!(received > 2 && waits > 2, "{names:?}");
    let event = |name: &str| events.iter().find(|event| event["event"] == name).unwrap();
    assert_eq!(event("runs")["title"], "listener");
    assert_eq!(event("sent")["other_title"], "listener");
    assert_eq!(event("received")["len"], event("sent")["len"]);
    assert_eq!(event("received")["tag"], event("sent")["tag"]);
    assert_eq!(event("waits")["waits_for"], "mail");
}

#[test]
fn ends_and_beginnings_are_told() {
    let program = program(&["a_tree"]);
    let socket = program.socket.clone();
    let trace =
        thread::spawn(move || lunatic(["trace", "--kinds", "spawned,ended", "--limit", "2", "--at", &socket]).run());
    program.is_traced();
    program.ask(&["kill", "3"]).code(0);
    let traced = trace.join().unwrap().code(0).stdout;
    let lines: Vec<&str> = traced.lines().collect();
    assert_eq!(lines.len(), 2, "{traced}");
    assert!(
        lines[0].contains("#3") && lines[0].ends_with(": was killed"),
        "{traced}"
    );
    assert!(
        lines[1].contains("was spawned by #2 lunatic::supervisor::Supervisor<stopping::Tree>"),
        "{traced}"
    );
}

/// A name means those who take it later, too.
#[test]
fn who_takes_a_name_later_is_followed() {
    let program = program(&["one_after_the_other"]);
    let asked = ["trace", "--name", "heir", "--kinds", "ended", "--limit", "4", "--json"];
    let told = events(&program.ask(&asked).code(0).stdout);
    let ended: Vec<&Value> = told.iter().filter(|event| event["event"] == "ended").collect();
    let mut processes: Vec<&str> = ended.iter().map(|event| event["process"].as_str().unwrap()).collect();
    processes.dedup();
    assert_eq!(processes.len(), 4, "{told:?}");
    assert!(ended.iter().all(|event| event["title"] == "heir"), "{told:?}");
}

#[test]
fn a_flood_is_cut_and_that_is_said() {
    let program = program(&["talking", "2"]);
    let traced = program
        .ask(&[
            "trace",
            "--kinds",
            "runs,waits",
            "--limit",
            "1000000",
            "--seconds",
            "2",
            "--json",
        ])
        .code(0);
    let events = events(&traced.stdout);
    let lost: u64 = events.iter().filter_map(|event| event["lost"].as_u64()).sum();
    // In three of the seconds that are counted, at most.
    assert!(
        lost > 0 && events.len() < 3 * 10_000 + 1000,
        "{} told, {lost} lost",
        events.len()
    );
    assert_eq!(events.last().unwrap()["event"], "end");
}
