//! A thousand processes, each of which computes one square and sends it through a channel.
//!
//! Run it with `cargo lunatic run --example squares`.

use lunatic::{Channel, Process};

fn main() {
    let squares = Channel::new(0);
    for i in 0..1_000_u64 {
        Process::spawn(move || squares.send((i, i * i))).unwrap();
    }
    for _ in 0..1_000 {
        let (i, square) = squares.receive();
        println!("{i} * {i} = {square}");
    }
}
