//! Philosophers: all of them ask one waiter for the two forks beside them.

use std::time::Duration;

use lunatic::{Address, Mailbox, Process};
use serde::{Deserialize, Serialize};

use super::share;
use crate::timed;

const PHILOSOPHERS: usize = 20;

#[derive(Serialize, Deserialize)]
enum Wish {
    Eat(usize),
    Leave(usize),
}

#[derive(Serialize, Deserialize)]
struct Served;

/// Serves `n` meals to 20 philosophers.
pub(crate) fn philosophers(n: u64) -> Duration {
    let wishes = Mailbox::<Wish>::new();
    let waiter = wishes.address();
    timed(|| {
        let spawn = |seat: usize| {
            let meals = share(n, seat as u64, PHILOSOPHERS as u64);
            Address::of(Process::spawn(move || philosopher(seat, meals, waiter)).unwrap())
        };
        let mut table = Table {
            guests: (0..PHILOSOPHERS).map(spawn).collect(),
            is_taken: [false; PHILOSOPHERS],
            is_hungry: [false; PHILOSOPHERS],
        };
        let mut eaten = 0;
        while eaten < n {
            match wishes.receive() {
                Wish::Eat(seat) => {
                    table.is_hungry[seat] = true;
                    table.serve(seat);
                }
                Wish::Leave(seat) => {
                    eaten += 1;
                    table.clear(seat);
                }
            }
        }
        assert!(!table.is_taken.contains(&true) && !table.is_hungry.contains(&true));
    })
}

fn philosopher(seat: usize, meals: u64, waiter: Address<Wish>) {
    let served = Mailbox::<Served>::new();
    for _ in 0..meals {
        waiter.send(Wish::Eat(seat));
        let Served = served.receive();
        waiter.send(Wish::Leave(seat));
    }
}

/// A philosopher's forks are that of the same number and the next one.
struct Table {
    guests: Vec<Address<Served>>,
    is_taken: [bool; PHILOSOPHERS],
    is_hungry: [bool; PHILOSOPHERS],
}

impl Table {
    /// Serves a hungry philosopher if both forks are free.
    fn serve(&mut self, seat: usize) {
        let forks = [seat, (seat + 1) % PHILOSOPHERS];
        if self.is_hungry[seat] && !forks.iter().any(|fork| self.is_taken[*fork]) {
            self.is_hungry[seat] = false;
            forks.iter().for_each(|fork| self.is_taken[*fork] = true);
            self.guests[seat].send(Served);
        }
    }

    /// Takes the forks back, and serves the neighbours if they wait for them.
    fn clear(&mut self, seat: usize) {
        for fork in [seat, (seat + 1) % PHILOSOPHERS] {
            assert!(self.is_taken[fork]);
            self.is_taken[fork] = false;
        }
        self.serve((seat + PHILOSOPHERS - 1) % PHILOSOPHERS);
        self.serve((seat + 1) % PHILOSOPHERS);
    }
}
