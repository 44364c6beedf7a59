//! A shop with three troubles, to practise on: `docs/operating.md` finds them.
//!
//! `cargo lunatic run --example troubled`, with `lunatic status` and its like beside it. It runs until it is stopped.

use std::hint::black_box;
use std::time::Duration;

use lunatic::mailbox::ReplyTo;
use lunatic::registry::lookup;
use lunatic::{Address, Mailbox, Process, sleep, yield_now};

/// What customers have bought.
type Receipt = String;

#[lunatic::main]
fn main() {
    Process::builder().name("archive").spawn(archive).unwrap();
    for _ in 0..3 {
        Process::spawn(customer).unwrap();
    }
    Process::builder().name("till").spawn(till).unwrap();
    Process::builder().name("stock").spawn(stock).unwrap();
    Process::builder().name("prices").spawn(prices).unwrap();
    loop {
        sleep(Duration::from_secs(3600));
    }
}

/// Who has the name; it may not have begun yet.
fn find(name: &str) -> Process {
    loop {
        match lookup(name) {
            Some(process) => return process,
            None => yield_now(),
        }
    }
}

/// Files one receipt after the other, and takes its time.
fn archive() {
    let receipts = Mailbox::<Receipt>::new();
    loop {
        let _receipt = receipts.receive();
        sleep(Duration::from_millis(20));
    }
}

/// Buys something each millisecond.
fn customer() {
    let archive = Address::<Receipt>::of(find("archive"));
    loop {
        archive.send("an umbrella, 12.00".to_owned());
        sleep(Duration::from_millis(1));
    }
}

/// Asks how many umbrellas are left, and tells what one costs.
fn till() {
    let left: u32 = Address::<ReplyTo<u32>>::of(find("stock")).call(|reply| reply).unwrap();
    println!("{left} umbrellas are left");
    let requests = Mailbox::<ReplyTo<u32>>::new();
    loop {
        requests.receive().send(12);
    }
}

/// Asks what an umbrella costs, and tells how many are left.
fn stock() {
    let price: u32 = Address::<ReplyTo<u32>>::of(find("till")).call(|reply| reply).unwrap();
    println!("an umbrella costs {price}");
    let requests = Mailbox::<ReplyTo<u32>>::new();
    loop {
        requests.receive().send(7);
    }
}

/// Looks for the best price, and never finds it.
fn prices() {
    let mut best = 100.0_f64;
    loop {
        best = better(black_box(best));
    }
}

/// A price that is lower, but not by much.
fn better(price: f64) -> f64 {
    (1..1000)
        .map(|customers| price - 1e-9 / f64::from(customers))
        .fold(price, f64::min)
}
