//! Sieve: a process for each prime number, in a row, which passes on what its number does not divide.

use std::time::Duration;

use lunatic::{Address, Mailbox, Process};
use serde::{Deserialize, Serialize};

use crate::timed;

#[derive(Serialize, Deserialize)]
enum Item {
    Number(u64),
    /// No more numbers come. So many primes were before this process, with this sum.
    End {
        count: u64,
        sum: u64,
    },
}

/// Finds the prime numbers up to `n`.
pub(crate) fn sieve(n: u64) -> Duration {
    let results = Mailbox::<(u64, u64)>::new();
    let here = results.address();
    let mut found = (0, 0);
    let time = timed(|| {
        let first = Address::of(Process::spawn(move || filter(2, here)).unwrap());
        (3..=n).for_each(|number| first.send(Item::Number(number)));
        first.send(Item::End { count: 0, sum: 0 });
        found = results.receive();
    });
    assert_eq!(found, primes(n.max(2)));
    time
}

fn filter(prime: u64, result: Address<(u64, u64)>) {
    let items = Mailbox::<Item>::new();
    let mut next: Option<Address<Item>> = None;
    loop {
        match (items.receive(), next) {
            (Item::Number(number), _) if number.is_multiple_of(prime) => {}
            (item @ Item::Number(_), Some(next)) => next.send(item),
            (Item::Number(number), None) => {
                next = Some(Address::of(Process::spawn(move || filter(number, result)).unwrap()));
            }
            (Item::End { count, sum }, next) => {
                let (count, sum) = (count + 1, sum + prime);
                return match next {
                    Some(next) => next.send(Item::End { count, sum }),
                    None => result.send((count, sum)),
                };
            }
        }
    }
}

/// The number of primes up to `n`, and their sum, found without processes.
fn primes(n: u64) -> (u64, u64) {
    let is_prime = |number: &u64| {
        (2..)
            .take_while(|of| of * of <= *number)
            .all(|of| !number.is_multiple_of(of))
    };
    (2..=n)
        .filter(is_prime)
        .fold((0, 0), |(count, sum), prime| (count + 1, sum + prime))
}
