//! Big: many processes send to each other at random, all at the same time.

use std::time::Duration;

use lunatic::{Address, Mailbox, Process};
use serde::{Deserialize, Serialize};

use super::{Random, share};
use crate::timed;

const WORKERS: u64 = 120;

#[derive(Serialize, Deserialize)]
enum Note {
    Ping(Address<Note>),
    Pong,
    Stop,
}

#[derive(Serialize, Deserialize)]
struct Done;

/// All workers, in the same order for each.
type All = Vec<Address<Note>>;

/// Has 120 workers ping each other, `n` times in all; a worker has one ping at a time on its way.
pub(crate) fn big(n: u64) -> Duration {
    let (done, answered) = (Mailbox::<Done>::new(), Mailbox::<u64>::new());
    let (to_done, to_answered) = (done.address(), answered.address());
    let spawn = |place| Process::spawn(move || worker(place, share(n, place, WORKERS), to_done, to_answered)).unwrap();
    let workers: Vec<Process> = (0..WORKERS).map(spawn).collect();
    let all: All = workers.iter().copied().map(Address::of).collect();
    timed(|| {
        for worker in &workers {
            Address::of(*worker).send(all.clone());
        }
        for _ in 0..WORKERS {
            let Done = done.receive();
        }
        all.iter().for_each(|worker| worker.send(Note::Stop));
        let sum: u64 = workers.iter().map(|_| answered.receive()).sum();
        assert_eq!(sum, n);
    })
}

/// Sends `pings`, each after the answer to the one before it, and answers those of others.
fn worker(place: u64, pings: u64, done: Address<Done>, answered: Address<u64>) {
    let all = Mailbox::<All>::new().receive();
    let notes = Mailbox::<Note>::new();
    let (here, mut random) = (notes.address(), Random(place));
    let mut left = pings;
    let mut next = || {
        if left == 0 {
            return done.send(Done);
        }
        left -= 1;
        let other = (place + 1 + random.below(WORKERS - 1)) % WORKERS;
        all[other as usize].send(Note::Ping(here));
    };
    next();
    let mut count = 0;
    loop {
        match notes.receive() {
            Note::Ping(from) => {
                from.send(Note::Pong);
                count += 1;
            }
            Note::Pong => next(),
            Note::Stop => return answered.send(count),
        }
    }
}
