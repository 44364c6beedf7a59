//! What an actor opens while it reads its state.

use std::fs::File;
use std::io::Read as _;

use lunatic::ExitReason;
use lunatic::actor::{Actor, Next};
use lunatic::code::{Saved, StateError, Version};
use lunatic::mailbox::ReplyTo;
use lunatic::metrics;
use serde::{Deserialize, Serialize};

use crate::{OWN, ready};

#[derive(Serialize, Deserialize)]
struct Opener {
    #[serde(skip)]
    file: Option<File>,
}

impl Opener {
    fn open() -> Self {
        let file = File::open("/text").unwrap();
        Self { file: Some(file) }
    }
}

impl Actor for Opener {
    type Args = ();
    /// The version, and the rest of the file.
    type Call = ReplyTo<(u32, String)>;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        metrics::gauge("kept").set(5);
        Ok(Self::open())
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(self))
    }

    fn code_change(_: Saved, _: Version) -> Result<Self, StateError> {
        // Its number is that of the other in the former instance.
        let _ = metrics::gauge("gained");
        Ok(Self::open())
    }

    fn changed(&mut self) {
        metrics::gauge("gained").set(3);
        metrics::gauge("kept").add(1);
    }

    fn handle_call(&mut self, reply: ReplyTo<(u32, String)>) -> Next {
        let mut text = String::new();
        let file = self.file.as_mut().unwrap();
        file.read_to_string(&mut text).unwrap();
        reply.send((OWN, text));
        Next::Continue
    }
}

pub(crate) fn gains() {
    let actor = Opener::start(()).unwrap();
    assert_eq!(actor.call(|reply| reply).unwrap(), (1, "some text".into()));
    ready();
    assert_eq!(actor.call(|reply| reply).unwrap(), (2, "some text".into()));
}
