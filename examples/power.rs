//! 100,000 processes, each of which computes one square.
//!
//! Run it with `cargo lunatic run --example power`.

#![expect(
    clippy::clone_on_copy,
    reason = "reads as what it means: every process gets a handle of the channel"
)]

use lunatic::{Channel, Process};

fn main() {
    let channel = Channel::new(0);

    for i in 0..100_000 {
        let x = channel.clone();
        Process::spawn(move || {
            x.send((i, power(i)));
        })
        .unwrap();
    }

    for _ in 0..100_000 {
        let (i, power) = channel.receive();
        println!("Power of {} is {}", i, power);
    }
}

fn power(a: i32) -> i64 {
    i64::from(a) * i64::from(a)
}
