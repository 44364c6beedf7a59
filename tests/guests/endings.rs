//! How programs end, and what is said about it.

use std::hint::black_box;
use std::time::Duration;

use lunatic::{Channel, Process, sleep};

lunatic_test_guests::scenarios![
    the_end_of_main_is_the_end_of_the_system,
    the_code_is_the_programs_own,
    an_error_is_1,
    a_panic_is_101,
    a_trap_is_134,
    a_kill_is_137,
    a_deadlock_is_70,
    a_panic_is_reported_with_its_place,
    what_a_guest_says_is_not_obeyed_by_a_terminal,
    a_trap_is_reported_with_its_place,
    ends_that_are_no_failures_are_not_reported,
    many_crashes_are_reported_each_in_one_piece,
    who_waits_for_what_is_reported,
    output_is_out_when_the_system_ends,
];

/// The number in the second argument.
fn number() -> i32 {
    std::env::args()
        .nth(2)
        .and_then(|text| text.parse().ok())
        .expect("the second argument is a number")
}

fn the_end_of_main_is_the_end_of_the_system() {
    for _ in 0..100 {
        Process::spawn(|| {
            loop {
                black_box(0);
            }
        })
        .unwrap();
        Process::spawn(|| sleep(Duration::MAX)).unwrap();
    }
    std::process::exit(number());
}

fn the_code_is_the_programs_own() {
    std::process::exit(number());
}

fn an_error_is_1() {
    #[lunatic::main]
    fn main() -> Result<(), String> {
        Err("out of paper".to_owned())
    }
    main();
}

fn a_panic_is_101() {
    panic!("main panics");
}

fn a_trap_is_134() {
    std::process::abort();
}

fn a_kill_is_137() {
    let main = lunatic::this_process();
    Process::spawn(move || main.kill()).unwrap().join();
    // The kill takes effect at the latest when the time slice is over.
    sleep(Duration::MAX);
}

fn a_deadlock_is_70() {
    Channel::<u32>::new(0).receive();
}

mod deep {
    pub(crate) mod inside {
        pub(crate) struct Machine<T>(pub(crate) T);

        impl<T: std::fmt::Display> Machine<T> {
            #[inline(never)]
            pub(crate) fn fail(&self) {
                panic!("the machine failed: {}", self.0);
            }

            #[inline(never)]
            pub(crate) fn stop(&self) {
                std::process::abort();
            }
        }
    }
}

fn a_panic_is_reported_with_its_place() {
    Process::spawn(|| deep::inside::Machine(42).fail()).unwrap().join();
}

fn what_a_guest_says_is_not_obeyed_by_a_terminal() {
    // What it prints itself is its own affair.
    println!("\u{1b}[31mred");
    lunatic::registry::register("a\u{9b}\u{202e}b", lunatic::this_process()).unwrap();
    panic!("\u{1b}]52;c;AAAA\u{7}\u{202e}\rb");
}

fn a_trap_is_reported_with_its_place() {
    Process::spawn(|| deep::inside::Machine(42).stop()).unwrap().join();
}

fn ends_that_are_no_failures_are_not_reported() {
    Process::spawn(|| {}).unwrap().join();
    Process::spawn(|| std::process::exit(0)).unwrap().join();
    Process::spawn(|| std::process::exit(1)).unwrap().join();
    let killed = Process::spawn(|| sleep(Duration::MAX)).unwrap();
    killed.kill();
    killed.join();
}

fn many_crashes_are_reported_each_in_one_piece() {
    let processes: Vec<Process> = (0..200)
        .map(|number| Process::spawn(move || panic!("this is number {number}")).unwrap())
        .collect();
    processes.iter().for_each(|process| drop(process.join()));
}

fn who_waits_for_what_is_reported() {
    let (ready, full) = (Channel::new(0), Channel::new(3));
    (0..3).for_each(|number| full.send(number));
    let receiver = Process::spawn(move || {
        let own = Channel::<u32>::new(0);
        ready.send(());
        own.receive();
    })
    .unwrap();
    Process::spawn(move || {
        ready.send(());
        full.send(3);
    })
    .unwrap();
    Process::spawn(move || {
        ready.send(());
        sleep(Duration::MAX);
    })
    .unwrap();
    (0..3).for_each(|_| ready.receive());
    receiver.join();
}

fn output_is_out_when_the_system_ends() {
    for number in 0..10_000 {
        println!("line {number}");
    }
    print!("no end of line");
}
