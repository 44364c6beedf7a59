//! A child that panics, and a parent that then waits for a message that nobody can send.
//!
//! Run it with `cargo lunatic run --example crash`. It exits with code 70, because it ends in a deadlock.

use lunatic::{Channel, Process};

fn main() {
    let words = Channel::<String>::new(0);
    let child = Process::spawn(move || {
        let number: u32 = words.receive().parse().unwrap();
        println!("{number}");
    })
    .unwrap();
    words.send("ten".to_owned());
    println!("the child {}", child.join());
    println!("{}", words.receive());
}
