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
/// The process that was called has ended; how is in the buffer, as reason bytes.
pub const GONE: i32 = -7;
/// Another process has the name.
pub const NAME_TAKEN: i32 = -8;

/// The process may not do that; why is in the buffer, as text.
pub const DENIED: i32 = -9;
/// A configuration that cannot be understood; why is in the buffer, as text.
pub const BAD_CONFIG: i32 = -10;

/// Bytes that are no module which the host runs, or that lacks what is asked of it; why is in the buffer, as text.
pub const BAD_MODULE: i32 = -11;

/// The host has no addresses for a name; why is in the buffer, as text.
pub const NO_HOST: i32 = -12;
/// A connection of TLS that failed; why is in the buffer, as text.
pub const TLS_FAILED: i32 = -13;
/// The peer of a TLS connection closed it without saying so: what came may not be all.
pub const TRUNCATED: i32 = -14;

/// Errors of the system are this minus the number that WASI preview 1 has for them, such as -4110 for a refused
/// connection.
pub const IO_ERROR: i32 = -4096;

/// Options of sockets. Switches are 0 or 1.
pub mod option {
    /// After how many nanoseconds a read gives up, [`NO_TIMEOUT`](super::NO_TIMEOUT) for never. Not 0.
    pub const READ_TIMEOUT: i32 = 0;
    /// The same for a write.
    pub const WRITE_TIMEOUT: i32 = 1;
    /// Small pieces are sent at once.
    pub const NODELAY: i32 = 2;
    /// The time to live of packets; for IPv6 the hop limit.
    pub const TTL: i32 = 3;
    /// After how many seconds of silence the peer is asked for a sign of life; 0 for never.
    pub const KEEPALIVE: i32 = 4;
    /// Datagrams may go to broadcast addresses.
    pub const BROADCAST: i32 = 5;
    /// An IPv6 socket takes no IPv4. Cannot be changed once the socket is bound.
    pub const ONLY_V6: i32 = 6;
    /// How many bytes the system keeps for the process to read.
    pub const RECEIVE_BUFFER: i32 = 7;
    /// How many bytes the system keeps for the peer.
    pub const SEND_BUFFER: i32 = 8;
    /// Closing resets the connection and drops what was not sent.
    pub const RESET_ON_CLOSE: i32 = 9;
    /// The time to live of multicast packets.
    pub const MULTICAST_TTL_V4: i32 = 10;
    /// Multicast packets come back to this machine.
    pub const MULTICAST_LOOP_V4: i32 = 11;
    /// The same for IPv6.
    pub const MULTICAST_LOOP_V6: i32 = 12;
    /// The number that WASI has for the error that is pending, 0 for none. Reading takes it.
    pub const ERROR: i32 = 13;
}

/// To whom a socket is handed over.
pub mod receiver {
    /// A process.
    pub const PROCESS: i32 = 0;
    /// The owner of a channel.
    pub const CHANNEL: i32 = 1;
    /// Whoever claims it.
    pub const ANYBODY: i32 = 2;
}

/// The longest configuration of TLS, in bytes.
pub const TLS_CONFIG_LEN_MAX: usize = 1 << 20;

/// What [`net::tls_info`](crate::net::tls_info) tells.
pub mod tls_info {
    /// The protocol that both agreed on.
    pub const ALPN: i32 = 0;
    /// The name that the client asked for.
    pub const SERVER_NAME: i32 = 1;
    /// The [certificates](crate::certificates) of the peer, its own first: of each the length as a little-endian `u32`,
    /// and its DER.
    pub const PEER_CERTIFICATES: i32 = 2;
}

/// The longest configuration of a spawn, in bytes.
pub const CONFIG_LEN_MAX: usize = 64 << 10;

/// The timeout that never passes.
pub const NO_TIMEOUT: u64 = u64::MAX;

/// How a process ended: the kind of a reason.
///
/// *Reason bytes* are the kind and its detail, two little-endian `i32`s, and text in UTF-8. Where nothing else is said,
/// the detail is 0 and the text empty. [`RawReason`](crate::reason::RawReason) writes and reads them.
pub mod exit {
    /// The entry function returned, or the process called `proc_exit(0)`.
    pub const NORMAL: i32 = 0;
    /// The process called `proc_exit` with another code than 0: the detail.
    pub const EXIT: i32 = 1;
    /// The process panicked; the text is the panic message.
    pub const PANIC: i32 = 2;
    /// The process trapped; the detail is one of [`trap`](super::trap), the text says how.
    pub const TRAP: i32 = 3;
    /// The process was killed.
    pub const KILLED: i32 = 4;
    /// The process ended so long ago that how is no longer known.
    pub const FORGOTTEN: i32 = 5;
    /// The process was told to stop, in good order.
    pub const SHUTDOWN: i32 = 6;
    /// The process ended with an error; the text says which.
    pub const ERROR: i32 = 7;
    /// The process hit a limit of its memory; the text says how it ended.
    pub const OUT_OF_MEMORY: i32 = 8;
    /// The process used up what it was given to compute.
    pub const OUT_OF_BUDGET: i32 = 9;
    /// No process of the system could ever run again; the text says who waited for what.
    pub const DEADLOCK: i32 = 10;
    /// There was no such process.
    pub const NO_PROCESS: i32 = 11;
    /// The connection to the node of the process was lost; the detail is one of [`loss`](super::loss).
    pub const NODE_GONE: i32 = 12;
    /// The host failed on behalf of the process; the text says how.
    pub const HOST_BUG: i32 = 13;

    /// Whether reasons of this kind have a text; `None` if there is no such kind.
    pub(crate) fn has_text(kind: i32) -> Option<bool> {
        match kind {
            PANIC | TRAP | ERROR | OUT_OF_MEMORY | DEADLOCK | HOST_BUG => Some(true),
            NORMAL | EXIT | KILLED | FORGOTTEN | SHUTDOWN | OUT_OF_BUDGET | NO_PROCESS | NODE_GONE => Some(false),
            _ => None,
        }
    }
}

/// The bytes before the text in reason bytes.
pub const REASON_HEAD_LEN: usize = 8;
/// The longest text of a reason that a process passes to the host, in bytes.
pub const REASON_TEXT_LEN_MAX: usize = 64 << 10;

/// How a process trapped: the detail of [`exit::TRAP`].
pub mod trap {
    /// Another trap than the following.
    pub const OTHER: i32 = 0;
    /// `unreachable` was executed.
    pub const UNREACHABLE: i32 = 1;
    /// A memory access out of bounds.
    pub const OUT_OF_BOUNDS: i32 = 2;
    /// The stack overflowed.
    pub const STACK_OVERFLOW: i32 = 3;
    /// An integer overflowed, or a number could not be converted to an integer.
    pub const OVERFLOW: i32 = 4;
    /// A division by zero.
    pub const DIVISION_BY_ZERO: i32 = 5;
    /// A table access out of bounds, or an indirect call of nothing or of a function of another type.
    pub const BAD_CALL: i32 = 6;
}

/// How the connection to a node was lost: the detail of [`exit::NODE_GONE`].
pub mod loss {
    /// There was no connection.
    pub const UNCONNECTED: i32 = 0;
    /// The node has left, or its machine has closed the connection.
    pub const CLOSED: i32 = 1;
    /// Nothing was heard of the node for too long.
    pub const SILENT: i32 = 2;
    /// Something of what the node sent was lost on the way.
    pub const GAP: i32 = 3;
    /// The node has given the connection up.
    pub const RESET: i32 = 4;
    /// The node was started again.
    pub const REPLACED: i32 = 5;
    /// The node sent what it may not send.
    pub const VIOLATION: i32 = 6;
    /// The node did not take what was sent to it.
    pub const OVERFLOW: i32 = 7;
}

/// Bits of [`SpawnOptions::flags`](crate::layout::SpawnOptions::flags).
pub mod spawn {
    /// The parent is linked to the child.
    pub const LINK: u32 = 1;
    /// The parent monitors the child.
    pub const MONITOR: u32 = 2;
    /// The child traps exits from its beginning.
    pub const TRAP_EXIT: u32 = 4;
    /// The child begins a scope of names of its own, empty but for itself.
    pub const NEW_SCOPE: u32 = 8;
}

/// What a mailbox's entry is.
pub mod mail {
    /// A message that a process sent.
    pub const MESSAGE: u32 = 0;
    /// A linked process has ended, or sent an exit signal; the body is the reason bytes.
    pub const EXIT: u32 = 1;
    /// A monitored process has ended; the body is the reason bytes.
    pub const DOWN: u32 = 2;
    /// Another version of the code waits for this process. Only a process that [offers](crate::code::offer) to take this gets
    /// it, before all else that lies in its mailbox, under [`CHANGE_TAG`](super::CHANGE_TAG); the body is empty.
    pub const CHANGE: u32 = 3;
}

/// The tag of [`mail::CHANGE`]. Below 16, so no type of message has it.
pub const CHANGE_TAG: u64 = 6;

/// The new version did not take the state; why is in the buffer, as text.
pub const NOT_CHANGED: i32 = -15;

/// The longest state that is carried from one version to the next, in bytes: 64 MiB.
pub const STATE_LEN_MAX: usize = 64 << 20;

/// How a process that offers a point of change hears of a version that waits for it.
pub mod offer {
    /// It asks, by offering again.
    pub const ASKS: i32 = 0;
    /// By [`mail::CHANGE`](super::mail::CHANGE), which it must take out of its mailbox.
    pub const MAIL: i32 = 1;
    /// Its next wait for a socket that can be read or has a connection to accept ends with the error `EINTR`; then it asks.
    pub const INTERRUPT: i32 = 2;
}

/// A look shows at most so many processes at once.
pub const LOOK_ROWS_MAX: usize = 1000;
/// A look shows at most so many bytes of the name of a function.
pub const LOOK_ENTRY_LEN_MAX: usize = 1024;

/// What `inspect::processes` and `inspect::process` say in numbers.
pub mod look {
    /// The order of the ids.
    pub const BY_ID: i32 = 0;
    /// Those first with the most entries in the mailbox.
    pub const BY_MAILBOX: i32 = 1;
    /// Those first whose mailbox has the most bytes.
    pub const BY_MAILBOX_BYTES: i32 = 2;
    /// Those first with the largest memory.
    pub const BY_MEMORY: i32 = 3;
    /// Those first that have computed for the longest time.
    pub const BY_TIME: i32 = 4;

    /// A state: a worker runs it.
    pub const RUNNING: u32 = 0;
    /// A state: it waits for a worker.
    pub const READY: u32 = 1;
    /// A state: it waits for something.
    pub const WAITING: u32 = 2;

    /// A wait: input or output.
    pub const OUTSIDE: u32 = 1;
    /// A wait: a message on a channel.
    pub const RECEIVE: u32 = 2;
    /// A wait: room in a channel.
    pub const SEND: u32 = 3;
    /// A wait: the end of a process.
    pub const JOIN: u32 = 4;
    /// A wait: a time.
    pub const SLEEP: u32 = 5;
    /// A wait: mail.
    pub const MAIL: u32 = 6;
    /// A wait: an answer.
    pub const CALL: u32 = 7;
    /// A wait: one of several things.
    pub const SELECT: u32 = 8;
    /// A wait: the network.
    pub const SOCKET: u32 = 9;
    /// A wait: a file.
    pub const FILE: u32 = 10;

    /// A flag: its memory is packed.
    pub const FROZEN: u32 = 1;
    /// A flag: exit signals become mail.
    pub const TRAPS_EXITS: u32 = 2;
    /// A flag: its end is the end of the program.
    pub const MAIN: u32 = 4;
}

/// The tag of messages about exits.
pub const TAG_SIGNAL: u64 = 1;
/// The bit that tells references from other tags.
pub const REFERENCE_BIT: u64 = 1 << 63;

/// What `mailbox::select` waits for.
pub mod source {
    /// A channel: `a` is its id, `b` its key.
    pub const CHANNEL: u32 = 0;
    /// The mailbox: `a` points to tags, all count if there are none.
    pub const MAILBOX: u32 = 1;
}

/// The longest name of a process or a group, in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// The largest number of tags or of sources in one call.
pub const TAGS_LEN_MAX: usize = 256;
/// The largest closure that can be spawned, in bytes of captured values.
pub const CAPTURE_LEN_MAX: usize = 64 << 10;
/// The largest message, in bytes.
pub const MESSAGE_LEN_MAX: usize = 256 << 20;
/// The largest message that a receive copies to the receiver's memory itself, in bytes. A longer one waits in the buffer,
/// whatever room there is, because copying it takes longer than one call may.
pub const IN_PLACE_LEN_MAX: usize = 1 << 20;
