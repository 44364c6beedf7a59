//! Waiting without doing anything.

use std::time::Duration;

use crate::host;

/// Blocks the calling process for at least `duration`. Other processes run meanwhile, on the same worker too.
///
/// [`std::thread::sleep`] does the same. A duration of more than 584 years lasts for ever.
pub fn sleep(duration: Duration) {
    host::sleep_ns(host::timeout_ns(duration));
}

/// Lets other processes that are ready run first.
///
/// Never needed for fairness: the host interrupts processes that run for long. It may help one that polls.
pub fn yield_now() {
    host::yield_now();
}
