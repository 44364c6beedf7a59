//! Two processes that send messages to each other.
//!
//! Run it with `cargo lunatic run --example ping_pong`.

use lunatic::{Channel, Process, this_process};
use serde::{Deserialize, Serialize};

/// A message can be of any type that serde supports; it can contain a channel.
#[derive(Serialize, Deserialize)]
enum Ball {
    /// To be played back through `reply`, one higher.
    Ping { height: u32, reply: Channel<u32> },
    /// The match is over.
    Stop,
}

fn main() {
    // A channel lives as long as the process that made it, so each player makes the channel that it receives from.
    let hello = Channel::new(1);
    let partner = Process::spawn(move || partner(hello)).unwrap();
    let serve = hello.receive();

    let reply = Channel::new(1);
    let mut height = 0;
    while height < 10 {
        serve.send(Ball::Ping { height, reply });
        height = reply.receive();
        println!("{partner} played it back at {height}");
    }
    serve.send(Ball::Stop);
    println!("and then it {}", partner.join());
}

/// The other player: sends the channel for the balls, and plays each ball back.
fn partner(hello: Channel<Channel<Ball>>) {
    let balls = Channel::new(1);
    hello.send(balls);
    while let Ball::Ping { height, reply } = balls.receive() {
        println!("{} got it at {height}", this_process());
        reply.send(height + 1);
    }
}
