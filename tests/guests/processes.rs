//! Processes: how they are spawned, end, are waited for and killed.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use lunatic::channel::TryReceiveError;
use lunatic::codec::{Bincode, Codec, Scratch};
use lunatic::process::{SpawnError, TimedOut};
use lunatic::{Channel, ExitReason, Process, sleep, this_process, yield_now};

lunatic_test_guests::scenarios![
    join_tells_how_a_process_ended,
    join_tells_everyone_the_same_however_often,
    join_timeout_gives_up_in_time,
    kill_ends_a_process_wherever_it_is,
    a_process_can_kill_itself,
    a_process_that_is_killed_does_nothing_more,
    whoever_joins_a_process_that_is_killed_is_told,
    is_alive_until_the_end,
    this_process_is_what_the_parent_got,
    a_forged_process_is_an_error_for_every_call,
    what_a_closure_captures_arrives,
    too_large_a_capture_is_an_error,
    exit_in_a_child_ends_only_the_child,
    deep_recursion_ends_one_process,
    a_panic_while_others_wait_ends_one_process,
    children_live_on_when_their_parent_ends,
    statics_are_not_shared,
    ten_thousand_generations,
    ten_thousand_blocked_processes_are_woken,
    killing_a_thousand_leaves_the_others,
    a_killed_process_does_not_wait_for_those_who_compute,
    sleep_lasts_as_long_as_it_says,
    nobody_waits_for_ever_beside_those_who_never_wait,
    nobody_waits_for_ever_beside_those_who_wake_each_other,
    what_is_not_dropped_yet_is_not_dropped_at_an_early_end,
    a_panic_cannot_be_caught,
];

fn spawn(entry: fn()) -> Process {
    Process::spawn(entry).unwrap()
}

#[track_caller]
fn assert_traps(entry: fn(), text: &str) {
    let reason = spawn(entry).join();
    assert!(
        matches!(&reason, ExitReason::Trap { text: said, .. } if said.contains(text)),
        "{reason}"
    );
}

/// Runs until it is killed.
fn burn() {
    loop {
        black_box(0);
    }
}

fn join_tells_how_a_process_ended() {
    assert_eq!(spawn(|| {}).join(), ExitReason::Normal);
    assert_eq!(spawn(|| std::process::exit(0)).join(), ExitReason::Normal);
    for code in [1, 2, 101, 125] {
        assert_eq!(
            Process::spawn(move || std::process::exit(code)).unwrap().join(),
            ExitReason::Exit(code)
        );
    }
    assert_eq!(
        spawn(|| panic!("the number is {}", 7)).join(),
        ExitReason::Panic("the number is 7".to_owned())
    );
    assert_eq!(
        spawn(|| panic!("two\nlines")).join(),
        ExitReason::Panic("two\nlines".to_owned())
    );
    assert_eq!(
        spawn(|| panic!("ü → 🦀")).join(),
        ExitReason::Panic("ü → 🦀".to_owned())
    );
    assert_traps(|| std::process::abort(), "abort");
    assert_traps(read_out_of_bounds, "out-of-bounds");
    assert_traps(|| _ = black_box(null_function())(), "null function");
    let killed = spawn(burn);
    killed.kill();
    assert_eq!(killed.join(), ExitReason::Killed);
}

fn read_out_of_bounds() {
    let pointer = black_box((u32::MAX - 15) as usize as *const u64);
    // SAFETY: none: the pointer belongs to no object. On WebAssembly the read traps, which is what is tested; the
    // volatile read keeps the compiler from drawing conclusions.
    black_box(unsafe { pointer.read_volatile() });
}

/// A function pointer that is none.
fn null_function() -> extern "C" fn() -> u32 {
    #[repr(C)]
    union Pointer {
        number: usize,
        function: extern "C" fn() -> u32,
    }
    // SAFETY: none: 0 is no function. On WebAssembly calling it traps, which is what is tested.
    unsafe { Pointer { number: black_box(0) }.function }
}

fn join_tells_everyone_the_same_however_often() {
    let (go, answers) = (Channel::new(0), Channel::new(0));
    let process = Process::spawn(move || {
        let () = go.receive();
        panic!("for everyone")
    })
    .unwrap();
    let expected = ExitReason::Panic("for everyone".to_owned());
    for _ in 0..50 {
        Process::spawn(move || answers.send([process.join(), process.join()])).unwrap();
    }
    yield_now();
    go.send(());
    for _ in 0..50 {
        assert_eq!(answers.receive(), [expected.clone(), expected.clone()]);
    }
    assert_eq!(process.join(), expected);
    assert_eq!(process.join_timeout(Duration::ZERO), Ok(expected));
}

fn join_timeout_gives_up_in_time() {
    let process = spawn(burn);
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50)] {
        let start = Instant::now();
        assert_eq!(process.join_timeout(timeout), Err(TimedOut));
        assert!(start.elapsed() >= timeout);
    }
    process.kill();
    assert_eq!(process.join_timeout(Duration::MAX), Ok(ExitReason::Killed));
}

fn kill_ends_a_process_wherever_it_is() {
    let places: [fn(); 9] = [
        burn,
        || sleep(Duration::MAX),
        || sleep(Duration::from_secs(3600)),
        || std::thread::sleep(Duration::from_secs(3600)),
        || {
            Channel::<u32>::new(0)
                .receive_timeout(Duration::from_secs(3600))
                .map_or((), drop)
        },
        || {
            let full = Channel::new(1);
            full.send(0);
            full.send(1);
        },
        || drop(this_process().join()),
        || drop(spawn(burn).join()),
        || {
            loop {
                yield_now();
            }
        },
    ];
    for place in places {
        // Once it has begun, and once perhaps before.
        let begun = Channel::new(1);
        let process = Process::spawn(move || {
            begun.send(());
            place();
        })
        .unwrap();
        begun.receive();
        process.kill();
        assert_eq!(process.join(), ExitReason::Killed);
        process.kill();
        let process = spawn(place);
        process.kill();
        assert_eq!(process.join(), ExitReason::Killed);
    }
}

fn a_process_can_kill_itself() {
    let told = Channel::new(0);
    let process = Process::spawn(move || {
        this_process().kill();
        told.send(());
    })
    .unwrap();
    assert_eq!(process.join(), ExitReason::Killed);
    assert!(matches!(told.try_receive(), Err(TryReceiveError::Empty)));
}

fn a_process_that_is_killed_does_nothing_more() {
    let told = Channel::<u64>::new(0);
    for _ in 0..100 {
        let process = Process::spawn(move || {
            for number in 0.. {
                told.send(number);
            }
        })
        .unwrap();
        told.receive();
        process.kill();
        assert_eq!(process.join(), ExitReason::Killed);
        while told.try_receive().is_ok() {}
        for _ in 0..10 {
            yield_now();
        }
        assert!(matches!(told.try_receive(), Err(TryReceiveError::Empty)));
    }
}

fn whoever_joins_a_process_that_is_killed_is_told() {
    let victim = spawn(|| sleep(Duration::MAX));
    let answers = Channel::new(0);
    for _ in 0..20 {
        Process::spawn(move || answers.send(victim.join())).unwrap();
    }
    victim.kill();
    (0..20).for_each(|_| assert_eq!(answers.receive(), ExitReason::Killed));
}

fn is_alive_until_the_end() {
    let go = Channel::new(0);
    let process = Process::spawn(move || go.receive()).unwrap();
    assert!(process.is_alive());
    go.send(());
    process.join();
    assert!(!process.is_alive());
    assert!(this_process().is_alive());
}

fn this_process_is_what_the_parent_got() {
    let told = Channel::new(0);
    let mut ids = BTreeSet::from([this_process().id()]);
    for _ in 0..1000 {
        let process = Process::spawn(move || told.send(this_process())).unwrap();
        assert_eq!(told.receive(), process);
        assert!(ids.insert(process.id()), "{process} twice");
    }
}

fn a_forged_process_is_an_error_for_every_call() {
    let mut bytes = Scratch::new();
    Bincode::encode(&this_process(), &mut bytes).unwrap();
    let (id, key): (u64, u64) = Bincode::decode(bytes.as_slice()).unwrap();
    let calls: [fn(Process); 4] = [
        |process| _ = process.is_alive(),
        |process| process.kill(),
        |process| _ = process.join(),
        |process| _ = process.join_timeout(Duration::ZERO),
    ];
    for forged in [(id, !key), (id + 1, key), (0, 0), (u64::MAX, u64::MAX)] {
        let mut bytes = Scratch::new();
        Bincode::encode(&forged, &mut bytes).unwrap();
        let process: Process = Bincode::decode(bytes.as_slice()).unwrap();
        for call in calls {
            let reason = Process::spawn(move || call(process)).unwrap().join();
            assert!(
                matches!(&reason, ExitReason::Panic(text) if text.contains("is not a process")),
                "{reason}"
            );
        }
    }
}

fn what_a_closure_captures_arrives() {
    let told = Channel::new(0);
    let (small, text, array, nothing) = (7_u8, "constant", [3_u64; 1000], ());
    for number in 0..100_u32 {
        Process::spawn(move || {
            assert_eq!(nothing, ());
            told.send((small, text.to_owned(), array.iter().sum::<u64>(), number));
        })
        .unwrap();
    }
    let mut numbers: Vec<u32> = (0..100)
        .map(|_| {
            let (small, text, sum, number) = told.receive();
            assert_eq!((small, text.as_str(), sum), (7, "constant", 3000));
            number
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

fn too_large_a_capture_is_an_error() {
    static LARGE: [u8; 65_537] = [1; 65_537];
    let large = LARGE;
    match Process::spawn(move || assert_eq!(large[0], 1)) {
        Err(SpawnError::CaptureTooLarge { len }) => assert_eq!(len, 65_537),
        other => panic!("{other:?}"),
    }
}

fn exit_in_a_child_ends_only_the_child() {
    for code in [0, 1, 70] {
        let child = Process::spawn(move || {
            let grandchild = Process::spawn(move || std::process::exit(code)).unwrap();
            let expected = if code == 0 {
                ExitReason::Normal
            } else {
                ExitReason::Exit(code)
            };
            assert_eq!(grandchild.join(), expected);
        })
        .unwrap();
        assert_eq!(child.join(), ExitReason::Normal);
    }
}

/// Uses little of the stack in memory, so that the host's own limit is met.
fn deep(n: u64) -> u64 {
    if black_box(n) == 0 {
        0
    } else {
        1 + black_box(deep(n - 1))
    }
}

/// Uses much of the stack in memory.
fn wide(n: u64) -> u64 {
    let array = black_box([n; 512]);
    if n == 0 {
        0
    } else {
        array[n as usize % 512] + wide(n - 1)
    }
}

fn deep_recursion_ends_one_process() {
    for recursion in [deep, wide] {
        for _ in 0..3 {
            let reason = Process::spawn(move || _ = black_box(recursion(u64::MAX)))
                .unwrap()
                .join();
            assert!(
                matches!(&reason, ExitReason::Trap { text, .. } if text.contains("stack overflow")),
                "{reason}"
            );
        }
        // What is not too deep works, before and after.
        assert_eq!(
            Process::spawn(move || _ = black_box(recursion(20))).unwrap().join(),
            ExitReason::Normal
        );
    }
}

fn a_panic_while_others_wait_ends_one_process() {
    let (told, ready, answers, go) = (Channel::new(0), Channel::new(0), Channel::new(0), Channel::new(0));
    let owner = Process::spawn(move || {
        let channel = Channel::<u32>::new(0);
        told.send(channel);
        let () = go.receive();
        panic!("while others wait")
    })
    .unwrap();
    let (theirs, mine) = (told.receive(), Channel::<u32>::new(0));
    for number in 0..20 {
        Process::spawn(move || {
            ready.send(());
            // Half wait for the one that panics, half for the main process.
            answers.send(match number % 2 {
                0 => theirs.receive_checked().is_err(),
                _ => mine.receive_checked().is_ok(),
            });
        })
        .unwrap();
    }
    (0..20).for_each(|_| ready.receive());
    go.send(());
    assert!(matches!(owner.join(), ExitReason::Panic(_)));
    (0..10).for_each(|_| assert!(answers.receive()));
    (0..10).for_each(|number| mine.send(number));
    (0..10).for_each(|_| assert!(answers.receive()));
}

fn children_live_on_when_their_parent_ends() {
    let (go, told, born) = (Channel::new(0), Channel::new(0), Channel::new(0));
    let parent = Process::spawn(move || {
        let child = Process::spawn(move || {
            let () = go.receive();
            told.send(7);
        });
        born.send(child.unwrap());
    })
    .unwrap();
    assert_eq!(parent.join(), ExitReason::Normal);
    let child: Process = born.receive();
    assert!(child.is_alive());
    go.send(());
    assert_eq!(told.receive(), 7);
}

fn statics_are_not_shared() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let told = Channel::new(0);
    COUNT.store(100, Ordering::Relaxed);
    for _ in 0..1000 {
        Process::spawn(move || told.send(COUNT.fetch_add(1, Ordering::Relaxed))).unwrap();
    }
    (0..1000).for_each(|_| assert_eq!(told.receive(), 0));
    assert_eq!(COUNT.load(Ordering::Relaxed), 100);
}

/// Each process spawns the next one, and ends.
fn ten_thousand_generations() {
    fn generation(left: u32, told: Channel<()>) {
        match left {
            0 => told.send(()),
            _ => drop(Process::spawn(move || generation(left - 1, told)).map_err(|error| panic!("{error}"))),
        }
    }
    let told = Channel::new(0);
    generation(10_000, told);
    told.receive();
}

fn ten_thousand_blocked_processes_are_woken() {
    const PROCESSES: u32 = 10_000;
    let (go, told) = (Channel::<u32>::new(0), Channel::<u32>::new(0));
    for _ in 0..PROCESSES {
        Process::spawn(move || told.send(go.receive())).unwrap();
    }
    (0..PROCESSES).for_each(|number| go.send(number));
    let heard: BTreeSet<u32> = (0..PROCESSES).map(|_| told.receive()).collect();
    assert_eq!(heard.len(), PROCESSES as usize);
}

fn killing_a_thousand_leaves_the_others() {
    let (go, told) = (Channel::<()>::new(0), Channel::<u32>::new(0));
    let processes: Vec<Process> = (0..2000)
        .map(|number| {
            let process = Process::spawn(move || {
                go.receive();
                told.send(number);
            });
            process.unwrap()
        })
        .collect();
    for process in processes.iter().step_by(2) {
        process.kill();
    }
    for process in processes.iter().step_by(2) {
        assert_eq!(process.join(), ExitReason::Killed);
    }
    (0..1000).for_each(|_| go.send(()));
    let mut heard: Vec<u32> = (0..1000).map(|_| told.receive()).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..1000).map(|number| 2 * number + 1).collect::<Vec<_>>());
}

fn a_killed_process_does_not_wait_for_those_who_compute() {
    // Other programs on the machine can delay some of these.
    let measured: Vec<_> = (0..5).map(|_| kill_some_who_compute()).collect();
    // It would be half a turn of all, if each had to wait for its own.
    let is_soon = |(gone, turn): &(Duration, Duration)| *gone * 5 < *turn;
    assert!(measured.iter().any(is_soon), "{measured:?}");
}

/// Kills 20 of 100 processes that compute. Returns the median time until one is gone, and the time that a turn of all
/// takes.
fn kill_some_who_compute() -> (Duration, Duration) {
    let burners: Vec<Process> = (0..100).map(|_| spawn(burn)).collect();
    // The first turn of all of them, and one more that is measured.
    yield_now();
    let start = Instant::now();
    yield_now();
    let turn = start.elapsed();
    let kill = |process: &Process| {
        let start = Instant::now();
        process.kill();
        assert_eq!(process.join(), ExitReason::Killed);
        start.elapsed()
    };
    let mut gone: Vec<Duration> = burners[40..60].iter().map(kill).collect();
    gone.sort_unstable();
    burners.iter().for_each(|process| _ = kill(process));
    (gone[10], turn)
}

fn sleep_lasts_as_long_as_it_says() {
    for duration in [
        Duration::ZERO,
        Duration::from_micros(10),
        Duration::from_millis(5),
        Duration::from_millis(40),
    ] {
        for sleep in [sleep, std::thread::sleep] {
            let start = Instant::now();
            sleep(duration);
            assert!(
                start.elapsed() >= duration,
                "{:?} instead of {duration:?}",
                start.elapsed()
            );
        }
    }
}

/// A loop of some time slices.
fn work(told: Channel<()>) {
    (0..30_000_000_u64).for_each(|number| _ = black_box(number));
    told.send(());
}

fn nobody_waits_for_ever_beside_those_who_never_wait() {
    let endless: Vec<Process> = (0..20).map(|_| spawn(burn)).collect();
    let told = Channel::new(0);
    for _ in 0..5 {
        // One that was spawned later, one that waits now and then, one that works for long.
        Process::spawn(move || told.send(())).unwrap();
        Process::spawn(move || {
            (0..20).for_each(|_| sleep(Duration::from_micros(100)));
            told.send(());
        })
        .unwrap();
        Process::spawn(move || work(told)).unwrap();
    }
    (0..15).for_each(|_| told.receive());
    assert!(endless.iter().all(Process::is_alive));
}

fn nobody_waits_for_ever_beside_those_who_wake_each_other() {
    for _ in 0..10 {
        let (there, back) = (Channel::new(0), Channel::new(0));
        Process::spawn(move || {
            loop {
                there.send(1);
                back.receive();
            }
        })
        .unwrap();
        Process::spawn(move || {
            loop {
                back.send(there.receive());
            }
        })
        .unwrap();
    }
    for _ in 0..10 {
        Process::spawn(|| {
            loop {
                yield_now();
            }
        })
        .unwrap();
    }
    let told = Channel::new(0);
    for _ in 0..5 {
        Process::spawn(move || told.send(())).unwrap();
        Process::spawn(move || work(told)).unwrap();
    }
    (0..10).for_each(|_| told.receive());
}

/// Tells when it is dropped.
struct Tells(Channel<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.send(());
    }
}

fn what_is_not_dropped_yet_is_not_dropped_at_an_early_end() {
    let ends: [fn(); 4] = [
        || panic!("this was meant to be"),
        || std::process::exit(1),
        || std::process::abort(),
        || this_process().kill(),
    ];
    let told = Channel::new(0);
    for end in ends {
        let process = Process::spawn(move || {
            let _tells = Tells(told);
            end();
        });
        assert!(!process.unwrap().join().is_normal());
        assert!(matches!(told.try_receive(), Err(TryReceiveError::Empty)));
    }
    let process = Process::spawn(move || drop(Tells(told))).unwrap();
    assert_eq!(process.join(), ExitReason::Normal);
    assert!(told.try_receive().is_ok());
}

fn a_panic_cannot_be_caught() {
    let told = Channel::new(0);
    let process = Process::spawn(move || {
        let _ = std::panic::catch_unwind(|| panic!("not caught"));
        told.send(());
    });
    assert_eq!(process.unwrap().join(), ExitReason::Panic("not caught".to_owned()));
    assert!(matches!(told.try_receive(), Err(TryReceiveError::Empty)));
}
