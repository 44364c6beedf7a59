//! Fork-join: a parent deals messages out to workers, one after the other.

use std::time::Duration;

use lunatic::{Address, Mailbox, Process};

use super::share;
use crate::timed;

const WORKERS: u64 = 60;

/// Deals `n` numbers out to 60 workers, and receives the sum of each.
pub(crate) fn fork_join(n: u64) -> Duration {
    let sums = Mailbox::<u64>::new();
    let here = sums.address();
    let worker = |place| {
        let share = share(n, place, WORKERS);
        Process::spawn(move || {
            let numbers = Mailbox::<u64>::new();
            here.send((0..share).map(|_| numbers.receive()).sum());
        })
    };
    let workers: Vec<Address<u64>> = (0..WORKERS).map(|place| Address::of(worker(place).unwrap())).collect();
    timed(|| {
        (0..n).for_each(|number| workers[(number % WORKERS) as usize].send(number));
        let sum: u64 = workers.iter().map(|_| sums.receive()).sum();
        assert_eq!(sum, n * (n - 1) / 2);
    })
}
