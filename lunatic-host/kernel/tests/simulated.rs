//! The kernel under virtual time, in an order that a seed decides: the same seed is the same run, and what must hold does in
//! each of 10,000 runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::events::{Event, Observer};
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::simulation::Simulation;
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, seed};

const SEEDS: u64 = 10_000;
const WORKERS: u8 = 6;
const STEPS_MAX: usize = 100_000;

/// Writes all events down.
#[derive(Default)]
struct Trace(Mutex<Vec<Event>>);

impl Observer for Trace {
    fn notice(&self, event: &Event) {
        self.0.lock().push(event.clone());
    }
}

/// Numbers that a script goes by; they are its own, not the simulation's.
fn next(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state >> 16
}

/// One of the processes of the script: links, monitors, messages, timers, exits, in an order that `number` decides.
async fn worker(me: Me, parent: Id, number: u8) -> Outcome {
    let mut state = u32::from(number);
    if number.is_multiple_of(2) {
        me.trap_exits();
    }
    let peers = me.receive(&[1]).await.body;
    let peer = |state: &mut u32| {
        let place = next(state) as usize % usize::from(WORKERS);
        Id::from_raw(u64::from_le_bytes(peers[place * 8..][..8].try_into().unwrap()))
    };
    for round in 0..6_u8 {
        match next(&mut state) % 6 {
            0 => me.link(peer(&mut state))?,
            1 => _ = me.monitor(peer(&mut state)),
            // The number of the round is what order is checked by.
            2 | 3 => {
                for _ in 0..3 {
                    let _ = me.send(peer(&mut state), 9, &[number, round]);
                }
            }
            4 => me.sleep(Duration::from_millis(u64::from(next(&mut state) % 20))).await,
            _ => me.exit(peer(&mut state), &ExitReason::Exit(i32::from(number) + 1))?,
        }
        let mut last = HashMap::new();
        while let Some(mail) = me.receive_timeout(&[9], 0).await {
            let [from, round] = mail.body[..] else {
                unreachable!("all messages have two bytes")
            };
            let former = last.insert(from, round);
            assert!(
                former.is_none_or(|former| former <= round),
                "messages of one sender keep their order"
            );
        }
        me.give_way().await;
    }
    let _ = me.send(parent, 2, &[number]);
    Err(ExitReason::Error(format!("{number} is done")))
}

/// The main process: is told of the end of each worker once, with the reason that the kernel remembers.
async fn main(me: Me) -> Outcome {
    let parent = me.id();
    let ids: Vec<Id> = (0..WORKERS)
        .map(|number| me.spawn(move |me| worker(me, parent, number)))
        .collect();
    let references: HashMap<u64, Id> = ids.iter().map(|id| (me.monitor(*id), *id)).collect();
    let peers: Vec<u8> = ids.iter().flat_map(|id| id.raw().to_le_bytes()).collect();
    ids.iter().for_each(|id| me.send(*id, 1, &peers).unwrap());
    let mut ended = HashMap::new();
    while ended.len() < ids.len() {
        let mail = me.receive(&[]).await;
        if let Kind::Down(id, reference) = mail.kind {
            assert_eq!(references[&reference], id);
            let reason = ExitReason::from_bytes(&mail.body).unwrap();
            assert_eq!(me.kernel.exit_reason(id), reason);
            assert!(ended.insert(id, reason).is_none(), "{id} ended twice");
        }
    }
    Ok(())
}

/// Runs the script, and tells all that happened.
fn run(number: u64) -> Vec<Event> {
    let mut simulation = Simulation::new(SETTINGS, number, Closures);
    let trace = Arc::new(Trace::default());
    simulation.kernel().observe(trace.clone());
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    let steps = simulation.run(STEPS_MAX);
    assert!(steps < STEPS_MAX, "seed {number} does not come to an end");
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal), "seed {number}");
    assert_eq!(
        simulation.kernel().kept().usage().memory,
        0,
        "seed {number} leaves something queued"
    );
    let mut left = 0;
    simulation.kernel().for_each_process(|_| left += 1);
    assert_eq!(left, 0, "seed {number} leaves processes behind");
    std::mem::take(&mut *trace.0.lock())
}

#[test]
fn the_same_seed_is_the_same_run() {
    for number in 0..200 {
        let (first, second) = (run(number), run(number));
        assert_eq!(first, second, "seed {number}");
    }
}

#[test]
fn seeds_are_different_runs() {
    let runs: std::collections::HashSet<String> = (0..100).map(|number| format!("{:?}", run(number))).collect();
    assert!(runs.len() > 95, "only {} of 100 seeds differ", runs.len());
}

#[test]
fn what_must_hold_does_with_each_of_ten_thousand_seeds() {
    (0..SEEDS).for_each(|number| drop(run(number)));
}

#[test]
fn hours_pass_at_once() {
    let mut simulation = Simulation::new(SETTINGS, 1, Closures);
    let sleeps = |me: Me| async move {
        me.sleep(Duration::from_secs(3 * 3600)).await;
        Ok(())
    };
    let system = simulation.kernel().start_system((), |()| seed(sleeps)).unwrap();
    assert!(simulation.run(100) < 100);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
    assert!(simulation.passed() >= Duration::from_secs(3 * 3600));
}
