//! Actors that take long to read their state.

use std::time::{Duration, Instant};

use lunatic::actor::{Actor, Next};
use lunatic::code::{Phase, Upgrade};
use lunatic::code::{Saved, StateError, Version};
use lunatic::mailbox::ReplyTo;
use lunatic::rights::Right;
use lunatic::{Channel, ExitReason, Process, ProcessConfig, registry, sleep};
use serde::{Deserialize, Serialize};

use crate::plain::{Patient, wait_behind_the_point};
use crate::within::new;
use crate::{LONG, OWN, ready};

/// How long it computes.
const TIME: Duration = Duration::from_millis(300);

#[derive(Serialize, Deserialize)]
struct Slow;

impl Actor for Slow {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(self))
    }

    fn code_change(old: Saved, _: Version) -> Result<Self, StateError> {
        let start = Instant::now();
        while start.elapsed() < TIME {}
        old.read()
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        reply.send(OWN);
        Next::Continue
    }
}

/// One such actor, which runs the second version in the end.
pub(crate) fn slow() {
    let actor = Slow::start(()).unwrap();
    ready();
    assert_eq!(actor.call(|reply| reply).unwrap(), 2);
}

/// Waits before it accepts its state, in one of the versions.
#[derive(Serialize, Deserialize)]
struct Sleeper {
    /// The version; 0 for none.
    sleeps_in: u32,
    time: Duration,
}

impl Actor for Sleeper {
    type Args = (u32, Duration);
    type Call = ReplyTo<u32>;
    type Cast = ();

    fn init((sleeps_in, time): Self::Args) -> Result<Self, ExitReason> {
        Ok(Self { sleeps_in, time })
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(self))
    }

    fn code_change(old: Saved, _: Version) -> Result<Self, StateError> {
        let state: Self = old.read()?;
        if state.sleeps_in == OWN {
            sleep(state.time);
        }
        Ok(state)
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        reply.send(OWN);
        Next::Continue
    }
}

/// One changes immediately, and one is on trial when the upgrade is stopped: both run the first version in the end.
pub(crate) fn hesitant() {
    let sleepy = Sleeper::start((2, Duration::from_secs(15))).unwrap();
    let quick = Sleeper::start((0, Duration::ZERO)).unwrap();
    registry::register("sleepy", sleepy.process()).unwrap();
    ready();
    assert_eq!([sleepy, quick].map(|actor| actor.call(|reply| reply).unwrap()), [1, 1]);
}

/// A process that is asked first, with another one, reaches its point of change only when its time is over.
pub(crate) fn belated() {
    let module = new();
    let (told, go_on) = (Channel::new(0), Channel::new(0));
    Process::spawn_with(Patient { told, go_on }, wait_behind_the_point).unwrap();
    assert_eq!(told.receive(), 1);
    let actor = Sleeper::start((0, Duration::ZERO)).unwrap();
    let settings = Upgrade::new().canaries(2).watch(Duration::from_secs(1));
    let upgrade = settings.patience(Duration::from_secs(5)).begin(module).unwrap();
    while upgrade.report().unwrap().waiting == 0 {
        sleep(Duration::from_millis(10));
    }
    go_on.send(());
    assert_eq!(told.receive(), 2);
    let report = upgrade.wait().unwrap();
    assert_eq!(
        (&report.phase, report.changed, report.waiting),
        (&Phase::Done, 2, 0),
        "{report:?}"
    );
    assert_eq!(actor.call(|reply| reply).unwrap(), 2);
}

/// A child with fewer rights keeps its upgrade busy for a day, there or back. That of its parent does not wait for it.
pub(crate) fn delayed() {
    const DAY: Duration = Duration::from_secs(86_400);
    let module = new();
    for sleeps_in in [2, 1] {
        let told = Channel::<Process>::new(0);
        let config = ProcessConfig::new().allow(Right::Spawn).allow(Right::Upgrade);
        let child = Process::builder().config(&config).spawn(move || {
            let actor = Sleeper::start((sleeps_in, DAY)).unwrap();
            let settings = Upgrade::new().limit(DAY).patience(DAY).watch(DAY);
            let upgrade = settings.begin(module).unwrap();
            match sleeps_in {
                1 => {
                    while upgrade.report().unwrap().phase != Phase::Watching {
                        lunatic::yield_now();
                    }
                }
                // It does not answer while it is on trial.
                _ => while actor.call_timeout(|reply| reply, Duration::from_millis(500)).is_ok() {},
            }
            told.send(actor.process());
            let _ = upgrade.wait();
        });
        let child = child.unwrap();
        let actor = told.receive();
        let start = Instant::now();
        let settings = Upgrade::new().canaries(0).partial().limit(Duration::from_millis(100));
        let report = settings.begin(module).unwrap().wait().unwrap();
        assert_eq!((report.phase, report.waiting), (Phase::Done, 0), "{report:?}");
        assert!(start.elapsed() < LONG / 10, "{report:?}");
        // The next child has the same rights, so its upgrade would wait for this actor.
        for process in [child, actor] {
            process.kill();
            process.join();
        }
    }
}
