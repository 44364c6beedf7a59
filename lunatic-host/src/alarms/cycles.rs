//! Processes that wait for each other: each for the end or the answer of the next, and the last for the first.
//!
//! Each process waits for one other at most, so whoever follows the waits from a process comes back to it, or not at all. No list of
//! waits is made, and no process is stopped: what is found at one look may be of different times, and is confirmed by
//! the next.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::{Host, Kernel, Process, WaitFor};

/// The longest cycle that is found.
const LEN_MAX: usize = 64;

/// A process of a cycle, and how often it had begun to run: it has not run since while that is the same.
pub(super) type Member = (Id, u32);

/// The cycle that a process is in and has the smallest id of, from there on.
pub(super) fn cycle_from<H: Host>(kernel: &Kernel<H>, process: &Arc<Process<H>>) -> Option<Vec<Member>> {
    let mut members = vec![(process.id, process.runs())];
    let mut next = waits_for(process)?;
    while next != process.id {
        if members.len() == LEN_MAX || next < process.id {
            return None;
        }
        let member = kernel.find(next)?;
        members.push((member.id, member.runs()));
        next = waits_for(&member)?;
    }
    Some(members)
}

/// The process that this one waits for.
fn waits_for<H: Host>(process: &Process<H>) -> Option<Id> {
    let (kind, what) = process.wait();
    let is_for_one = matches!(kind, WaitFor::Join | WaitFor::Call);
    (is_for_one && process.is_blocked()).then_some(what)
}
