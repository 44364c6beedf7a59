//! Actors, from the inside: run with `cargo lunatic test`.

use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Info, Next, StartError};
use lunatic::mailbox::{CallError, Mail, ReplyTo};
use lunatic::process::trap_exit;
use lunatic::{Address, ExitReason, Mailbox, Process, registry, this_process, timer};
use serde::{Deserialize, Serialize};

struct Counter {
    value: i64,
    /// Hears how the counter ends.
    witness: Address<ExitReason>,
    deferred: Vec<ReplyTo<i64>>,
}

#[derive(Serialize, Deserialize)]
enum Call {
    Get(ReplyTo<i64>),
    /// Is answered when something is added next.
    NextValue(ReplyTo<i64>),
    Crash(ReplyTo<()>),
    Watch(Process, ReplyTo<()>),
}

#[derive(Serialize, Deserialize)]
enum Cast {
    Add(i64),
    End(ExitReason),
}

impl Actor for Counter {
    type Args = (i64, Address<ExitReason>);
    type Call = Call;
    type Cast = Cast;

    fn init((value, witness): Self::Args) -> Result<Self, ExitReason> {
        assert!(value < 1000, "too large");
        if value < 0 {
            return Err(ExitReason::Error("negative".to_owned()));
        }
        Ok(Self {
            value,
            witness,
            deferred: Vec::new(),
        })
    }

    fn handle_call(&mut self, call: Call) -> Next {
        match call {
            Call::Get(reply) => reply.send(self.value),
            Call::NextValue(reply) => self.deferred.push(reply),
            Call::Crash(_) => panic!("as asked"),
            Call::Watch(process, reply) => {
                let _ = process.monitor();
                reply.send(());
            }
        }
        Next::Continue
    }

    fn handle_cast(&mut self, cast: Cast) -> Next {
        match cast {
            Cast::Add(number) => {
                self.value += number;
                self.deferred.drain(..).for_each(|reply| reply.send(self.value));
                Next::Continue
            }
            Cast::End(reason) => Next::Stop(reason),
        }
    }

    fn handle_info(&mut self, info: Info) -> Next {
        match info {
            Info::Down { reason, .. } => self.witness.send(reason),
            other => panic!("{other:?}"),
        }
        Next::Continue
    }

    fn terminate(&mut self, reason: &ExitReason) {
        self.witness.send(reason.clone());
    }
}

fn start(value: i64) -> Result<ActorRef<Counter>, StartError> {
    Counter::start((value, Mailbox::new().address()))
}

#[track_caller]
fn witnessed(reason: &ExitReason) {
    assert_eq!(Mailbox::<ExitReason>::new().try_receive().ok().as_ref(), Some(reason));
}

#[lunatic::test]
fn calls_and_casts_are_handled_in_their_order() {
    let counter = start(0).unwrap();
    for number in 1..=100 {
        counter.cast(Cast::Add(1));
        assert_eq!(counter.call(Call::Get).unwrap(), number);
    }
}

#[lunatic::test]
fn a_start_that_fails_says_why_and_harms_nobody() {
    let failed = ExitReason::Error("negative".to_owned());
    assert_eq!(start(-1), Err(StartError::Init(failed.clone())));
    let linked = Counter::start_link((-1, Mailbox::new().address()));
    assert_eq!(linked, Err(StartError::Init(failed)));
    let panicked = start(1000);
    assert!(matches!(panicked, Err(StartError::Init(ExitReason::Panic(text))) if text.contains("too large")));
}

#[lunatic::test]
fn an_answer_can_be_deferred() {
    let counter = start(1).unwrap();
    let asking = lunatic::Task::spawn(move || counter.call(Call::NextValue).unwrap()).unwrap();
    // Adds until somebody has been answered.
    let mut asking = Some(asking);
    while let Some(task) = asking.take() {
        counter.cast(Cast::Add(1));
        asking = task.join_timeout(Duration::from_millis(1)).err();
    }
    counter.stop();
}

#[lunatic::test]
fn a_crash_in_a_handler_is_an_exit_with_that_reason() {
    let counter = start(1).unwrap();
    let crashed = counter.call(Call::Crash);
    assert!(matches!(crashed, Err(CallError::Gone(ExitReason::Panic(text))) if text == "as asked"));
    assert!(matches!(counter.call(Call::Get), Err(CallError::Gone(_))));
    assert!(
        Mailbox::<ExitReason>::new().try_receive().is_err(),
        "terminate is not called after a panic"
    );
}

#[lunatic::test]
fn an_actor_terminates_for_each_orderly_end() {
    assert_eq!(start(1).unwrap().stop(), ExitReason::Normal);
    witnessed(&ExitReason::Normal);
    assert_eq!(start(1).unwrap().stop_with(&ExitReason::Shutdown), ExitReason::Shutdown);
    witnessed(&ExitReason::Shutdown);
    let counter = start(1).unwrap();
    counter.cast(Cast::End(ExitReason::Error("my own wish".to_owned())));
    assert_eq!(counter.process().join(), ExitReason::Error("my own wish".to_owned()));
    witnessed(&ExitReason::Error("my own wish".to_owned()));
    assert_eq!(
        counter.stop(),
        ExitReason::Error("my own wish".to_owned()),
        "stopping twice is harmless"
    );
}

#[lunatic::test]
fn an_actor_hears_of_ends() {
    let counter = start(1).unwrap();
    let other = Process::spawn(|| Mailbox::<()>::new().receive()).unwrap();
    counter.call(|reply| Call::Watch(other, reply)).unwrap();
    other.kill();
    assert_eq!(Mailbox::<ExitReason>::new().receive(), ExitReason::Killed);
}

struct Trapper(Address<ExitReason>);

impl Actor for Trapper {
    type Args = Address<ExitReason>;
    type Call = ();
    type Cast = ();

    fn init(witness: Self::Args) -> Result<Self, ExitReason> {
        trap_exit(true);
        Ok(Self(witness))
    }

    fn terminate(&mut self, reason: &ExitReason) {
        self.0.send(reason.clone());
    }
}

#[lunatic::test]
fn an_actor_that_traps_exits_terminates_with_its_parent() {
    let witness = Mailbox::<ExitReason>::new().address();
    let parent = Process::spawn(move || {
        Trapper::start_link(witness).unwrap();
        lunatic::process::exit(ExitReason::Error("the parent".to_owned()));
    });
    parent.unwrap().join();
    assert_eq!(
        Mailbox::<ExitReason>::new().receive(),
        ExitReason::Error("the parent".to_owned())
    );
}

#[lunatic::test]
fn what_an_actor_does_not_take_ends_it() {
    trap_exit(true);
    let trapper = Trapper::start_link(Mailbox::new().address()).unwrap();
    trapper.cast(());
    match Mailbox::<()>::new().receive_mail() {
        Mail::Exit { from, reason } => {
            assert_eq!(from, trapper.process());
            assert!(matches!(reason, ExitReason::Error(text) if text.contains("takes no casts")));
        }
        other => panic!("{other:?}"),
    }
}

#[lunatic::test]
fn an_actor_can_have_a_name_and_timers() {
    let builder = Process::builder().name("the counter");
    let counter = Counter::start_with(&builder, (5, Mailbox::new().address())).unwrap();
    assert_eq!(ActorRef::named("the counter"), Some(counter));
    let taken = Counter::start_with(&builder, (6, Mailbox::new().address()));
    assert!(
        matches!(taken, Err(StartError::Spawn(lunatic::SpawnError::NameTaken(holder))) if holder == counter.process())
    );
    let waiting = lunatic::Task::spawn(move || counter.call(Call::NextValue).unwrap()).unwrap();
    let ticks = timer::send_interval(counter.casts(), Cast::Add(1), Duration::from_millis(1));
    assert!(waiting.join().unwrap() > 5);
    assert!(ticks.cancel());
    counter.stop();
    assert_eq!(registry::lookup("the counter"), None);
    assert_ne!(counter.process(), this_process());
}
