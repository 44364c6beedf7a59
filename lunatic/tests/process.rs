//! Processes, from the inside: run with `cargo lunatic test`.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lunatic::channel::Message;
use lunatic::codec::{Codec, DefaultCodec, Scratch};
use lunatic::process::TimedOut;
use lunatic::{Channel, ExitReason, Process, SpawnError, sleep, this_process, yield_now};

#[lunatic::test]
fn a_child_has_an_identity_of_its_own() {
    let from_child = Channel::new(0);
    let child = Process::spawn(move || from_child.send(this_process())).unwrap();
    assert_eq!(from_child.receive(), child);
    assert_ne!(child, this_process());
    let (place, generation) = (child.id() as u32, child.id() >> 32);
    let shown = match generation {
        0 => format!("#{place}"),
        _ => format!("#{place}.{generation}"),
    };
    assert_eq!(child.to_string(), shown);
}

#[lunatic::test]
fn handles_are_never_used_twice() {
    let processes: HashSet<Process> = (0..100)
        .map(|_| {
            let child = Process::spawn(|| ()).unwrap();
            child.join();
            child
        })
        .collect();
    assert_eq!(processes.len(), 100);
}

#[lunatic::test]
fn join_tells_how_a_process_ended() {
    fn check(entry: fn(), expected: impl FnOnce(&ExitReason) -> bool) {
        let child = Process::spawn(entry).unwrap();
        let reason = child.join();
        assert!(expected(&reason), "it {reason}");
        assert_eq!(child.join(), reason, "everyone gets the same answer");
        assert!(!child.is_alive());
    }
    check(|| (), |reason| *reason == ExitReason::Normal);
    check(|| std::process::exit(0), |reason| *reason == ExitReason::Normal);
    check(|| std::process::exit(7), |reason| *reason == ExitReason::Exit(7));
    check(
        || panic!("meant to"),
        |reason| *reason == ExitReason::Panic("meant to".into()),
    );
    check(
        || panic!("{} {}", "meant", "to"),
        |reason| *reason == ExitReason::Panic("meant to".into()),
    );
    check(
        || std::process::abort(),
        |reason| matches!(reason, ExitReason::Trap { .. }),
    );
    check(|| this_process().kill(), |reason| *reason == ExitReason::Killed);
    #[expect(unconditional_recursion)]
    fn deeper(depth: &Cell<u64>) {
        let here = Cell::new(depth.get() + 1);
        deeper(&here);
        std::hint::black_box(&here);
    }
    check(
        || deeper(&Cell::new(0)),
        |reason| matches!(reason, ExitReason::Trap { .. }),
    );
}

#[lunatic::test]
fn an_endless_loop_can_be_killed() {
    let child = Process::spawn(|| {
        loop {
            std::hint::black_box(0);
        }
    })
    .unwrap();
    assert_eq!(child.join_timeout(Duration::from_millis(5)), Err(TimedOut));
    assert!(child.is_alive());
    child.kill();
    assert_eq!(child.join(), ExitReason::Killed);
    child.kill();
    assert_eq!(child.join_timeout(Duration::ZERO), Ok(ExitReason::Killed));
}

#[lunatic::test]
fn a_waiting_process_can_be_killed() {
    let never = Channel::<u8>::new(0);
    let entries: [fn(Channel<u8>); 3] = [
        |never| assert_eq!(never.receive(), 0),
        |_| sleep(Duration::MAX),
        |_| drop(this_process().join()),
    ];
    for entry in entries {
        let child = Process::spawn(move || entry(never)).unwrap();
        assert_eq!(child.join_timeout(Duration::from_millis(1)), Err(TimedOut));
        child.kill();
        assert_eq!(child.join(), ExitReason::Killed);
    }
}

#[lunatic::test]
fn captured_values_arrive_as_they_were() {
    #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Odd {
        byte: u8,
        double: f64,
        text: Option<char>,
    }
    let odd = Odd {
        byte: 200,
        double: -0.5,
        text: Some('ü'),
    };
    let array = [7_u16; 33];
    let literal = "in every memory";
    let back = Channel::new(0);
    Process::spawn(move || back.send((odd, array.to_vec(), literal.to_owned()))).unwrap();
    assert_eq!(back.receive(), (odd, array.to_vec(), literal.to_owned()));
}

// Without optimisation each move of a closure is a copy on the stack, which has 256 KiB: hence one test each, and not
// quite the largest capture.
#[lunatic::test]
fn captures_may_be_large() {
    let back = Channel::<u64>::new(0);
    let large = [3_u8; 40 << 10];
    Process::spawn(move || back.send(large.iter().map(|&byte| u64::from(byte)).sum())).unwrap();
    assert_eq!(back.receive(), 3 * (40 << 10));
}

#[lunatic::test]
fn captures_must_not_be_too_large() {
    let too_large = [3_u8; (64 << 10) + 1];
    let error = Process::spawn(move || assert_eq!(too_large[0], 3)).unwrap_err();
    assert_eq!(error, SpawnError::CaptureTooLarge { len: (64 << 10) + 1 });
}

static COUNTER: AtomicU32 = AtomicU32::new(1);

#[lunatic::test]
fn nothing_is_shared_and_nothing_is_left_behind() {
    thread_local!(static LOCAL: Cell<u32> = const { Cell::new(1) });
    COUNTER.store(100, Ordering::Relaxed);
    LOCAL.set(100);
    let seen = Channel::new(0);
    for _ in 0..50 {
        Process::spawn(move || {
            // Whoever was in this memory before, its changes are gone.
            seen.send((COUNTER.fetch_add(1, Ordering::Relaxed), LOCAL.replace(2)));
        })
        .unwrap()
        .join();
        assert_eq!(seen.receive(), (1, 1));
    }
    assert_eq!((COUNTER.load(Ordering::Relaxed), LOCAL.get()), (100, 100));
}

#[lunatic::test]
fn generations_go_deep() {
    fn live(depth: u32, root: Channel<Process>) {
        match depth {
            0 => root.send(this_process()),
            _ => drop(Process::spawn(move || live(depth - 1, root)).unwrap()),
        }
    }
    let root = Channel::new(0);
    live(200, root);
    assert_ne!(root.receive(), this_process());
}

#[lunatic::test]
fn children_outlive_their_parent() {
    let orphan_speaks = Channel::new(0);
    let parent = Process::spawn(move || {
        let parent = this_process();
        Process::spawn(move || {
            parent.join();
            orphan_speaks.send(parent.is_alive());
        })
        .unwrap();
    })
    .unwrap();
    assert_eq!(parent.join(), ExitReason::Normal);
    assert!(!orphan_speaks.receive());
}

#[lunatic::test]
fn sleeping_lasts_long_enough() {
    for duration in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(12)] {
        let start = Instant::now();
        sleep(duration);
        assert!(start.elapsed() >= duration, "{duration:?}");
        let start = Instant::now();
        std::thread::sleep(duration);
        assert!(start.elapsed() >= duration, "{duration:?}");
    }
    yield_now();
}

#[lunatic::test]
#[should_panic(expected = "is no process: the handle was not given out by this host")]
fn a_forged_handle_is_recognised() {
    let (id, key): (u64, u64) = recode(&this_process());
    let forged: Process = recode(&(id, key ^ 1));
    let _ = forged.is_alive();
}

#[lunatic::test]
#[should_panic(expected = "is no process")]
fn a_handle_of_the_future_is_recognised() {
    let (id, key): (u64, u64) = recode(&this_process());
    let forged: Process = recode(&(id + 1_000_000, key));
    forged.kill();
}

/// What the bytes of one value mean as another: the only way to forge a handle.
fn recode<T: Message, U: Message>(value: &T) -> U {
    let mut bytes = Scratch::new();
    DefaultCodec::encode(value, &mut bytes).unwrap();
    DefaultCodec::decode(bytes.as_slice()).unwrap()
}
