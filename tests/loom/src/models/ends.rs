//! A process ends while others join it.

use std::sync::Arc;

use loom::thread;

use super::check;
use crate::exit::ExitReason;
use crate::process::{Process, Step};

const REASON: ExitReason = ExitReason(7);

/// As the host function `join`: asks, and blocks until there is an answer.
fn join(target: &Arc<Process>) -> thread::JoinHandle<()> {
    let target = target.clone();
    thread::spawn(move || {
        let joiner = Process::new();
        joiner.run(|| match target.join(&joiner) {
            Some(reason) => {
                assert_eq!(reason, REASON);
                Step::Ends
            }
            None => Step::Blocks,
        });
    })
}

pub fn who_joins_is_woken_with_the_reason() {
    check(|| {
        let target = Process::new();
        let joiner = join(&target);
        target.end(REASON);
        joiner.join().unwrap();
        assert_eq!(target.join(&Process::new()), Some(REASON), "an end is for good");
    });
}

pub fn two_who_join_are_both_woken() {
    check(|| {
        let target = Process::new();
        let joiners = [join(&target), join(&target)];
        target.end(REASON);
        joiners.into_iter().for_each(|joiner| joiner.join().unwrap());
    });
}

/// Its time-out wakes it, and it goes away; the end comes before, after or in between.
pub fn who_joined_and_left_is_not_kept() {
    check(|| {
        let (target, joiner) = (Process::new(), Process::new());
        let ender = {
            let target = target.clone();
            thread::spawn(move || target.end(REASON))
        };
        let seen = target.join(&joiner);
        target.unjoin(&joiner);
        ender.join().unwrap();
        assert!(seen.is_none_or(|reason| reason == REASON));
        assert_eq!(Arc::strong_count(&joiner), 1, "nobody holds it any more");
    });
}
