//! The order of what happens when a process ends, seen by one that is told of it: an intake is called in the middle of that.

use std::any::Any;
use std::sync::{Arc, mpsc};
use std::thread::ThreadId;

use lunatic_kernel::address::Id;
use lunatic_kernel::events::{Event, Observer};
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::registry::{NameRefusal, Scope};
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::relations::{Held, Intake};
use lunatic_kernel::simulation::Simulation;
use lunatic_kernel::{Kernel, Process, Seed};
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, Threaded, seed};

/// What was found when an end was told.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    is_exit: bool,
    name: Option<Id>,
    members: usize,
    reason: ExitReason,
    is_alive: bool,
    has_joined: bool,
}

/// Looks around when it is told of the end of `watched`.
struct Looks {
    kernel: Arc<Kernel<Closures>>,
    scope: Arc<Scope>,
    watched: Arc<Process<Closures>>,
    found: Arc<Mutex<Vec<Found>>>,
}

impl Intake for Looks {
    fn tell(&mut self, what: &Kind) -> bool {
        let joiner = self.kernel.find(self.watched.parent.unwrap()).unwrap();
        let has_joined = self.watched.join(&joiner).is_some();
        self.watched.unjoin(&joiner);
        self.found.lock().push(Found {
            is_exit: matches!(what, Kind::Exit(_)),
            name: self.scope.lookup(b"name"),
            members: self.scope.members(b"group").count(),
            reason: self.kernel.exit_reason(self.watched.id),
            is_alive: self.kernel.is_alive(self.watched.id),
            has_joined,
        });
        true
    }

    fn hears_exit(&mut self, _: Id, _: &ExitReason) -> bool {
        true
    }

    fn accept(&mut self, _: Box<dyn Any + Send>) -> bool {
        false
    }

    fn held(&self) -> Held {
        Held::default()
    }
}

async fn watches(me: Me, watched: Id) -> Outcome {
    me.trap_exits();
    me.link(watched)?;
    me.monitor(watched);
    loop {
        me.wait_outside().await;
    }
}

#[test]
fn an_end_is_told_when_its_reason_is_known_and_its_names_are_free_and_before_anybody_has_joined() {
    let mut simulation = Simulation::new(SETTINGS, 2, Closures);
    let found = Arc::new(Mutex::new(Vec::new()));
    let to = found.clone();
    let main = |me: Me| async move {
        let scope = Arc::new(Scope::default());
        let child = me.spawn(|me| async move {
            me.receive(&[1]).await;
            Err(ExitReason::Exit(3))
        });
        let watched = me.kernel.find(child).unwrap();
        let named = scope.register::<_, NameRefusal>(b"name", &me.process, || Ok(watched.clone()));
        assert!(named.is_ok() && scope.join(b"group", &watched, &me.process).is_ok());
        let looks = Looks {
            kernel: me.kernel.clone(),
            scope,
            watched,
            found: to,
        };
        let watcher = Seed {
            intake: Some(Box::new(looks)),
            ..seed(move |me| watches(me, child))
        };
        let watcher = me.kernel.spawn(&me.process, watcher).unwrap();
        for _ in 0..20 {
            me.give_way().await;
        }
        let shown = me.kernel.snapshot(child).unwrap();
        assert_eq!((shown.links, shown.monitored_by), (vec![watcher], vec![watcher]));
        me.send(child, 1, &[]).unwrap();
        while me.kernel.is_alive(child) {
            me.give_way().await;
        }
        Ok(())
    };
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    // The watcher waits for something outside for ever: the simulation goes on until nothing is ready.
    simulation.run(10_000);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    let expected = |is_exit| Found {
        is_exit,
        name: None,
        members: 0,
        reason: ExitReason::Exit(3),
        is_alive: true,
        has_joined: false,
    };
    assert_eq!(*found.lock(), [expected(true), expected(false)]);
}

/// Counts who monitors a process whenever another has ended.
struct Counts {
    kernel: Arc<Kernel<Closures>>,
    monitored: Id,
    ends: Id,
    counted: Mutex<Vec<usize>>,
}

impl Observer for Counts {
    fn notice(&self, event: &Event) {
        if matches!(event, Event::Ended { id, .. } if *id == self.ends) {
            let monitored = self.kernel.snapshot(self.monitored).unwrap();
            self.counted.lock().push(monitored.monitored_by_len);
        }
    }
}

/// Many monitors take long to be given up, so nobody waits for that; but few are gone when the end is seen.
#[test]
fn an_end_is_told_before_many_monitors_of_the_one_that_ended_are_given_up() {
    for (monitors, left) in [(100, 0), (20_000, 20_000)] {
        let mut simulation = Simulation::new(SETTINGS, 2, Closures);
        let main = move |me: Me| async move {
            let monitored = me.spawn(|me| async move {
                me.receive(&[1]).await;
                Ok(())
            });
            let ends = me.spawn(move |me| async move {
                (0..monitors).for_each(|_| _ = me.monitor(monitored));
                me.receive(&[1]).await;
                Ok(())
            });
            let counts = Arc::new(Counts {
                kernel: me.kernel.clone(),
                monitored,
                ends,
                counted: Mutex::default(),
            });
            me.kernel.observe(counts.clone());
            me.send(ends, 1, &[]).unwrap();
            let ends = me.kernel.find(ends).unwrap();
            assert_eq!(me.join(&ends).await, ExitReason::Normal);
            assert_eq!(*counts.counted.lock(), [left]);
            while !me.kernel.snapshot(monitored).unwrap().monitored_by.is_empty() {
                me.give_way().await;
            }
            Ok(())
        };
        let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
        simulation.run(10_000);
        assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    }
}

/// Where it was dropped.
struct Dropped(mpsc::Sender<ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(std::thread::current().id());
    }
}

#[test]
fn what_has_many_parts_is_dropped_on_another_thread() {
    let host = Threaded::new();
    let drop_aside = |parts| {
        let (sender, dropped) = mpsc::channel();
        host.kernel.drop_aside(parts, None, Dropped(sender));
        dropped.recv().unwrap()
    };
    let here = std::thread::current().id();
    assert_eq!(drop_aside(10), here);
    assert_ne!(drop_aside(65_536), here);
}
