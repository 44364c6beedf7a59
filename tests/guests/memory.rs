//! Memory: what one process takes, no other one loses.

use std::hint::black_box;
use std::time::Duration;

use lunatic::process::SpawnError;
use lunatic::{Channel, ExitReason, Process, sleep, yield_now};

lunatic_test_guests::scenarios![
    exhausted_memory_ends_one_process,
    a_hundred_greedy_processes_exhaust_themselves,
    memory_of_ended_processes_can_be_used_again,
    the_main_process_exhausts_its_memory,
    a_refused_allocation_can_be_handled,
    spawn_says_what_the_machine_lacks,
];

/// Takes memory, a megabyte at a time, and uses it, until there is none.
fn devour() {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[track_caller]
fn assert_exhausted(reason: ExitReason) {
    assert!(
        matches!(&reason, ExitReason::OutOfMemory(text) if text.contains("out of memory")),
        "{reason}"
    );
}

fn exhausted_memory_ends_one_process() {
    let mine = vec![7_u8; 1 << 20];
    for _ in 0..3 {
        assert_exhausted(Process::spawn(devour).unwrap().join());
        assert_eq!(
            Process::spawn(|| drop(black_box(vec![1_u8; 1 << 20]))).unwrap().join(),
            ExitReason::Normal
        );
    }
    assert!(mine.iter().all(|byte| *byte == 7));
}

/// They all take what they can get at the same time; meanwhile the others work, and afterwards too.
fn a_hundred_greedy_processes_exhaust_themselves() {
    let (numbers, squares) = (Channel::<u64>::new(0), Channel::<u64>::new(0));
    Process::spawn(move || {
        loop {
            let number = numbers.receive();
            squares.send(number * number);
        }
    })
    .unwrap();
    let greedy: Vec<Process> = (0..100).map(|_| Process::spawn(devour).unwrap()).collect();
    for number in 0..1000 {
        numbers.send(number);
        assert_eq!(squares.receive(), number * number);
    }
    for process in greedy {
        assert_exhausted(process.join());
    }
    assert_eq!(
        Process::spawn(|| drop(black_box(vec![1_u8; 8 << 20]))).unwrap().join(),
        ExitReason::Normal
    );
}

/// A thousand times 8 MB, one after the other.
fn memory_of_ended_processes_can_be_used_again() {
    for _ in 0..1000 {
        let process = Process::spawn(|| drop(black_box(vec![1_u8; 8 << 20]))).unwrap();
        assert_eq!(process.join(), ExitReason::Normal);
    }
}

fn the_main_process_exhausts_its_memory() {
    devour();
}

fn a_refused_allocation_can_be_handled() {
    let mut bytes = Vec::<u8>::new();
    assert!(bytes.try_reserve(1 << 30).is_err());
    bytes.extend([1; 1000]);
    assert_eq!(bytes.len(), 1000);
}

/// To be run with little address space.
fn spawn_says_what_the_machine_lacks() {
    let is_named = |text: &str| assert!(text.contains("ulimit -v"), "{text}");
    // This process will need memory itself when there is none.
    drop(black_box(vec![1_u8; 8 << 20]));
    let mut all = Vec::with_capacity(10_000);
    let refused = loop {
        match Process::spawn(|| sleep(Duration::MAX)) {
            Ok(process) => all.push(process),
            Err(refused) => break refused,
        }
        assert!(all.len() < 10_000, "there is always room");
        yield_now();
    };
    match refused {
        SpawnError::Limit(text) => is_named(&text),
        other => panic!("{other}"),
    }
    // Those that had been spawned by then, and could not begin.
    let ended: Vec<ExitReason> = all
        .iter()
        .filter_map(|process| process.join_timeout(Duration::ZERO).ok())
        .collect();
    for reason in &ended {
        match reason {
            ExitReason::OutOfMemory(text) => is_named(text),
            other => panic!("{other}"),
        }
    }
    assert!(ended.len() < all.len(), "none could begin");
    all.iter().for_each(|process| process.kill());
    all.iter().for_each(|process| _ = process.join());
    // There is room again, which the host finds out when it looks next.
    let again = loop {
        match Process::spawn(|| ()) {
            Ok(process) => break process,
            Err(_) => yield_now(),
        }
    };
    assert_eq!(again.join(), ExitReason::Normal);
}
