//! Budgets, charged by many at once.

use std::time::Instant;

use loom::thread;

use super::check;
use crate::budget::{Budget, Caps, Resource};

/// Messages have a cap of their own and count as memory, which has another: whichever is lower holds, and what was refused by
/// one is not taken from the other.
pub fn no_cap_is_ever_exceeded() {
    for (messages, memory) in [(2, 3), (3, 2)] {
        check(move || {
            let caps = Caps {
                messages: Some(messages),
                memory: Some(memory),
                ..Caps::default()
            };
            let budget = Budget::outermost(caps, Instant::now());
            let charge_twice =
                |budget: &Budget| (0..2).filter(|_| budget.charge(Resource::Messages, 1).is_ok()).count();
            let other = {
                let budget = budget.clone();
                thread::spawn(move || charge_twice(&budget))
            };
            let taken = charge_twice(&budget) + other.join().unwrap();
            assert!((1..=2).contains(&taken), "{taken}");
            let used = (budget.used(Resource::Messages), budget.usage().memory);
            assert_eq!(used, (taken as u64, taken as u64));
            budget.give_back(Resource::Messages, taken as u64);
            assert!(
                budget.charge(Resource::Messages, 2).is_ok(),
                "all that was given back can be taken again"
            );
        });
    }
}

/// One of two inner budgets is refused what the other took; what it took on the way is there again.
pub fn a_refused_charge_is_taken_from_no_budget() {
    check(|| {
        let caps = |processes| Caps {
            processes: Some(processes),
            ..Caps::default()
        };
        let outer = Budget::outermost(caps(1), Instant::now());
        let inner = [(), ()].map(|()| Budget::new(Some(outer.clone()), caps(5), Instant::now()).unwrap());
        let other = {
            let inner = inner[0].clone();
            thread::spawn(move || inner.charge(Resource::Processes, 1).is_ok())
        };
        let mine = inner[1].charge(Resource::Processes, 1).is_ok();
        let theirs = other.join().unwrap();
        assert!(mine != theirs, "one of them gets the only place");
        let used = [&outer, &inner[0], &inner[1]].map(|budget| budget.usage().processes);
        assert_eq!(used, [1, u64::from(theirs), u64::from(mine)]);
    });
}
