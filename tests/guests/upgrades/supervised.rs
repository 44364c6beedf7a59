//! Supervisors, and children.

use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::code::{self, Version};
use lunatic::mailbox::{Address, Mailbox, ReplyTo};
use lunatic::registry::Group;
use lunatic::supervisor::{
    Child, DynamicOptions, DynamicSupervisor, PoolOptions, Restart, Shutdown, Spec, Supervise, Supervisor, WorkerPool,
};
use lunatic::{Channel, ExitReason, Process, sleep, this_process};
use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::{OWN, ready};

struct Tree;

impl Supervise for Tree {
    type Args = u8;

    fn init(args: u8) -> Spec {
        assert_eq!(args, 7);
        let spec = Spec::one_for_one()
            .quiet()
            .addable::<Exact>()
            .child(Child::actor::<Exact>("stays", ()).name("stays"))
            .child(Child::process("once", once).restart(Restart::Temporary));
        if cfg!(feature = "new") {
            spec.child(Child::actor::<Exact>("comes", ()).name("comes"))
                .child(Child::actor::<Exact>("added", ()))
        } else {
            spec.child(Child::actor::<Exact>("goes", ()).name("goes"))
        }
    }
}

/// Who counts the starts of [`once`].
fn counting() -> Group {
    Group::named("counting")
}

/// A temporary child, which tells that it was started.
fn once() {
    for counts in counting().members() {
        Address::<u32>::of(counts).send(OWN);
    }
}

/// A supervisor goes on with its children, starts new ones and ends those that are no more; what it restarts is new.
pub(crate) fn tree() {
    counting().join(this_process()).unwrap();
    let tree = Supervisor::<Tree>::start(7).unwrap();
    let starts = Mailbox::<u32>::new();
    assert_eq!(starts.receive(), 1);
    while tree.children().unwrap().len() != 2 {
        sleep(Duration::from_millis(1));
    }
    let child = |name| ActorRef::<Exact>::named(name);
    let stays = child("stays").unwrap();
    stays.cast(0);
    let added = tree.add_child::<Exact>("added", (), Restart::Permanent, Shutdown::default());
    let added = added.unwrap();
    ready();
    // It answers when its children are what they are to be.
    let children = tree.children().unwrap();
    let ids: Vec<&str> = children.iter().map(|child| &*child.id).collect();
    assert_eq!(ids, ["stays", "comes", "added"]);
    assert_eq!(children[2].process, Some(added.process()));
    assert_eq!(child("stays"), Some(stays));
    assert_eq!(stays.call(|reply| reply).unwrap(), (2, 1));
    assert_eq!(child("goes"), None);
    let comes = child("comes").unwrap();
    assert_eq!(comes.call(|reply| reply).unwrap(), (2, 0));
    stays.process().kill();
    stays.process().join();
    let again = loop {
        match child("stays") {
            Some(again) if again != stays => break again,
            _ => sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!(again.call(|reply| reply).unwrap(), (2, 0));
    assert_eq!(tree.children().unwrap().len(), 3);
    // The temporary child had ended.
    assert!(starts.try_receive().is_err());
}

/// An actor that the second version starts with more than the first.
#[derive(Serialize, Deserialize)]
struct Started;

#[cfg(not(feature = "new"))]
type Start = u8;
#[cfg(feature = "new")]
type Start = (u8, u64);

impl Actor for Started {
    type Args = Start;
    type Call = ();
    type Cast = ();

    code::keep_state!();

    fn init(_: Start) -> Result<Self, ExitReason> {
        Ok(Self)
    }
}

struct Adds;

impl Supervise for Adds {
    type Args = ();

    fn init((): ()) -> Spec {
        Spec::one_for_one().addable::<Started>()
    }
}

/// Those who start actors again, if they must, with what these were started with.
pub(crate) fn starters() {
    let sessions = DynamicSupervisor::<Started>::start(DynamicOptions::default()).unwrap();
    let sessions = [(); 2].map(|()| sessions.start_child(Start::default()).unwrap());
    let _pool = WorkerPool::<Started>::start(PoolOptions::new::<Started>(1, Start::default())).unwrap();
    let adds = Supervisor::<Adds>::start(()).unwrap();
    let added = adds.add_child::<Started>("added", Start::default(), Restart::Permanent, Shutdown::default());
    assert_eq!((sessions.len(), added.is_ok()), (2, true));
    ready();
}

/// Children of actors that have changed run what their parents run.
#[derive(Serialize, Deserialize)]
struct Parent;

impl Actor for Parent {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        Process::spawn(move || reply.send(OWN)).unwrap();
        Next::Continue
    }
}

pub(crate) fn children() {
    let parent = Parent::start(()).unwrap();
    assert_eq!(parent.call(|reply| reply).unwrap(), 1);
    ready();
    assert_eq!(parent.call(|reply| reply).unwrap(), 2);
    let versions = Channel::new(0);
    Process::spawn(move || versions.send((OWN, Version::own().number(), Version::current().number()))).unwrap();
    assert_eq!(versions.receive(), (1, 1, 2));
}

/// Dynamic supervisors and pools know still what they knew.
pub(crate) fn managers() {
    let options = DynamicOptions {
        quiet: true,
        ..DynamicOptions::default()
    };
    let sessions = DynamicSupervisor::<Exact>::start(options).unwrap();
    let first = sessions.start_child(()).unwrap();
    let second = sessions.start_child(()).unwrap();
    first.cast(0);
    let pool = WorkerPool::<Exact>::start(PoolOptions::new::<Exact>(2, ())).unwrap();
    let taken = pool.take().unwrap();
    taken.cast(0);
    ready();
    assert_eq!(sessions.child_count().unwrap(), 2);
    assert_eq!(first.call(|reply| reply).unwrap(), (2, 1));
    sessions.terminate_child(second).unwrap();
    assert_eq!(sessions.child_actors().unwrap(), [first]);
    first.process().kill();
    first.process().join();
    let again = loop {
        match *sessions.child_actors().unwrap() {
            [again] if again != first => break again,
            _ => sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!(again.call(|reply| reply).unwrap(), (2, 0));
    let status = pool.status().unwrap();
    assert_eq!((status.free, status.lent), (1, 1));
    assert_eq!(taken.call(|reply| reply).unwrap(), (2, 1));
    drop(taken);
    while pool.status().unwrap().free != 2 {
        sleep(Duration::from_millis(1));
    }
}
