//! Processes, from the inside: run with `cargo lunatic test`.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lunatic::channel::Message;
use lunatic::codec::{Codec, DefaultCodec, Scratch};
use lunatic::process::TimedOut;
use lunatic::{Channel, ExitReason, Process, ProcessConfig, SpawnError, sleep, this_process, yield_now};
use lunatic_sys::layout::RawHandle;

#[lunatic::test]
fn a_child_has_an_identity_of_its_own() {
    let from_child = Channel::new(0);
    let child = Process::spawn(move || from_child.send(this_process())).unwrap();
    assert_eq!(from_child.receive(), child);
    assert_ne!(child, this_process());
    let handle = RawHandle { id: child.id(), key: 0 };
    let shown = match (handle.slot(), handle.number()) {
        (slot, 0) => format!("#{slot}"),
        (slot, number) => format!("#{slot}.{number}"),
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

// In unoptimised builds each move of a closure copies it on the stack, which has 256 KiB. Hence there is one test each,
// and the capture is not quite the largest.
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
            // Changes of an earlier process in this memory must be gone.
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
#[should_panic(expected = "is not a process: the handle was not given out by this host")]
fn a_forged_handle_is_recognised() {
    let (id, key): (u64, u64) = recode(&this_process());
    let forged: Process = recode(&(id, key ^ 1));
    let _ = forged.is_alive();
}

#[lunatic::test]
#[should_panic(expected = "is not a process")]
fn a_handle_of_the_future_is_recognised() {
    let (id, key): (u64, u64) = recode(&this_process());
    let forged: Process = recode(&(id + 1_000_000, key));
    forged.kill();
}

/// Reinterprets the encoding of one value as another: the only way to forge a handle.
fn recode<T: Message, U: Message>(value: &T) -> U {
    let mut bytes = Scratch::new();
    DefaultCodec::encode(value, &mut bytes).unwrap();
    DefaultCodec::decode(bytes.as_slice()).unwrap()
}

/// In debug builds, the first spawn that captures a reference to the heap is reported; later spawns of that process are
/// not.
#[lunatic::test]
fn a_captured_reference_to_the_heap_is_found_in_debug_builds() {
    fn check(spawn: fn()) {
        let builder = Process::builder().config(&ProcessConfig::inherit().capture_stderr());
        let process = builder
            .spawn(move || {
                spawn();
                spawn();
            })
            .unwrap();
        assert_eq!(process.join(), ExitReason::Normal);
        let said = String::from_utf8(process.take_stderr()).unwrap();
        let warnings = said.matches("on this process's heap").count();
        assert_eq!(warnings, usize::from(cfg!(debug_assertions)), "{said}");
        assert!(said.is_empty() || said.contains("lunatic/tests/process.rs:"), "{said}");
    }
    fn leaked() -> &'static u64 {
        Box::leak(Box::new(7))
    }
    check(|| {
        let number = leaked();
        Process::spawn(move || _ = std::hint::black_box(number)).unwrap();
    });
    check(|| {
        let (channel, flag, word) = (Channel::<u8>::new(0), true, &*String::from("a word").leak());
        Process::spawn_link(move || _ = std::hint::black_box((channel, flag, word))).unwrap();
    });
    check(|| {
        let counter: &'static AtomicU32 = Box::leak(Box::default());
        let nested = Some([(1_u8, counter); 2]);
        Process::spawn_monitor(move || _ = std::hint::black_box(nested)).unwrap();
    });
    check(|| {
        let number = leaked();
        Process::spawn_with((), move |()| _ = std::hint::black_box(number)).unwrap();
    });
    check(|| {
        let number = leaked();
        Process::builder()
            .spawn(move || _ = std::hint::black_box(number))
            .unwrap();
    });
    check(|| {
        let number = leaked();
        lunatic::Task::spawn(move || _ = std::hint::black_box(number)).unwrap();
    });
}

/// Nothing else is mistaken for a reference to the heap, even if the heap is large: neither handles, whose keys are
/// random, nor references to values that are the same in each process.
#[lunatic::test]
fn no_other_capture_is_taken_for_a_reference_to_the_heap() {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    const TABLE: [u32; 3] = [1, 2, 3];

    let heap: Vec<Box<[u8; 24]>> = (0..500_000).map(|_| Box::new([1; 24])).collect();
    for number in 0..2000_u32 {
        let (channel, words) = (Channel::<u64>::new(1), ["to", "be"]);
        let (this, counter, table, entry) = (this_process(), &COUNTER, &TABLE, u32::count_ones as fn(u32) -> u32);
        let child = Process::spawn(move || {
            let sum = counter.fetch_add(entry(number), Ordering::Relaxed) + table[2];
            channel.send(u64::from(sum) + words[1].len() as u64 + this.id());
        });
        assert_eq!(channel.receive(), 5 + this.id());
        child.unwrap().join();
    }
    drop(heap);
}

/// The padding of closures contains old addresses.
#[lunatic::test]
fn padding_is_not_taken_for_a_reference_to_the_heap() {
    #[inline(never)]
    fn litter(address: usize) -> usize {
        std::hint::black_box([address; 1000])[999]
    }
    #[inline(never)]
    fn spawn_with_padding(number: u32) -> Process {
        let (channel, start, flag) = (Channel::<u32>::new(0), Instant::now(), number.is_multiple_of(2));
        let padded = (Duration::from_secs(1), number);
        Process::spawn(move || _ = std::hint::black_box((channel, start, flag, padded))).unwrap()
    }
    let address = Box::into_raw(Box::new(7_u64)).expose_provenance();
    for number in 0..100 {
        litter(address);
        spawn_with_padding(number).join();
    }
}

#[lunatic::test]
fn the_check_of_captures_can_be_switched_off() {
    assert!(lunatic::process::check_captures(false));
    // A number that happens to be the address of an allocation.
    let number = Box::into_raw(Box::new(7_u64)).expose_provenance();
    let child = Process::spawn(move || assert_ne!(number, 0));
    assert!(!lunatic::process::check_captures(true));
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
}
