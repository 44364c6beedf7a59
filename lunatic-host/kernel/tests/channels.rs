//! Channels between processes: nothing is lost and nobody waits for ever, whoever is killed meanwhile, in any order.

use std::collections::BTreeSet;
use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::simulation::Simulation;
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, Threaded, seed};

const SEEDS: u64 = 2_000;
const RECEIVERS: u64 = 4;
const SENDERS: u8 = 3;
const MESSAGES: u8 = 8;

/// What has been received; a receiver that is killed has put down what it got, as it puts it down at once.
type Got = Arc<Mutex<Vec<(u8, u8)>>>;

async fn receiver(me: Me, channel: Id, got: Got) -> Outcome {
    while let Some(message) = me.receive_from(channel).await {
        got.lock().push((message[0], message[1]));
        if message[1] % 3 == 0 {
            me.give_way().await;
        }
    }
    Ok(())
}

async fn sender(me: Me, channel: Id, number: u8) -> Outcome {
    for message in 0..MESSAGES {
        assert!(me.send_to(channel, &[number, message]).await);
    }
    Ok(())
}

/// Kills all receivers but one, and senders that send nothing of use, while messages go through a channel with room for one.
async fn main(me: Me, got: Got, number: u64) -> Outcome {
    let channel = me.kernel.channels().open(0, me.id(), &me.process, 1).unwrap();
    let receivers: Vec<Id> = (0..RECEIVERS)
        .map(|_| {
            let got = got.clone();
            me.spawn(move |me| receiver(me, channel, got))
        })
        .collect();
    let idle = me.spawn(move |me| async move {
        while me.send_to(channel, &[u8::MAX, 0]).await {}
        Ok(())
    });
    let senders: Vec<Id> = (0..SENDERS)
        .map(|number| me.spawn(move |me| sender(me, channel, number)))
        .collect();
    senders.iter().for_each(|id| _ = me.monitor(*id));
    for (place, id) in receivers.iter().enumerate().skip(1) {
        for _ in 0..(number >> (4 * place)) % 16 {
            me.give_way().await;
        }
        me.exit(*id, &ExitReason::Killed)?;
    }
    me.exit(idle, &ExitReason::Shutdown)?;
    for _ in senders {
        let told = me.receive(&[]).await;
        assert_eq!(ExitReason::from_bytes(&told.body), Some(ExitReason::Normal));
    }
    // The last message may still lie there, and a receiver that is left ends when the channel does.
    me.monitor(receivers[0]);
    while me.kernel.channels().view(channel).is_some_and(|view| view.len > 0) {
        me.give_way().await;
    }
    for waiter in me.kernel.channels().close(0, channel).unwrap().waiters {
        me.kernel.wake_waiter(Some(waiter));
    }
    me.receive(&[]).await;
    // One that was killed may still be about to put down what it got.
    while receivers.iter().any(|id| me.kernel.is_alive(*id)) {
        me.give_way().await;
    }
    Ok(())
}

/// Whoever waits for room, or for a message, goes on when the channel closes.
#[test]
fn a_channel_that_closes_wakes_all_who_wait() {
    let mut simulation = Simulation::new(SETTINGS, 1, Closures);
    let main = |me: Me| async move {
        let (full, empty) = (
            me.kernel.channels().open(0, me.id(), &me.process, 1).unwrap(),
            me.kernel.channels().open(0, me.id(), &me.process, 1),
        );
        let empty = empty.unwrap();
        let waiting: Vec<Id> = (0..6)
            .map(|number| {
                me.spawn(move |me| async move {
                    match number % 2 {
                        0 => while me.send_to(full, &[0]).await {},
                        _ => assert_eq!(me.receive_from(empty).await, None),
                    }
                    Ok(())
                })
            })
            .collect();
        waiting.iter().for_each(|id| _ = me.monitor(*id));
        let is_blocked = |id: &Id| me.kernel.snapshot(*id).unwrap().wait.is_some();
        while !waiting.iter().all(is_blocked) {
            me.give_way().await;
        }
        for channel in [full, empty] {
            me.kernel
                .channels()
                .close(0, channel)
                .unwrap()
                .waiters
                .for_each(|waiter| me.kernel.wake_waiter(Some(waiter)));
        }
        for _ in waiting {
            me.receive(&[]).await;
        }
        Ok(())
    };
    let system = simulation.kernel().start_system((), |()| seed(main)).unwrap();
    simulation.run(10_000);
    assert_eq!(system.exit_reason(), Some(ExitReason::Normal));
}

fn check(got: &Got) {
    let got = got.lock();
    let got: Vec<_> = got.iter().filter(|(sender, _)| *sender != u8::MAX).copied().collect();
    let all: BTreeSet<_> = got.iter().copied().collect();
    assert_eq!(
        (got.len(), all.len()),
        (usize::from(SENDERS * MESSAGES), got.len()),
        "each is received once"
    );
}

#[test]
fn no_message_and_no_wake_up_is_lost_whoever_is_killed() {
    for number in 0..SEEDS {
        let mut simulation = Simulation::new(SETTINGS, number, Closures);
        let got = Got::default();
        let to = got.clone();
        let kills = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let system = simulation
            .kernel()
            .start_system((), |()| seed(move |me| main(me, to, kills)));
        assert!(
            simulation.run(100_000) < 100_000,
            "seed {number} does not come to an end"
        );
        assert_eq!(system.unwrap().exit_reason(), Some(ExitReason::Normal), "seed {number}");
        check(&got);
        assert_eq!(simulation.kernel().kept().usage().memory, 0);
    }
}

#[test]
fn nor_is_any_on_two_workers() {
    let threaded = Threaded::new();
    for number in 0..200_u64 {
        let got = Got::default();
        let to = got.clone();
        let kills = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        assert_eq!(threaded.run(move |me| main(me, to, kills)), ExitReason::Normal);
        check(&got);
    }
}
