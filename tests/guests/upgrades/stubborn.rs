//! Actors that do not change, and processes that end while it is tried.

use std::time::Duration;

use lunatic::actor::{Actor, Next};
use lunatic::code::{Saved, StateError, Version};
use lunatic::mailbox::ReplyTo;
use lunatic::metrics;
use lunatic::net::TcpListener;
use lunatic::registry::{self};
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, process, this_process};
use serde::{Deserialize, Serialize};

use crate::{LONG, OWN, is_done, ready, say_ready};

/// What an actor of the second version does with a state, or with its time.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Way {
    Trap,
    Panic,
    Refuse,
    Loop,
    Lie,
    Exit,
    Send,
    Spawn,
    Return,
    Listen,
    Count,
    Open,
}

#[derive(Serialize, Deserialize)]
struct Stubborn {
    way: Way,
    other: Process,
    count: u32,
}

impl Actor for Stubborn {
    type Args = (Way, Process);
    type Call = ReplyTo<(u32, u32)>;
    type Cast = u32;

    fn init((way, other): Self::Args) -> Result<Self, ExitReason> {
        Ok(Self { way, other, count: 1 })
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(self))
    }

    fn code_change(old: Saved, from: Version) -> Result<Self, StateError> {
        assert_eq!(from.number(), 1);
        let state: Self = old.read()?;
        match state.way {
            Way::Trap => std::process::abort(),
            Way::Panic => panic!("no such state"),
            Way::Refuse => return Err("it is Saturday".into()),
            Way::Loop => loop {
                std::hint::black_box(());
            },
            Way::Lie => _ = old.read::<String>()?,
            Way::Exit => process::exit(ExitReason::Error("it gives up".into())),
            Way::Send => Address::<u32>::of(state.other).send(1),
            Way::Spawn => _ = Process::spawn(|| ()),
            Way::Return => std::process::exit(0),
            Way::Listen => match TcpListener::bind("127.0.0.1:0") {
                Ok(_) => {}
                Err(error) => return Err(error.to_string().into()),
            },
            Way::Count => metrics::counter("on_trial").add(1),
            Way::Open => {
                for _ in 0..100 {
                    let _ = Channel::<u32>::new(0);
                }
                return Err("it has opened channels".into());
            }
        }
        Ok(state)
    }

    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        reply.send((OWN, self.count));
        Next::Continue
    }

    fn handle_cast(&mut self, number: u32) -> Next {
        assert_eq!(number, self.count);
        self.count += 1;
        Next::Continue
    }
}

/// The second version does not take the state: the first goes on, with all that was sent meanwhile.
fn stubborn(way: Way) {
    let actor = Stubborn::start((way, this_process())).unwrap();
    say_ready();
    let mut sent = 1;
    while !is_done(Duration::from_millis(1)) {
        actor.cast(sent);
        sent += 1;
    }
    assert_eq!(actor.call(|reply| reply).unwrap(), (1, sent));
    assert_eq!(Mailbox::<u32>::new().receive_timeout(Duration::ZERO).ok(), None);
}

pub(crate) fn traps() {
    stubborn(Way::Trap);
}
pub(crate) fn panics() {
    stubborn(Way::Panic);
}
pub(crate) fn refuses() {
    stubborn(Way::Refuse);
}
pub(crate) fn loops() {
    stubborn(Way::Loop);
}
pub(crate) fn lies() {
    stubborn(Way::Lie);
}
pub(crate) fn exits() {
    stubborn(Way::Exit);
}
pub(crate) fn sends() {
    stubborn(Way::Send);
}
pub(crate) fn spawns() {
    stubborn(Way::Spawn);
}
pub(crate) fn returns() {
    stubborn(Way::Return);
}
pub(crate) fn listens() {
    stubborn(Way::Listen);
}
pub(crate) fn counts() {
    stubborn(Way::Count);
}
pub(crate) fn opens() {
    stubborn(Way::Open);
}

/// An actor that does not say how its state is saved.
struct Unsaved;

impl Actor for Unsaved {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        reply.send(OWN);
        Next::Continue
    }
}

pub(crate) fn unsaved() {
    let actor = Unsaved::start(()).unwrap();
    ready();
    assert_eq!(actor.call(|reply| reply).unwrap(), 1);
}

/// A request, which the second version has changed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Request {
    #[cfg(feature = "new")]
    Reset,
    Get(u8),
    Put {
        key: String,
    },
}

/// An actor whose requests were changed.
#[derive(Serialize, Deserialize)]
struct Changed;

impl Actor for Changed {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = Request;

    lunatic::code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        reply.send(OWN);
        Next::Continue
    }

    fn handle_cast(&mut self, request: Request) -> Next {
        assert_eq!(request, Request::Get(0));
        Next::Continue
    }
}

/// The second version would take each `Get` for a `Reset`, so the actor stays in the first.
pub(crate) fn misreads() {
    let actor = Changed::start(()).unwrap();
    say_ready();
    while !is_done(Duration::from_millis(1)) {
        actor.cast(Request::Get(0));
    }
    assert_eq!(actor.call(|reply| reply).unwrap(), 1);
}

/// A process on trial is killed.
pub(crate) fn killed() {
    let actor = Stubborn::start((Way::Loop, this_process())).unwrap();
    registry::register("victim", actor.process()).unwrap();
    say_ready();
    assert_eq!(actor.process().join_timeout(LONG), Ok(ExitReason::Killed));
}

/// A process on trial gets the exit signal of a link, when the test says so.
pub(crate) fn linked() {
    let actor = Stubborn::start((Way::Loop, this_process())).unwrap();
    let process = actor.process();
    let go = Channel::<()>::new(0);
    Process::spawn(move || {
        process.link();
        go.receive();
        panic!("the other end of a link");
    })
    .unwrap();
    ready();
    go.send(());
    assert!(matches!(process.join_timeout(LONG), Ok(ExitReason::Panic(_))));
}
