//! An actor with a call that it answers later: a customer waits for as long as there are not enough pieces.
//!
//! Run it with `cargo lunatic run --example stock`.

use std::collections::VecDeque;

use lunatic::actor::{Actor, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::{ExitReason, Task};
use serde::{Deserialize, Serialize};

// ANCHOR: messages
#[derive(Serialize, Deserialize)]
enum Call {
    /// Takes some pieces; answered, with the number of pieces left, when there are enough.
    Take(u32, ReplyTo<u32>),
    Count(ReplyTo<u32>),
}

#[derive(Serialize, Deserialize)]
enum Cast {
    Deliver(u32),
}
// ANCHOR_END: messages

// ANCHOR: actor
struct Stock {
    pieces: u32,
    waiting: VecDeque<(u32, ReplyTo<u32>)>,
}

impl Actor for Stock {
    type Args = u32;
    type Call = Call;
    type Cast = Cast;

    fn init(pieces: u32) -> Result<Self, ExitReason> {
        let waiting = VecDeque::new();
        Ok(Stock { pieces, waiting })
    }

    fn handle_call(&mut self, call: Call) -> Next {
        match call {
            Call::Take(pieces, reply) => {
                self.waiting.push_back((pieces, reply));
                self.serve();
            }
            Call::Count(reply) => reply.send(self.pieces),
        }
        Next::Continue
    }

    fn handle_cast(&mut self, Cast::Deliver(pieces): Cast) -> Next {
        self.pieces += pieces;
        self.serve();
        Next::Continue
    }
}

impl Stock {
    /// Answers those who wait, in their order, for as long as there are enough pieces.
    fn serve(&mut self) {
        while let Some((pieces, reply)) = self.waiting.pop_front_if(|(pieces, _)| *pieces <= self.pieces) {
            self.pieces -= pieces;
            reply.send(self.pieces);
        }
    }
}
// ANCHOR_END: actor

// ANCHOR: main
fn main() {
    let stock = Stock::start(5).unwrap();
    println!("took 3, {} are left", stock.call(|reply| Call::Take(3, reply)).unwrap());

    let customer = Task::spawn(move || stock.call(|reply| Call::Take(4, reply)).unwrap()).unwrap();
    stock.cast(Cast::Deliver(10));
    println!("took 4, {} are left", customer.join().unwrap());

    println!("counted {}", stock.call(Call::Count).unwrap());
    println!("the stock {}", stock.stop());
}
// ANCHOR_END: main
