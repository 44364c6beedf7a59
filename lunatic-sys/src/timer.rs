//! `lunatic::timer`: messages that are sent later.

crate::imports! {
    namespace "lunatic::timer";

    /// Sends a message after a delay and, if the interval is not 0, again after each interval. The timer belongs to the
    /// process that it sends to, and ends with it.
    ///
    /// Writes the timer to `out` and returns [`codes::OK`](crate::codes::OK); or returns
    /// [`codes::INVALID`](crate::codes::INVALID), [`codes::CLOSED`](crate::codes::CLOSED),
    /// [`codes::LIMIT`](crate::codes::LIMIT), or [`codes::FULL`](crate::codes::FULL) if the process has too many
    /// timers.
    fn send_after(
        id: u64,
        key: u64,
        tag: u64,
        message: *const u8,
        len: usize,
        delay_ns: u64,
        interval_ns: u64,
        out: *mut u64,
    ) -> i32;

    /// Cancels a timer. Returns 1 if it had not fired yet or fires at intervals; 0 if it had fired, or its process has
    /// exited.
    fn cancel(timer: u64) -> i32;

    /// Stops the clock of the system permanently, for tests. When all its processes wait, the clock jumps to the next
    /// timer or timeout. Returns [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if the
    /// caller is not the main process.
    fn pause() -> i32;
}
