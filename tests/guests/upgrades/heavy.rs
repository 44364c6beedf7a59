//! Actors for figures.

use lunatic::ExitReason;
use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::code::{self};
use lunatic::mailbox::ReplyTo;
use serde::{Deserialize, Serialize};

use crate::{OWN, ready, size};

/// An actor of one kibibyte.
#[derive(Serialize, Deserialize)]
struct Heavy {
    state: Vec<u64>,
}

impl Actor for Heavy {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self {
            state: (1 << 60..(1 << 60) + 128).collect(),
        })
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        assert_eq!(self.state.len(), 128);
        reply.send(OWN);
        Next::Continue
    }
}

/// Actors of a kibibyte each, for figures.
pub(crate) fn pauses() {
    let actors: Vec<ActorRef<Heavy>> = (0..size()).map(|_| Heavy::start(()).unwrap()).collect();
    ready();
    actors
        .iter()
        .for_each(|actor| assert_eq!(actor.call(|reply| reply).unwrap(), 2));
}
