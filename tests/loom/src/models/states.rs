//! Processes block, and are woken, frozen and killed.

use std::sync::Arc;

use loom::thread;

use super::check;
use crate::process::{Process, Step};
use crate::sync::Mutex;

/// A process that ends when it has seen so many signals, which are behind a lock, as all is that processes wait for.
fn waits_for(process: &Arc<Process>, signals: &Arc<Mutex<usize>>, count: usize) -> thread::JoinHandle<()> {
    let (process, signals) = (process.clone(), signals.clone());
    thread::spawn(move || {
        process.run(|| {
            if *signals.lock() == count {
                Step::Ends
            } else {
                Step::Blocks
            }
        });
    })
}

fn signal(process: &Process, signals: &Mutex<usize>) {
    *signals.lock() += 1;
    process.wake();
}

pub fn a_wake_up_is_seen_whenever_it_comes() {
    check(|| {
        let (process, signals) = (Process::new(), Arc::default());
        let worker = waits_for(&process, &signals, 1);
        signal(&process, &signals);
        worker.join().unwrap();
    });
}

pub fn a_process_that_two_wake_is_queued_once() {
    check(|| {
        let (process, signals) = (Process::new(), Arc::default());
        let worker = waits_for(&process, &signals, 2);
        let other = {
            let (process, signals) = (process.clone(), signals.clone());
            thread::spawn(move || signal(&process, &signals))
        };
        signal(&process, &signals);
        other.join().unwrap();
        worker.join().unwrap();
    });
}

pub fn a_wake_up_while_it_is_frozen_is_made_good() {
    check(|| {
        let (process, signals) = (Process::new(), Arc::default());
        let worker = waits_for(&process, &signals, 1);
        let freezer = {
            let process = process.clone();
            thread::spawn(move || process.freeze())
        };
        signal(&process, &signals);
        freezer.join().unwrap();
        worker.join().unwrap();
    });
}

pub fn two_freeze_one_process_one_at_a_time() {
    check(|| {
        let (process, signals) = (Process::new(), Arc::default());
        let worker = waits_for(&process, &signals, 1);
        let freezer = {
            let process = process.clone();
            thread::spawn(move || process.freeze())
        };
        process.freeze();
        signal(&process, &signals);
        freezer.join().unwrap();
        worker.join().unwrap();
    });
}

pub fn a_killed_process_ends_frozen_or_not() {
    check(|| {
        let process = Process::new();
        let worker = {
            let process = process.clone();
            thread::spawn(move || process.run(|| Step::Blocks))
        };
        let freezer = {
            let process = process.clone();
            thread::spawn(move || process.freeze())
        };
        process.kill();
        freezer.join().unwrap();
        worker.join().unwrap();
    });
}

/// It is queued once more, and is ended by one of those who find it, with nobody else in its task.
pub fn a_process_that_is_killed_in_a_queue_ends_once() {
    check(|| {
        let process = Process::new();
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let process = process.clone();
                thread::spawn(move || process.end_if_killed())
            })
            .collect();
        process.kill();
        let mut ended: usize = workers
            .into_iter()
            .map(|worker| usize::from(worker.join().unwrap()))
            .sum();
        // Whatever is left in the queue.
        for _ in 0..2 {
            ended += usize::from(process.end_if_killed());
        }
        assert_eq!(ended, 1);
    });
}
