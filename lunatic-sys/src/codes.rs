//! Codes that calls return, and other numbers of the interface. Results of zero or more mean success.

/// The call succeeded.
pub const OK: i32 = 0;
/// The host never gave out the handle: the key does not belong to the id.
pub const INVALID: i32 = -1;
/// The channel is closed, because the process that made it has exited; or the process has exited.
pub const CLOSED: i32 = -2;
/// The channel holds as many messages as its bound allows; or too much waits to be sent to another node.
pub const FULL: i32 = -3;
/// There is no message, or the process that is joined has not exited.
pub const EMPTY: i32 = -4;
/// The timeout passed.
pub const TIMED_OUT: i32 = -5;
/// A limit of the host was reached; the buffer names it, as text.
pub const LIMIT: i32 = -6;
/// The process that was called has exited; the buffer holds its reason bytes.
pub const GONE: i32 = -7;
/// Another process has the name.
pub const NAME_TAKEN: i32 = -8;

/// The process does not have the right; the buffer gives the reason, as text.
pub const DENIED: i32 = -9;
/// The configuration is invalid; the buffer gives the reason, as text.
pub const BAD_CONFIG: i32 = -10;

/// The bytes are not a module that the host can run, or the module lacks something; the buffer gives the reason, as
/// text.
pub const BAD_MODULE: i32 = -11;

/// The host found no addresses for a name; the buffer gives the reason, as text.
pub const NO_HOST: i32 = -12;
/// A TLS connection failed; the buffer gives the reason, as text.
pub const TLS_FAILED: i32 = -13;
/// The peer of a TLS connection closed it without ending TLS first: the data may be truncated.
pub const TRUNCATED: i32 = -14;

/// Another node refused the spawn; the buffer gives the reason, as text.
pub const REFUSED: i32 = -15;

/// The channel is on another node, so nothing was done: `channel::send` and `channel::receive` wait for its answer. With a
/// timeout of 0 they do not wait for room or for a message.
pub const ELSEWHERE: i32 = -16;

/// An error of the operating system is this number minus the number that WASI preview 1 has for it, such as -4110 for a
/// refused connection.
pub const IO_ERROR: i32 = -4096;

/// Options of sockets. Switches are 0 or 1.
pub mod option {
    /// The timeout of reads in nanoseconds; [`NO_TIMEOUT`](super::NO_TIMEOUT) for none. Must not be 0.
    pub const READ_TIMEOUT: i32 = 0;
    /// The timeout of writes in nanoseconds; [`NO_TIMEOUT`](super::NO_TIMEOUT) for none. Must not be 0.
    pub const WRITE_TIMEOUT: i32 = 1;
    /// A switch: send small writes immediately.
    pub const NODELAY: i32 = 2;
    /// The time to live of packets; for IPv6 the hop limit.
    pub const TTL: i32 = 3;
    /// The time without traffic after which the peer is probed (TCP keepalive), in seconds; 0 for never.
    pub const KEEPALIVE: i32 = 4;
    /// A switch: allow sending datagrams to broadcast addresses.
    pub const BROADCAST: i32 = 5;
    /// A switch: an IPv6 socket does not accept IPv4. Cannot be changed once the socket is bound.
    pub const ONLY_V6: i32 = 6;
    /// The size of the system's receive buffer, in bytes.
    pub const RECEIVE_BUFFER: i32 = 7;
    /// The size of the system's send buffer, in bytes.
    pub const SEND_BUFFER: i32 = 8;
    /// A switch: closing resets the connection and drops data that was not sent.
    pub const RESET_ON_CLOSE: i32 = 9;
    /// The time to live of IPv4 multicast packets.
    pub const MULTICAST_TTL_V4: i32 = 10;
    /// A switch: deliver IPv4 multicast packets on this machine as well.
    pub const MULTICAST_LOOP_V4: i32 = 11;
    /// A switch: deliver IPv6 multicast packets on this machine as well.
    pub const MULTICAST_LOOP_V6: i32 = 12;
    /// WASI's number of the error that is pending, 0 for none. Reading it clears it.
    pub const ERROR: i32 = 13;
}

/// The receiver of a socket that is handed over.
pub mod receiver {
    /// A process.
    pub const PROCESS: i32 = 0;
    /// The owner of a channel.
    pub const CHANNEL: i32 = 1;
    /// Whoever claims it.
    pub const ANYBODY: i32 = 2;
}

/// The largest TLS configuration, in bytes.
pub const TLS_CONFIG_LEN_MAX: usize = 1 << 20;

/// The information that [`net::tls_info`](crate::net::tls_info) returns.
pub mod tls_info {
    /// The protocol that both sides agreed on.
    pub const ALPN: i32 = 0;
    /// The name that the client asked for.
    pub const SERVER_NAME: i32 = 1;
    /// The [certificates](crate::certificates) of the peer, its own first: of each the length as a little-endian `u32`,
    /// and its DER.
    pub const PEER_CERTIFICATES: i32 = 2;
}

/// The largest configuration of a spawn, in bytes.
pub const CONFIG_LEN_MAX: usize = 64 << 10;

/// The timeout that never passes.
pub const NO_TIMEOUT: u64 = u64::MAX;

/// Why a process exited: the kind of a reason.
///
/// *Reason bytes* are the kind and its detail, two little-endian `i32`s, and text in UTF-8. Unless stated otherwise,
/// the detail is 0 and the text empty. [`RawReason`](crate::reason::RawReason) encodes and decodes them.
pub mod exit {
    /// The entry function returned, or the process called `proc_exit(0)`.
    pub const NORMAL: i32 = 0;
    /// The process called `proc_exit` with a code other than 0; the detail is the code.
    pub const EXIT: i32 = 1;
    /// The process panicked; the text is the panic message.
    pub const PANIC: i32 = 2;
    /// The process trapped; the detail is one of [`trap`](crate::codes::trap), the text a description.
    pub const TRAP: i32 = 3;
    /// The process was killed.
    pub const KILLED: i32 = 4;
    /// The process exited so long ago that the host no longer knows the reason.
    pub const FORGOTTEN: i32 = 5;
    /// The process was asked to stop in an orderly way.
    pub const SHUTDOWN: i32 = 6;
    /// The process exited with an error, which is the text.
    pub const ERROR: i32 = 7;
    /// The process reached a limit of its memory; the text describes how it failed then.
    pub const OUT_OF_MEMORY: i32 = 8;
    /// The process used up its budget of processor time.
    pub const OUT_OF_BUDGET: i32 = 9;
    /// No process of the system could ever run again; the text lists which process was waiting for what.
    pub const DEADLOCK: i32 = 10;
    /// There was no such process.
    pub const NO_PROCESS: i32 = 11;
    /// The connection to the node of the process was lost; the detail is one of [`loss`](crate::codes::loss).
    pub const NODE_GONE: i32 = 12;
    /// A bug of the host ended the process; the text describes it.
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
/// The longest text of a reason that a process can pass to the host, in bytes.
pub const REASON_TEXT_LEN_MAX: usize = 64 << 10;

/// The kind of a trap: the detail of [`exit::TRAP`].
pub mod trap {
    /// Another kind of trap.
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
    /// A table access out of bounds, or an indirect call of a null entry or of a function of another type.
    pub const BAD_CALL: i32 = 6;
}

/// Why the connection to a node was lost: the detail of [`exit::NODE_GONE`].
pub mod loss {
    /// There was no connection.
    pub const UNCONNECTED: i32 = 0;
    /// The node has left, or its machine has closed the connection.
    pub const CLOSED: i32 = 1;
    /// The node did not send anything for too long.
    pub const SILENT: i32 = 2;
    /// Some of the data that the node sent was lost on the way.
    pub const GAP: i32 = 3;
    /// The node has given up the connection.
    pub const RESET: i32 = 4;
    /// The node was started again.
    pub const REPLACED: i32 = 5;
    /// The node broke the protocol.
    pub const VIOLATION: i32 = 6;
    /// The node did not take the data that was sent to it.
    pub const OVERFLOW: i32 = 7;
}

/// Bits of [`SpawnOptions::flags`](crate::layout::SpawnOptions::flags).
pub mod spawn {
    /// The parent is linked to the child.
    pub const LINK: u32 = 1;
    /// The parent monitors the child.
    pub const MONITOR: u32 = 2;
    /// The child traps exits from the start.
    pub const TRAP_EXIT: u32 = 4;
    /// The child begins a new scope of names, which contains only the child's own name.
    pub const NEW_SCOPE: u32 = 8;
}

/// The kind of a mailbox entry.
pub mod mail {
    /// A message from a process.
    pub const MESSAGE: u32 = 0;
    /// A linked process has exited, or a process has sent an exit signal; the body is the reason bytes.
    pub const EXIT: u32 = 1;
    /// A monitored process has exited; the body is the reason bytes.
    pub const DOWN: u32 = 2;
    /// Another version of the code waits for this process. Only a process that has asked for this kind with
    /// [`offer`](crate::code::offer) gets it. It comes before all other entries of the mailbox, with the tag
    /// [`CHANGE_TAG`](super::CHANGE_TAG); the body is empty. The reference is [`DESCRIBE`](super::DESCRIBE) or 0.
    pub const CHANGE: u32 = 3;
}

/// The reference of [`mail::CHANGE`] in a rehearsal, and in an upgrade that goes on although some processes cannot change: the state
/// should contain what else the two versions must agree on, such as the types of messages. In other upgrades, which follow a
/// rehearsal, this would take time for each process, and find nothing.
pub const DESCRIBE: u64 = 1;

/// The tag of [`mail::CHANGE`]. It is below 16, so no message type has it.
pub const CHANGE_TAG: u64 = 6;

/// The new version did not accept the state; the buffer gives the reason, as text.
pub const NOT_CHANGED: i32 = -15;

/// The longest state that can be moved from one version to another, in bytes: 64 MiB.
pub const STATE_LEN_MAX: usize = 64 << 20;

/// How a process that offers a point of change is notified of a version that waits for it.
pub mod offer {
    /// Not at all: it asks, by offering again.
    pub const ASKS: i32 = 0;
    /// By [`mail::CHANGE`](super::mail::CHANGE), which it must receive from its mailbox.
    pub const MAIL: i32 = 1;
    /// By the error `EINTR`, with which its next wait to read from a socket or to accept a connection ends. Then it
    /// asks.
    pub const INTERRUPT: i32 = 2;
    /// The process offers no point of change any more. The entry is ignored, and a version that waits is forgotten.
    pub const NONE: i32 = 3;
}

/// The largest number of processes that one call of `inspect::processes` returns.
pub const LOOK_ROWS_MAX: usize = 1000;
/// The longest name of a function that inspection returns, in bytes.
pub const LOOK_ENTRY_LEN_MAX: usize = 1024;

/// Numbers of `inspect::processes` and `inspect::process`.
pub mod look {
    /// An order: by id.
    pub const BY_ID: i32 = 0;
    /// An order: by the entries in the mailbox, most first.
    pub const BY_MAILBOX: i32 = 1;
    /// An order: by the bytes in the mailbox, most first.
    pub const BY_MAILBOX_BYTES: i32 = 2;
    /// An order: by the size of the memory, largest first.
    pub const BY_MEMORY: i32 = 3;
    /// An order: by processor time, longest first.
    pub const BY_TIME: i32 = 4;
    /// An order: by the age of the oldest entry in the mailbox, oldest first.
    pub const BY_OLDEST: i32 = 5;

    /// A state: a worker is running it.
    pub const RUNNING: u32 = 0;
    /// A state: it waits for a worker.
    pub const READY: u32 = 1;
    /// A state: it is blocked.
    pub const WAITING: u32 = 2;

    /// A wait: input or output.
    pub const OUTSIDE: u32 = 1;
    /// A wait: a message in a channel.
    pub const RECEIVE: u32 = 2;
    /// A wait: room in a channel.
    pub const SEND: u32 = 3;
    /// A wait: the exit of a process.
    pub const JOIN: u32 = 4;
    /// A wait: a point in time.
    pub const SLEEP: u32 = 5;
    /// A wait: mail.
    pub const MAIL: u32 = 6;
    /// A wait: the answer to a call.
    pub const CALL: u32 = 7;
    /// A wait: one of several sources.
    pub const SELECT: u32 = 8;
    /// A wait: a socket.
    pub const SOCKET: u32 = 9;
    /// A wait: a file.
    pub const FILE: u32 = 10;

    /// A flag: its memory is packed.
    pub const FROZEN: u32 = 1;
    /// A flag: exit signals become mail.
    pub const TRAPS_EXITS: u32 = 2;
    /// A flag: it is the main process, whose exit ends the program.
    pub const MAIN: u32 = 4;
}

/// The tag of mail about exits.
pub const TAG_SIGNAL: u64 = 1;
/// The bit that distinguishes references from other tags.
pub const REFERENCE_BIT: u64 = 1 << 63;

/// The kinds of sources of `mailbox::select`.
pub mod source {
    /// A channel: `a` is its id, `b` its key.
    pub const CHANNEL: u32 = 0;
    /// The mailbox: `a` points to tags; without tags, every entry counts.
    pub const MAILBOX: u32 = 1;
    /// A socket that can be read or accepted from: `a` is its id, `b` its key.
    pub const READABLE: u32 = 2;
    /// A socket that can be written to: `a` is its id, `b` its key.
    pub const WRITABLE: u32 = 3;
}

/// The longest name of a process or a group, in bytes.
pub const NAME_LEN_MAX: usize = 255;
/// The largest number of tags or of sources in one call.
pub const TAGS_LEN_MAX: usize = 256;
/// The largest size of the captured values of a spawn, in bytes.
pub const CAPTURE_LEN_MAX: usize = 64 << 10;
/// The largest message, in bytes.
pub const MESSAGE_LEN_MAX: usize = 256 << 20;
/// The largest message that a receive copies directly into the memory of the receiver, in bytes. A longer message is
/// put into the buffer, whatever the capacity, because copying it takes longer than one call may.
pub const IN_PLACE_LEN_MAX: usize = 1 << 20;
