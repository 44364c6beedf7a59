//! A tree of processes that comes and goes: each node has ten children, and the leaves' numbers are added up on the way
//! back to the root.

use std::time::Duration;

use lunatic::{Address, Mailbox, Process};

use super::timed;

/// The children of a node.
const CHILDREN: u64 = 10;

/// Makes a tree of `n` leaves, and adds up their numbers.
pub(crate) fn skynet(n: u64) -> Duration {
    let sums = Mailbox::<u64>::new();
    let here = sums.address();
    timed(|| {
        Process::spawn(move || node(here, 0, n)).unwrap();
        assert_eq!(sums.receive(), n * (n - 1) / 2);
    })
}

/// The node above the leaves `first` to `first + leaves - 1`, or the leaf `first` itself.
fn node(parent: Address<u64>, first: u64, leaves: u64) {
    if leaves == 1 {
        return parent.send(first);
    }
    let sums = Mailbox::<u64>::new();
    let here = sums.address();
    let children = leaves.min(CHILDREN);
    let mut first = first;
    for child in 0..children {
        let share = leaves / children + u64::from(child < leaves % children);
        Process::spawn(move || node(here, first, share)).unwrap();
        first += share;
    }
    parent.send((0..children).map(|_| sums.receive()).sum());
}
