//! Alarms, and programs that look alike and give none. The programs are in `guests/alarming.rs`.
//!
//! That there is no alarm is seen beside one that there is: of two programs that are watched alike, the one that is well is
//! watched first, and has none when the other has its own.

use std::time::{Duration, Instant};

use lunatic_host::RunningSystem;
use lunatic_host::alarms::{Alarm, AlarmConfig, AlarmKind};
use lunatic_host::budget::Caps;
use lunatic_host::wasi::{Capture, Output};
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, PATIENCE};

use crate::operating::program;

/// Looks often, and asks for little.
const CONFIG: AlarmConfig = AlarmConfig {
    look: Duration::from_millis(50),
    mailbox_len: 1000,
    burst: Duration::from_millis(500),
    memory_percent: 90,
    crashes: 5,
};

/// The memory of each program.
const MEMORY: u64 = 64 << 20;

/// A program that is watched.
struct Watched {
    system: RunningSystem,
    stderr: Output,
    said: Capture,
}

impl Watched {
    /// Starts a program, and watches it from when it is ready.
    fn start(host: &Host, args: &[&str]) -> Self {
        let (stdout, ready) = Output::captured();
        let caps = Caps {
            memory: Some(MEMORY),
            ..Caps::default()
        };
        let program = host.program(&guests::bytes("alarming", Profile::Debug)).quiet();
        let system = program.args(args.iter().copied()).caps(caps).stdout(stdout).start();
        until(|| !ready.take().is_empty());
        let (stderr, said) = Output::captured();
        let output = stderr.clone();
        let tell = move |alarm: &str| output.report(&format!("{alarm}\n"));
        system.watch(CONFIG, tell).unwrap();
        Self { system, stderr, said }
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.system.alarms().unwrap().list(0)
    }

    /// What was written to standard error.
    fn said(&self) -> String {
        self.stderr.finish();
        String::from_utf8(self.said.take()).unwrap()
    }
}

fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not come to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The alarm of one program, beside another that is well.
#[track_caller]
fn check(kind: AlarmKind, ill: &[&str], well: &[&str], text: &str) -> Alarm {
    let host = Host::with(|builder| builder.workers(2));
    let well = Watched::start(&host, well);
    let ill = Watched::start(&host, ill);
    until(|| !ill.alarms().is_empty());
    assert_eq!(well.alarms(), []);
    let alarms = ill.alarms();
    let alarm = alarms.iter().find(|alarm| alarm.kind == kind);
    let alarm = alarm.unwrap_or_else(|| panic!("{alarms:?}")).clone();
    assert!(alarm.text.contains(text), "{alarm:?}");
    // It is said once, whatever the next looks find.
    let looks = ill.system.alarms().unwrap();
    until(|| looks.looks() > 20);
    let said = ill.said();
    assert_eq!(said.matches(&alarm.text).count(), 1, "{said}");
    assert_eq!(ill.alarms().len(), 1, "{:?}", ill.alarms());
    assert!(well.alarms().is_empty() && well.said().is_empty());
    alarm
}

#[test]
fn a_mailbox_that_grows_is_an_alarm_and_a_full_one_is_none() {
    check(
        AlarmKind::Mailbox,
        &["a_mailbox_grows"],
        &["a_mailbox_is_full"],
        " messages (",
    );
}

#[test]
fn a_process_that_never_waits_is_an_alarm() {
    let alarm = check(
        AlarmKind::Burst,
        &["one_never_waits"],
        &["one_waits_now_and_then"],
        "without waiting",
    );
    assert!(alarm.advice.contains("lunatic kill "), "{alarm:?}");
}

#[test]
fn a_budget_of_memory_that_is_nearly_used_up_is_an_alarm() {
    let (much, little) = ((60 << 20).to_string(), (8 << 20).to_string());
    check(
        AlarmKind::Memory,
        &["memory_is_short", &much],
        &["memory_is_short", &little],
        "the program uses ",
    );
}

#[test]
fn children_that_crash_again_and_again_are_an_alarm_and_many_at_once_are_none() {
    check(
        AlarmKind::Crashes,
        &["children_crash"],
        &["children_crash_once"],
        "children of process #",
    );
}

#[test]
fn processes_that_wait_for_each_other_are_an_alarm_and_a_chain_of_calls_is_none() {
    let alarm = check(
        AlarmKind::Deadlock,
        &["a_cycle"],
        &["a_chain"],
        "3 processes wait for each other: ",
    );
    assert!(alarm.text.contains(", which waits for process #"), "{alarm:?}");
}

#[test]
fn who_wants_no_alarms_is_told_that_there_are_none() {
    let watched = program(&["a_tree"]).ask(&["status"]).code(0).stdout;
    assert!(watched.contains("processes") && !watched.contains("alarm"), "{watched}");
    let silent = crate::operating::program_with(&["--no-alarms"], &["a_tree"]);
    let silent = silent.ask(&["status"]).code(0).stdout;
    assert!(silent.contains("does not look for alarms"), "{silent}");
}
