//! Waiting without doing anything, and a clock for tests.

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

/// Stops the clock of the program, for good: for tests.
///
/// From then on no time passes by itself. When every process waits, the clock goes on to the next timer or timeout of one
/// of them, however far away. So a test of an hour's timeout is done at once, and does not depend on how fast the machine
/// is. [`Instant`](std::time::Instant)s show that time, in all processes; the date does not. What waits for input, or
/// sleeps by [`std::thread::sleep`], keeps the clock from moving. Call it before anything has set a timer.
///
/// # Panics
///
/// If the caller is not the main process (in a test, the test itself is).
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

/// Lets so much time pass: after [`pause`], without waiting for it. The same as [`sleep`].
pub fn advance(duration: Duration) {
    sleep(duration);
}
