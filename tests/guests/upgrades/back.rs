//! The way back.

use std::time::Duration;

use lunatic::ExitReason;
use lunatic::actor::{Actor, Next};
use lunatic::code::{self};
use lunatic::mailbox::ReplyTo;
use serde::{Deserialize, Serialize};

use crate::{OWN, is_done, say_ready};

/// An actor whose state of the second version the first cannot read.
#[derive(Serialize, Deserialize)]
struct OneWay {
    #[cfg(not(feature = "new"))]
    count: u32,
    #[cfg(feature = "new")]
    #[serde(alias = "count")]
    total: u32,
}

impl Actor for OneWay {
    type Args = ();
    type Call = ReplyTo<(u32, u32)>;
    type Cast = ();

    code::keep_state!();

    #[cfg(not(feature = "new"))]
    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self { count: 0 })
    }

    #[cfg(feature = "new")]
    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self { total: 0 })
    }

    #[cfg(not(feature = "new"))]
    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        self.count += 1;
        reply.send((OWN, self.count));
        Next::Continue
    }

    #[cfg(feature = "new")]
    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        self.total += 1;
        reply.send((OWN, self.total));
        Next::Continue
    }
}

/// Asks until the test is done with the way there and back: prints the answers at which the version has changed.
pub(crate) fn back() {
    let actor = OneWay::start(()).unwrap();
    let mut answers = vec![actor.call(|reply| reply).unwrap()];
    say_ready();
    while !is_done(Duration::from_millis(1)) {
        answers.push(actor.call(|reply| reply).unwrap());
    }
    answers.push(actor.call(|reply| reply).unwrap());
    let at = |from: (u32, u32), to: (u32, u32)| from.0 != to.0 || to.1 != from.1 + 1;
    for pair in answers.windows(2).filter(|pair| at(pair[0], pair[1])) {
        println!("{} {} {} {}", pair[0].0, pair[0].1, pair[1].0, pair[1].1);
    }
}
