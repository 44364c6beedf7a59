//! A program that upgrades itself.

use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::code::{self, Phase, Upgrade, UpgradeError};
use lunatic::mailbox::ReplyTo;
use lunatic::rights::Right;
use lunatic::{Channel, ExitReason, Module, Process, ProcessConfig};
use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::{LONG, OWN, is_done, say_ready};

/// The second version, which the test has put there.
pub(crate) fn new() -> Module {
    Module::compile(&std::fs::read("/new.wasm").unwrap()).unwrap()
}

fn version_of(actor: ActorRef<Exact>) -> u32 {
    actor.call(|reply| reply).unwrap().0
}

/// The main process upgrades all.
pub(crate) fn whole() {
    let module = new();
    let actors: Vec<_> = (0..3).map(|_| Exact::start(()).unwrap()).collect();
    let rehearsed = Upgrade::new().rehearse().begin(module).unwrap().wait().unwrap();
    assert_eq!(
        (rehearsed.phase, rehearsed.changed),
        (Phase::Rehearsed, 0),
        "{rehearsed:?}"
    );
    assert_eq!(rehearsed.kinds.len(), 1, "{rehearsed:?}");
    assert_eq!(
        (rehearsed.kinds[0].processes, rehearsed.kinds[0].is_tried),
        (3, true),
        "{rehearsed:?}"
    );
    assert!(rehearsed.kinds[0].entry.contains("exact::Exact"), "{rehearsed:?}");
    let watched = Upgrade::new().watch(LONG).begin(module).unwrap();
    while watched.report().unwrap().phase != Phase::Watching {
        lunatic::yield_now();
    }
    assert_eq!(Upgrade::new().begin(module).unwrap_err(), UpgradeError::Busy);
    let waiting = watched.wait_timeout(Duration::from_millis(1)).unwrap();
    assert_eq!((waiting.phase, waiting.changed), (Phase::Watching, 1), "{waiting:?}");
    watched.cancel();
    let back = watched.wait().unwrap();
    assert_eq!((back.phase, back.changed), (Phase::RolledBack, 0), "{back:?}");
    assert_eq!(back.why.as_deref(), Some("it was cancelled"));
    assert!(actors.iter().all(|actor| version_of(*actor) == 1));
    let done = Upgrade::new().canaries(0).begin(module).unwrap().wait().unwrap();
    assert_eq!(
        (done.phase, done.changed, done.without_point),
        (Phase::Done, 3, 1),
        "{done:?}"
    );
    assert!(
        done.pauses[2] > Duration::ZERO && done.time > done.pauses[2],
        "{done:?}"
    );
    assert_eq!(watched.report(), None);
    assert!(actors.iter().all(|actor| version_of(*actor) == 2));
    assert!(code::check());
    let wrong = Upgrade::new().canary_percent(101.0).begin(module).unwrap_err();
    assert!(
        matches!(&wrong, UpgradeError::Settings(text) if text.contains("`canary=101%`")),
        "{wrong}"
    );
}

/// A child with fewer rights upgrades what it has spawned, and nothing else; and its parent takes precedence.
pub(crate) fn narrow() {
    let (module, outside) = (new(), Exact::start(()).unwrap());
    let told = Channel::<ActorRef<Exact>>::new(0);
    let go_on = Channel::<()>::new(0);
    let denied = Process::builder().config(&ProcessConfig::new()).spawn(move || {
        let error = Upgrade::new().begin(module).unwrap_err();
        assert!(
            matches!(&error, UpgradeError::Denied(text) if text.contains("allow=upgrade")),
            "{error}"
        );
    });
    assert_eq!(denied.unwrap().join(), ExitReason::Normal);
    let config = ProcessConfig::new().allow(Right::Spawn).allow(Right::Upgrade);
    let child = Process::builder().config(&config).spawn(move || {
        let inside = Exact::start(()).unwrap();
        told.send(inside);
        let report = Upgrade::new().canaries(0).begin(module).unwrap().wait().unwrap();
        assert_eq!((report.phase, report.changed), (Phase::Done, 1), "{report:?}");
        assert_eq!((version_of(inside), version_of(outside)), (2, 1));
        // The version of the system is what it was.
        assert!(!code::check());
        go_on.receive();
        // Another, which others have to wait for.
        let own = Exact::start(()).unwrap();
        let watched = Upgrade::new().watch(LONG).begin(module).unwrap();
        while watched.report().unwrap().phase != Phase::Watching {
            lunatic::yield_now();
        }
        assert_eq!(version_of(own), 2);
        told.send(own);
        assert_eq!(watched.wait(), None);
        go_on.receive();
    });
    let child = child.unwrap();
    let inside = told.receive();
    go_on.send(());
    let own = told.receive();
    assert_eq!((version_of(inside), version_of(own), version_of(outside)), (2, 2, 1));
    let report = Upgrade::new().canaries(0).begin(module).unwrap().wait().unwrap();
    assert_eq!((report.phase, report.changed), (Phase::Done, 2), "{report:?}");
    assert_eq!((version_of(inside), version_of(own), version_of(outside)), (2, 2, 2));
    go_on.send(());
    assert_eq!(child.join(), ExitReason::Normal);
}

/// An actor whose helpers fail in the second version.
#[derive(Serialize, Deserialize)]
struct Boss;

impl Actor for Boss {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        let helper = Process::spawn(|| assert_ne!(OWN, 2, "as helpers of this version do"));
        helper.unwrap().join();
        reply.send(OWN);
        Next::Continue
    }
}

/// One of two changes, and its helpers fail: it goes back, and all is as before.
pub(crate) fn failing() {
    let bosses = [Boss::start(()).unwrap(), Boss::start(()).unwrap()];
    let ask = || bosses.map(|boss| boss.call(|reply| reply).unwrap());
    assert_eq!(ask(), [1, 1]);
    say_ready();
    let mut has_changed = false;
    while !is_done(Duration::from_millis(1)) {
        has_changed |= ask().contains(&2);
    }
    assert!(has_changed);
    assert_eq!(ask(), [1, 1]);
}
