//! An actor that counts, and is sure that nothing is lost, doubled or out of order.

use std::time::Duration;

use lunatic::ExitReason;
use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::code::{self};
use lunatic::mailbox::ReplyTo;
use serde::{Deserialize, Serialize};

use crate::{OWN, is_done, ready, say_ready, size};

/// Counts, and is sure that nothing is lost, doubled or out of order.
#[derive(Serialize, Deserialize)]
pub(crate) struct Exact {
    next: u32,
}

impl Actor for Exact {
    type Args = ();
    type Call = ReplyTo<(u32, u32)>;
    type Cast = u32;

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self { next: 0 })
    }

    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        reply.send((OWN, self.next));
        Next::Continue
    }

    fn handle_cast(&mut self, number: u32) -> Next {
        assert_eq!(number, self.next);
        self.next += 1;
        Next::Continue
    }
}

/// Many actors that are sent to all the while.
pub(crate) fn many() {
    let actors: Vec<ActorRef<Exact>> = (0..size()).map(|_| Exact::start(()).unwrap()).collect();
    say_ready();
    let mut sent = 0;
    while !is_done(Duration::ZERO) {
        actors.iter().for_each(|actor| actor.cast(sent));
        sent += 1;
        if sent.is_multiple_of(16) {
            // They are to keep up.
            actors.iter().for_each(|actor| _ = actor.call(|reply| reply).unwrap());
        }
    }
    for actor in actors {
        assert_eq!(actor.call(|reply| reply).unwrap(), (2, sent));
    }
}

/// To and fro again and again.
pub(crate) fn forth() {
    let actor = Exact::start(()).unwrap();
    say_ready();
    let mut sent = 0;
    while !is_done(Duration::from_millis(1)) {
        actor.cast(sent);
        sent += 1;
    }
    assert_eq!(actor.call(|reply| reply).unwrap().1, sent);
}

/// Many that are frozen.
pub(crate) fn frozen() {
    let actors: Vec<ActorRef<Exact>> = (0..100).map(|_| Exact::start(()).unwrap()).collect();
    actors.iter().for_each(|actor| actor.cast(0));
    ready();
    for actor in actors {
        assert_eq!(actor.call(|reply| reply).unwrap(), (2, 1));
    }
}
