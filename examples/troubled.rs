//! A shop with three problems, to practise diagnosis on: `docs/operating.md` finds them.
//!
//! Run it with `cargo lunatic run --example troubled`, and `lunatic status` and related commands beside it.

use std::hint::black_box;
use std::time::Duration;

use lunatic::mailbox::ReplyTo;
use lunatic::registry::lookup;
use lunatic::{Address, Mailbox, Process, sleep, yield_now};

/// A line about what a customer has bought.
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

/// Finds the process with this name, which may not have started yet.
fn find(name: &str) -> Process {
    loop {
        match lookup(name) {
            Some(process) => return process,
            None => yield_now(),
        }
    }
}

/// Files receipts one by one, slowly.
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

/// Asks the stock how many umbrellas are left, then answers what one costs.
fn till() {
    let left: u32 = Address::<ReplyTo<u32>>::of(find("stock")).call(|reply| reply).unwrap();
    println!("{left} umbrellas are left");
    let requests = Mailbox::<ReplyTo<u32>>::new();
    loop {
        requests.receive().send(12);
    }
}

/// Asks the till what an umbrella costs, then answers how many are left.
fn stock() {
    let price: u32 = Address::<ReplyTo<u32>>::of(find("till")).call(|reply| reply).unwrap();
    println!("an umbrella costs {price}");
    let requests = Mailbox::<ReplyTo<u32>>::new();
    loop {
        requests.receive().send(7);
    }
}

/// Searches for the best price, and never finds it.
fn prices() {
    let mut best = 100.0_f64;
    loop {
        best = better(black_box(best));
    }
}

/// A price that is slightly lower.
fn better(price: f64) -> f64 {
    (1..1000)
        .map(|customers| price - 1e-9 / f64::from(customers))
        .fold(price, f64::min)
}
