//! Finds processes that wait for each other: each for the end or the answer of the next, and the last for the first.
//!
//! Each process waits for at most one other. So following the waits from a process leads back to it, or never does. No
//! list of waits is made, and no process is stopped: what one scan finds may be from different moments, and the next
//! scan confirms it.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::{Host, Kernel, Process, WaitFor};

/// The longest cycle that is found.
const LEN_MAX: usize = 64;

/// A process of a cycle, with the number of times that it has started to run: while this is the same, it has not run
/// since.
pub(super) type Member = (Id, u32);

/// The cycle that contains a process, starting from it, if its id is the smallest in the cycle.
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

/// The process for which this one waits.
fn waits_for<H: Host>(process: &Process<H>) -> Option<Id> {
    let (kind, what) = process.wait();
    let is_for_one = matches!(kind, WaitFor::Join | WaitFor::Call);
    (is_for_one && process.is_blocked()).then_some(what)
}
