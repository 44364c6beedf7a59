//! The stacks of processes, for whoever asks. The programs are in `guests/stacks.rs`.

use std::time::{Duration, Instant};

use lunatic_host::profile::{Profile as Sampled, Profiled};
use lunatic_host::{Id, RunningSystem, Stack, Unseen};
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, PATIENCE};

use crate::net::rules;

/// So long a stack may take that must be seen.
const LONG: Duration = Duration::from_secs(60);

/// So long it may take until a process is where it is looked for.
const FOUND: Duration = Duration::from_secs(30);

/// A host that freezes every process at every wait, or one that freezes none.
fn host(freezes: bool) -> Host {
    let resident_max = if freezes { 0 } else { usize::MAX };
    Host::with(|builder| builder.resident_max(resident_max))
}

fn every_kind_of_wait(host: &Host) -> RunningSystem {
    let program = host.program(&guests::bytes("stacks", Profile::Debug));
    program
        .args(["every_kind_of_wait"])
        .net(rules(&["127.0.0.1", "bind:127.0.0.1"]))
        .start()
}

/// The stack of the process that is in the function `name` of the program and there in a call of `inner`, where that is
/// not empty.
fn stack_of(system: &RunningSystem, name: &str, inner: &str) -> (Id, Stack) {
    // The debug information of some functions says no more than their last name.
    let is_in = |stack: &Stack| {
        let frames = &stack.backtrace.frames;
        frames
            .iter()
            .any(|frame| frame.function.trim_start_matches("stacks::") == name)
            && frames.iter().take(3).any(|frame| frame.function.contains(inner))
    };
    let start = Instant::now();
    let mut seen = Vec::new();
    while start.elapsed() < FOUND {
        seen.clear();
        for process in system.processes() {
            let id = process.snapshot.id;
            let stack = system.stack(id, Duration::from_secs(1)).unwrap_or_default();
            if is_in(&stack) {
                return (id, stack);
            }
            seen.push((id, stack));
        }
    }
    panic!("nobody is in {name} and {inner:?}: {seen:#?}")
}

fn every_wait_is_seen(freezes: bool) {
    let host = host(freezes);
    let system = every_kind_of_wait(&host);
    for (name, inner) in [
        ("every_kind_of_wait", "sleep"),
        ("receives", "receive"),
        ("sends", "send"),
        ("receives_mail", "receive"),
        ("calls", "call"),
        ("joins", "join"),
        ("sleeps", "sleep"),
        ("selects", "select"),
        ("accepts", "accept"),
    ] {
        let (id, stack) = stack_of(&system, name, inner);
        let frames = &stack.backtrace.frames;
        let place = |frame: &lunatic_host::report::Frame| {
            frame.file.as_deref().is_some_and(|file| file.ends_with("stacks.rs")) && frame.line.is_some()
        };
        let own = frames.iter().find(|frame| frame.function.ends_with(name)).unwrap();
        assert!(place(own), "{name}: {own:?}");
        // It is where it was, and is seen as often as anybody asks.
        let waits = |id| {
            system
                .process(id)
                .map(|process| (process.snapshot.wait, process.snapshot.runs))
        };
        let before = waits(id);
        for _ in 0..10 {
            assert_eq!(system.stack(id, LONG).as_ref(), Some(&stack), "{name}");
        }
        assert_eq!(waits(id), before, "{name} was woken");
        if freezes {
            assert!(system.process(id).unwrap().snapshot.is_frozen, "{name}");
        }
    }
}

#[test]
fn every_wait_is_seen_and_goes_on() {
    every_wait_is_seen(false);
}

#[test]
fn frozen_processes_are_seen_and_stay_frozen() {
    every_wait_is_seen(true);
}

#[test]
fn who_computes_is_seen() {
    let host = host(false);
    let program = host.program(&guests::bytes("stacks", Profile::Debug));
    let system = program.args(["one_computes"]).start();
    let (id, stack) = stack_of(&system, "computes", "");
    assert!(stack.backtrace.frames.len() > 2, "{stack:?}");
    // Any number may ask at once.
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let stack = system.stack(id, LONG).unwrap();
                assert_eq!(stack.unseen, None);
            });
        }
    });
}

#[test]
fn what_is_not_seen_is_said() {
    let host = host(false);
    let system = every_kind_of_wait(&host);
    let start = Instant::now();
    let in_call = || {
        let mut all = system.processes().into_iter();
        all.any(|process| {
            let stack = system.stack(process.snapshot.id, LONG);
            stack.is_some_and(|stack| stack.unseen == Some(Unseen::InCall) && stack.backtrace.frames.is_empty())
        })
    };
    while !in_call() {
        assert!(start.elapsed() < PATIENCE, "nobody is in a call of WASI");
    }
    assert_eq!(system.stack(Id::NONE, LONG), None);
}

#[test]
fn a_profile_shows_who_computes_and_nobody_else() {
    let host = host(false);
    let program = host.program(&guests::bytes("stacks", Profile::Debug));
    let system = program.args(["one_computes"]).start();
    let main = system.main().unwrap();
    let others = Profiled {
        process: Some(Id::NONE),
        ..Profiled::default()
    };
    let start = Instant::now();
    let profile = loop {
        let profile = system
            .profile(&Profiled::default(), Duration::from_millis(200))
            .unwrap();
        // A machine that does other things may have had no time for it.
        if profile.samples > 10 || start.elapsed() > PATIENCE {
            break profile;
        }
    };
    assert!(profile.folded.contains("stacks::computes;"), "{profile:?}");
    assert!(
        profile.folded.contains(";stacks::fibonacci;stacks::fibonacci"),
        "{profile:?}"
    );
    let counts = profile.folded.lines().map(|line| line.rsplit_once(' ').unwrap().1);
    let sum: u64 = counts.map(|count| count.parse::<u64>().unwrap()).sum();
    assert_eq!(sum, profile.samples);
    let by_process = Profiled {
        by_process: true,
        ..Profiled::default()
    };
    let told = loop {
        let told = system.profile(&by_process, Duration::from_millis(200)).unwrap();
        if told.samples > 0 || start.elapsed() > PATIENCE {
            break told;
        }
    };
    let is_told = |line: &str| line.starts_with('#') && line.contains(";stacks::fibonacci");
    assert!(told.folded.lines().any(is_told), "{told:?}");
    let none = system.profile(&others, Duration::from_millis(200)).unwrap();
    assert_eq!((none.samples, &*none.folded), (0, ""));
    // One at a time; and the end of the system ends it.
    std::thread::scope(|scope| {
        // The second may be at it for a moment.
        let first = scope.spawn(|| {
            while system.profile(&Profiled::default(), Duration::from_secs(60)).is_none() {
                std::thread::yield_now();
            }
        });
        let second = || system.profile(&others, Duration::ZERO);
        while second().is_some() {
            std::thread::yield_now();
        }
        system.kill(main);
        first.join().unwrap();
    });
}

/// The profile of a program, as soon as a line of it is as wanted.
fn profile_with(system: &RunningSystem, profiled: &Profiled, is_wanted: impl Fn(&str) -> bool) -> Sampled {
    let start = Instant::now();
    loop {
        let profile = system.profile(profiled, Duration::from_millis(300)).unwrap();
        if profile.folded.lines().any(&is_wanted) {
            return profile;
        }
        assert!(start.elapsed() < PATIENCE, "{profile:?}");
    }
}

#[test]
fn time_in_host_calls_is_told_apart() {
    let host = host(false);
    let program = host.program(&guests::bytes("stacks", Profile::Debug));
    let system = program.args(["one_calls"]).start();
    let is_call = |line: &str| line.contains("stacks::asks;") && line.contains(";[host] ");
    let profile = profile_with(&system, &Profiled::default(), is_call);
    // A host function is the innermost.
    for line in profile.folded.lines().filter(|line| line.contains("[host] ")) {
        let stack = line.rsplit_once(' ').unwrap().0;
        assert!(stack.rsplit(';').next().unwrap().starts_with("[host] "), "{line}");
    }
    assert!(
        !profile.folded.contains("[waits]") && profile.waited_ms == 0,
        "{profile:?}"
    );
    let counts = profile.folded.lines().map(|line| line.rsplit_once(' ').unwrap().1);
    let sum: u64 = counts.map(|count| count.parse::<u64>().unwrap()).sum();
    assert_eq!(sum, profile.samples);
}

fn waits_are_in_a_profile(freezes: bool) {
    let host = host(freezes);
    let system = every_kind_of_wait(&host);
    let profiled = Profiled {
        waiting: true,
        ..Profiled::default()
    };
    for (function, wait) in [
        ("receives", "[waits] a message on channel #"),
        ("sends", "[waits] room in channel #"),
        ("receives_mail", "[waits] mail"),
        ("calls", "[waits] an answer of #"),
        ("joins", "[waits] the end of #"),
        ("sleeps", "[waits] a point in time"),
        ("selects", "[waits] one of several things"),
        ("accepts", "[waits] the network"),
    ] {
        // The debug information of some functions says no more than their last name.
        let names = [format!(";{function};"), format!("stacks::{function};")];
        let is_there = |line: &str| line.contains(wait) && names.iter().any(|name| line.contains(name.as_str()));
        let profile = profile_with(&system, &profiled, is_there);
        assert!(profile.waited_ms > 0, "{profile:?}");
        let waits = profile.folded.lines().filter(|line| line.contains("[waits] "));
        let counts = waits.map(|line| line.rsplit_once(' ').unwrap().1);
        let sum: u64 = counts.map(|count| count.parse::<u64>().unwrap()).sum();
        assert_eq!(sum, profile.waited_ms);
    }
    for process in system.processes().iter().filter(|_| freezes) {
        let snapshot = &process.snapshot;
        assert!(
            snapshot.is_frozen || snapshot.wait.is_none_or(|(wait, _)| !wait.is_freezable()),
            "{snapshot:?}"
        );
    }
}

#[test]
fn processes_that_wait_are_in_a_profile_on_request() {
    waits_are_in_a_profile(false);
}

#[test]
fn frozen_processes_are_in_a_profile_and_stay_frozen() {
    waits_are_in_a_profile(true);
}

/// Runs all scenarios of a guest, which assert what they have to show, while a thread asks for the stacks of all processes without
/// a pause.
fn nobody_notices(guest: &str, freezes: bool, scenarios_max: usize) {
    let host = host(freezes);
    let program = host.program(&guests::bytes(guest, Profile::Debug));
    for scenario in guests::scenarios(guest).iter().take(scenarios_max) {
        println!("{guest} {scenario}");
        let mut seen = 0_u64;
        let ask = |system: &RunningSystem| {
            while system.main().is_some() {
                for (index, process) in system.processes().iter().enumerate() {
                    // Some are waited for, so that those that compute show theirs, too.
                    let timeout = if index % 8 == 0 { 1 } else { 0 };
                    let stack = system.stack(process.snapshot.id, Duration::from_millis(timeout));
                    seen += u64::from(stack.is_some_and(|stack| stack.unseen.is_none()));
                }
            }
        };
        program.clone().args([scenario.as_str()]).run_beside(ask).normal();
        println!("{seen} stacks seen");
    }
}

#[test]
fn channels_do_as_ever_while_stacks_are_asked_for() {
    nobody_notices("channels", false, usize::MAX);
}

#[test]
fn frozen_channels_do_as_ever_while_stacks_are_asked_for() {
    nobody_notices("channels", true, usize::MAX);
}

#[test]
fn processes_do_as_ever_while_stacks_are_asked_for() {
    nobody_notices("processes", false, usize::MAX);
}

#[test]
fn signals_do_as_ever_while_stacks_are_asked_for() {
    // The last two end otherwise than normally.
    nobody_notices("signals", false, 8);
}

#[test]
fn frozen_signals_do_as_ever_while_stacks_are_asked_for() {
    nobody_notices("signals", true, 8);
}
