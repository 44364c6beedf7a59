//! Numbers that calls return, and what they mean. Success is zero or more.

/// The call did what it says.
pub const OK: i32 = 0;
/// A handle that was never given out: the key does not belong to the id.
pub const INVALID: i32 = -1;
/// The channel is closed: the process that made it has ended. Or: the process has ended.
pub const CLOSED: i32 = -2;
/// The channel holds as many messages as its bound allows.
pub const FULL: i32 = -3;
/// There is no message, or the process that is waited for still runs.
pub const EMPTY: i32 = -4;
/// The timeout passed first.
pub const TIMED_OUT: i32 = -5;
/// A limit of the host was hit; which one is in the buffer, as text.
pub const LIMIT: i32 = -6;

/// The timeout that never passes.
pub const NO_TIMEOUT: u64 = u64::MAX;

/// How a process ended, as `process::join` returns it.
pub mod exit {
    /// The entry function returned, or the process called `proc_exit(0)`.
    pub const NORMAL: i32 = 0;
    /// The process called `proc_exit` with another code than 0; the buffer holds the code in decimal.
    pub const EXIT: i32 = 1;
    /// The process panicked; the buffer holds the panic message.
    pub const PANIC: i32 = 2;
    /// The process trapped (or the host failed on its behalf); the buffer holds the reason.
    pub const TRAP: i32 = 3;
    /// The process was killed.
    pub const KILLED: i32 = 4;
    /// The process ended so long ago that how is no longer known.
    pub const FORGOTTEN: i32 = 5;
}

/// The largest closure that can be spawned, in bytes of captured values.
pub const CAPTURE_LEN_MAX: usize = 64 << 10;
/// The largest message, in bytes.
pub const MESSAGE_LEN_MAX: usize = 256 << 20;
