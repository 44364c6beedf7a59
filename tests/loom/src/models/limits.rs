//! Quotas and budgets, charged by many at once.

use std::sync::Arc;
use std::time::Instant;

use loom::thread;

use super::check;
use crate::budget::{Budget, Caps, Resource};
use crate::quota::Quota;

pub fn a_quota_is_never_exceeded() {
    check(|| {
        let quota = Arc::new(Quota::new(2));
        let charge_twice = |quota: &Quota| (0..2).filter(|_| quota.charge(1).is_ok()).count();
        let other = {
            let quota = quota.clone();
            thread::spawn(move || charge_twice(&quota))
        };
        let taken = charge_twice(&quota) + other.join().unwrap();
        assert_eq!(taken, 2);
        quota.give_back(2);
        assert!(quota.charge(2).is_ok(), "all that was given back can be taken again");
    });
}

/// One of two inner budgets is refused what the other took; what it took on the way is there again.
pub fn a_refused_charge_is_taken_from_no_budget() {
    check(|| {
        let caps = |processes| Caps {
            processes: Some(processes),
            ..Caps::default()
        };
        let outer = Budget::new(None, caps(1), Instant::now());
        let inner = [(), ()].map(|()| Budget::new(Some(outer.clone()), caps(5), Instant::now()));
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
