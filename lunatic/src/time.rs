//! Sleeping, and a clock for tests.

use std::time::Duration;

use crate::host;

/// Blocks the calling process for at least `duration`. Other processes run meanwhile, also on the same worker.
///
/// [`std::thread::sleep`] does the same. A duration of more than 584 years never ends.
pub fn sleep(duration: Duration) {
    host::sleep_ns(host::timeout_ns(duration));
}

/// Lets other processes that are ready run first.
///
/// This is never needed for fairness, because the host preempts processes. It can help a process that polls.
pub fn yield_now() {
    host::yield_now();
}

/// Stops the clock of the program permanently, for tests.
///
/// From then on time passes only when every process is waiting: the clock then jumps to the next timer or timeout of a
/// process, however far away that is. So a test of a timeout of an hour is done immediately, and does not depend on the
/// speed of the machine. [`Instant`](std::time::Instant)s follow this clock in all processes;
/// [`SystemTime`](std::time::SystemTime) does not. While a process waits for input or in [`std::thread::sleep`], the
/// clock does not move. Call this function before any timer is set.
///
/// # Panics
///
/// If the caller is not the main process. In a test, the test itself is the main process.
///
/// # Examples
///
/// ```no_run
/// use std::time::{Duration, Instant};
///
/// use lunatic::time;
///
/// time::pause();
/// let start = Instant::now();
/// time::advance(Duration::from_secs(3600)); // all that is due in this hour happens now
/// assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// ```
pub fn pause() {
    assert!(
        host::mail::pause(),
        "only the main process can pause the time of the program"
    );
}

/// Waits for `duration`; after [`pause`], lets that time pass without waiting for it. The same as [`sleep`].
pub fn advance(duration: Duration) {
    sleep(duration);
}
