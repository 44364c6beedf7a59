//! What observers are told: all of it, in order, and nothing once they do not listen any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::events::{Event, Observer};
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::simulation::Simulation;
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, Threaded, seed};

#[derive(Default)]
struct Trace(Mutex<Vec<Event>>);

impl Observer for Trace {
    fn notice(&self, event: &Event) {
        self.0.lock().push(event.clone());
    }
}

impl Trace {
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Whose event it is: for what is sent, the sender's.
fn of(event: &Event) -> Id {
    match event {
        Event::Sent { from, .. } => *from,
        Event::Spawned { id, .. }
        | Event::Ended { id, .. }
        | Event::Received { id, .. }
        | Event::Waits { id, .. }
        | Event::Runs { id, .. } => *id,
        _ => unreachable!("there are no other events"),
    }
}

/// A process that answers calls with tag 4 and ends with a message of tag 5.
async fn server(me: Me, client: Id) -> Outcome {
    loop {
        let mail = me.receive(&[4, 5]).await;
        match mail.tag {
            4 => me.answer(client, &mail, b"pong"),
            _ => return Err(ExitReason::Exit(3)),
        }
    }
}

#[test]
fn the_events_of_a_script_are_complete_and_in_order() {
    let mut simulation = Simulation::new(SETTINGS, 11, Closures);
    let trace = Arc::new(Trace::default());
    simulation.kernel().observe(trace.clone());
    let ids = Arc::new(Mutex::new(Vec::new()));
    let made = ids.clone();
    let system = simulation.kernel().start_system((), |()| {
        seed(move |me| async move {
            let client = me.id();
            let child = me.spawn(move |me| server(me, client));
            made.lock().extend([client, child]);
            me.sleep(Duration::from_millis(1)).await;
            assert_eq!(me.call(child, 4, b"ping").await.body[..], *b"pong");
            me.send(child, 5, b"end").unwrap();
            me.sleep(Duration::from_millis(1)).await;
            Ok(())
        })
    });
    simulation.run(1000);
    assert_eq!(system.unwrap().exit_reason(), Some(ExitReason::Normal));
    let events = trace.take();
    let [main, child] = ids.lock()[..] else {
        panic!("two processes")
    };
    let own = |id: Id| -> Vec<Event> { events.iter().filter(|event| of(event) == id).cloned().collect() };
    let runs = |id| Event::Runs { id };
    let waits = |id, wait, what| Event::Waits { id, wait, what };
    let sent = |from, to, tag, len| Event::Sent { from, to, tag, len };
    let received = |id, tag, len| Event::Received { id, tag, len };
    let ended = |id| Event::Ended {
        id,
        reason: ExitReason::Normal,
    };
    let reference = events.iter().find_map(|event| match event {
        Event::Sent { from, tag, .. } if *from == child => Some(*tag),
        _ => None,
    });
    let (from, to, answer) = (main, child, reference.expect("the server answers"));
    assert_eq!(
        own(main),
        [
            Event::Spawned { id: main, parent: None },
            runs(main),
            waits(main, WaitFor::Sleep, Id::NONE),
            runs(main),
            sent(from, to, 4, 12),
            waits(main, WaitFor::Call, Id::NONE),
            runs(main),
            received(main, answer, 4),
            sent(from, to, 5, 3),
            waits(main, WaitFor::Sleep, Id::NONE),
            runs(main),
            ended(main),
        ]
    );
    assert_eq!(
        own(child),
        [
            Event::Spawned {
                id: child,
                parent: Some(main)
            },
            runs(child),
            waits(child, WaitFor::Mail, Id::NONE),
            runs(child),
            received(child, 4, 12),
            sent(child, main, answer, 4),
            waits(child, WaitFor::Mail, Id::NONE),
            runs(child),
            received(child, 5, 3),
            Event::Ended {
                id: child,
                reason: ExitReason::Exit(3)
            },
        ]
    );
}

#[test]
fn each_process_begins_once_and_ends_once_on_two_workers() {
    let threaded = Threaded::new();
    let trace = Arc::new(Trace::default());
    threaded.kernel.observe(trace.clone());
    let reason = threaded.run(|me| async move {
        for number in 0..2000_u32 {
            let child = me.spawn(|me| async move {
                me.receive(&[1]).await;
                Ok(())
            });
            me.monitor(child);
            match number % 2 {
                0 => me.send(child, 1, &[]).unwrap(),
                _ => me.exit(child, &ExitReason::Shutdown)?,
            }
        }
        for _ in 0..2000 {
            me.receive(&[]).await;
        }
        Ok(())
    });
    assert_eq!(reason, ExitReason::Normal);
    let mut lives: HashMap<Id, Vec<Event>> = HashMap::new();
    trace
        .take()
        .into_iter()
        .for_each(|event| lives.entry(of(&event)).or_default().push(event));
    assert_eq!(lives.len(), 2001);
    for (id, life) in lives {
        assert!(matches!(life[0], Event::Spawned { .. }), "{id}: {life:?}");
        assert!(matches!(life.last(), Some(Event::Ended { .. })), "{id}: {life:?}");
        let between = &life[1..life.len() - 1];
        assert!(
            !between
                .iter()
                .any(|event| matches!(event, Event::Spawned { .. } | Event::Ended { .. }))
        );
        let receives = |event: &&Event| matches!(event, Event::Received { tag: 1, .. });
        let is_normal = matches!(
            life.last(),
            Some(Event::Ended {
                reason: ExitReason::Normal,
                ..
            })
        );
        assert!(between.iter().filter(receives).count() == usize::from(is_normal) || life.len() > 2000);
    }
}

#[test]
fn who_does_not_listen_any_more_is_told_nothing() {
    let mut simulation = Simulation::new(SETTINGS, 12, Closures);
    let (one, other) = (Arc::new(Trace::default()), Arc::new(Trace::default()));
    let start = |simulation: &mut Simulation<Closures>| {
        let system = simulation.kernel().start_system((), |()| seed(|_| async { Ok(()) }));
        simulation.run(100);
        assert_eq!(system.unwrap().exit_reason(), Some(ExitReason::Normal));
        (one.take().len(), other.take().len())
    };
    assert_eq!(start(&mut simulation), (0, 0));
    simulation.kernel().observe(one.clone());
    simulation.kernel().observe(other.clone());
    assert_eq!(start(&mut simulation), (3, 3));
    let leaving: Arc<dyn Observer> = one.clone();
    simulation.kernel().observe_no_more(&leaving);
    assert_eq!(start(&mut simulation), (0, 3));
    let leaving: Arc<dyn Observer> = other.clone();
    simulation.kernel().observe_no_more(&leaving);
    assert_eq!(start(&mut simulation), (0, 0));
}
