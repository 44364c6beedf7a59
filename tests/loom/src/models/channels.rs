//! Processes wait on one channel for messages and for room, as in the host's `imports/channel.rs` and `imports/wait.rs`.

use std::cell::Cell;
use std::sync::Arc;

use loom::thread::{self, JoinHandle};

use super::check;
use crate::address::Id;
use crate::channel::{ReceiveRefusal, SendRefusal, Ticket};
use crate::process::{Process, Step};

type Channels = crate::channel::Channels<Arc<Process>>;

fn channel(bound: usize) -> Arc<Channels> {
    let channels = Channels::new(1);
    channels.open(0, Id::NONE, &Process::new(), bound).unwrap();
    Arc::new(channels)
}

fn wake(waiter: Option<Arc<Process>>) {
    if let Some(waiter) = waiter {
        waiter.wake();
    }
}

/// What a process did before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Closed,
    Killed,
}

/// Runs `process` until `attempt` says how it went, blocked in between with the ticket that `enter` gives; a killed process
/// goes away with its ticket.
fn wait(
    process: &Arc<Process>,
    attempt: impl Fn() -> Option<Outcome>,
    enter: impl Fn(&Arc<Process>, Option<Ticket>) -> Option<Ticket>,
    leave: impl Fn(Ticket, bool) -> Option<Arc<Process>>,
) -> Outcome {
    let (outcome, ticket) = (Cell::new(Outcome::Killed), Cell::new(None));
    process.run(|| {
        if let Some(ticket) = ticket.get() {
            wake(leave(ticket, true));
        }
        loop {
            if let Some(done) = attempt() {
                outcome.set(done);
                ticket.set(None);
                return Step::Ends;
            }
            // `None`: it can be tried again at once.
            if let Some(entered) = enter(process, ticket.get()) {
                ticket.set(Some(entered));
                return Step::Blocks;
            }
        }
    });
    if let Some(ticket) = ticket.get() {
        wake(leave(ticket, false));
    }
    outcome.get()
}

fn receive(channels: &Channels, process: &Arc<Process>) -> Outcome {
    let attempt = || match channels.try_receive(Id) {
        Ok((_, _, waiter)) => {
            wake(waiter);
            Some(Outcome::Done)
        }
        Err(ReceiveRefusal::Empty) => None,
        Err(ReceiveRefusal::Closed) => Some(Outcome::Closed),
    };
    let enter = |process: &Arc<Process>, again| channels.wait_to_receive(Id, process, again);
    wait(process, attempt, enter, |ticket, looks| {
        channels.leave_receive(Id, ticket, looks)
    })
}

fn send(channels: &Channels, process: &Arc<Process>) -> Outcome {
    let attempt = || match channels.try_send(Id, b"message") {
        Ok(waiter) => {
            wake(waiter);
            Some(Outcome::Done)
        }
        Err(SendRefusal::Full) => None,
        Err(SendRefusal::Closed) => Some(Outcome::Closed),
        Err(SendRefusal::Limit) => unreachable!("the budget has no end"),
    };
    let enter = |process: &Arc<Process>, again| channels.wait_to_send(Id, process, again);
    wait(process, attempt, enter, |ticket, looks| {
        channels.leave_send(Id, ticket, looks)
    })
}

/// A process that does its work on a thread of its own.
fn start(
    channels: &Arc<Channels>,
    work: fn(&Channels, &Arc<Process>) -> Outcome,
) -> (Arc<Process>, JoinHandle<Outcome>) {
    let (process, channels) = (Process::new(), channels.clone());
    let thread = {
        let process = process.clone();
        thread::spawn(move || work(&channels, &process))
    };
    (process, thread)
}

fn send_at_once(channels: &Channels) {
    wake(channels.try_send(Id, b"message").expect("there is room"));
}

pub fn a_receiver_sees_the_message_or_is_woken() {
    check(|| {
        let channels = channel(0);
        let (_, receiver) = start(&channels, receive);
        send_at_once(&channels);
        assert_eq!(receiver.join().unwrap(), Outcome::Done);
    });
}

pub fn two_receivers_get_two_messages() {
    check(|| {
        let channels = channel(0);
        let receivers = [start(&channels, receive).1, start(&channels, receive).1];
        send_at_once(&channels);
        send_at_once(&channels);
        assert_eq!(receivers.map(|receiver| receiver.join().unwrap()), [Outcome::Done; 2]);
    });
}

/// The wake-up of one that is killed before it looks goes to the other.
pub fn the_wake_up_of_a_killed_receiver_is_passed_on() {
    check(|| {
        let channels = channel(0);
        let (killed, one) = start(&channels, receive);
        let (_, other) = start(&channels, receive);
        send_at_once(&channels);
        killed.kill();
        if one.join().unwrap() == Outcome::Done {
            send_at_once(&channels);
        }
        assert_eq!(other.join().unwrap(), Outcome::Done);
    });
}

pub fn senders_wait_for_room_and_get_it() {
    check(|| {
        let channels = channel(1);
        send_at_once(&channels);
        let senders = [start(&channels, send).1, start(&channels, send).1];
        let receiver = Process::new();
        assert_eq!(receive(&channels, &receiver), Outcome::Done);
        let receiver = Process::new();
        assert_eq!(receive(&channels, &receiver), Outcome::Done);
        assert_eq!(senders.map(|sender| sender.join().unwrap()), [Outcome::Done; 2]);
    });
}

pub fn closing_wakes_all_who_wait() {
    check(|| {
        let channels = channel(0);
        let receivers = [start(&channels, receive).1, start(&channels, receive).1];
        channels.close(0, Id).unwrap().waiters.for_each(|waiter| waiter.wake());
        assert_eq!(receivers.map(|receiver| receiver.join().unwrap()), [Outcome::Closed; 2]);
    });
}
