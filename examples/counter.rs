//! A process that keeps state for others: the state lives in the process, and other processes send requests to it.
//!
//! Run it with `cargo lunatic run --example counter`.

use lunatic::{Channel, Process};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum Request {
    Add(u64),
    /// Asks for the sum so far.
    Get(Channel<u64>),
}

fn main() {
    let hello = Channel::new(1);
    Process::spawn(move || count(hello)).unwrap();
    let counter: Channel<Request> = hello.receive();

    let workers: Vec<Process> = (1..=100)
        .map(|i| Process::spawn(move || counter.send(Request::Add(i))).unwrap())
        .collect();
    for worker in workers {
        worker.join();
    }

    let sum = Channel::new(1);
    counter.send(Request::Get(sum));
    println!("1 + 2 + … + 100 = {}", sum.receive());
}

/// The process that counts. It lives until the program ends.
fn count(hello: Channel<Channel<Request>>) {
    let requests = Channel::new(0);
    hello.send(requests);
    let mut sum = 0;
    loop {
        match requests.receive() {
            Request::Add(number) => sum += number,
            Request::Get(reply) => reply.send(sum),
        }
    }
}
