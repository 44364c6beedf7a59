//! Programs with processes that fail.

use std::hint::black_box;
use std::time::Instant;

use lunatic::registry::register;
use lunatic::{Channel, ExitReason, Mailbox, Process, this_process};

lunatic_test_guests::scenarios![a_clerk, a_storm, an_error, a_large_memory, main_fails];

/// The number in the second argument.
fn number() -> usize {
    std::env::args()
        .nth(2)
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

/// A process with a secret in its memory, a name, and three messages that it does not read. Prints where the secret is.
fn a_clerk() {
    let ready = Channel::new(0);
    let clerk = Process::spawn(move || {
        register("clerk", this_process()).unwrap();
        let secret = ["the ", "password ", "is ", "swordfish"].concat();
        println!("{:#x}", secret.as_ptr().addr());
        let (orders, numbers) = (Mailbox::<String>::new(), Mailbox::<u64>::new());
        ready.send((orders.address(), numbers.address()));
        file_away(&orders.receive(), &secret);
    })
    .unwrap();
    let _watched = clerk.monitor();
    let (orders, numbers) = ready.receive();
    (0..3).for_each(|_| numbers.send(0x6c65_6765_6c69_7670));
    orders.send("the order".to_owned());
    let _ = clerk.join();
}

#[inline(never)]
fn file_away(order: &str, secret: &str) {
    black_box(secret);
    panic!("{order} is wrong");
}

/// As many processes crash as the second argument says, a thousand at a time. Prints how many milliseconds that takes.
fn a_storm() {
    let start = Instant::now();
    let mut left = number();
    while left > 0 {
        let some = left.min(1000);
        let processes: Vec<_> = (0..some)
            .map(|_| Process::spawn(|| std::process::abort()).unwrap())
            .collect();
        processes.iter().for_each(|process| drop(process.join()));
        left -= some;
    }
    println!("{}", start.elapsed().as_millis());
}

/// One ends itself with an error.
fn an_error() {
    let failed = Process::spawn(|| lunatic::process::exit(ExitReason::Error("out of paper".to_owned())));
    let _ = failed.unwrap().join();
}

/// One crashes that has filled as many bytes as the second argument says.
fn a_large_memory() {
    let len = number();
    let large = Process::spawn_with(len, |len: usize| {
        let filled = vec![7_u8; len];
        black_box(&filled);
        std::process::abort();
    });
    let _ = large.unwrap().join();
}

fn main_fails() {
    panic!("main fails");
}
