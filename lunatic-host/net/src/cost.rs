//! What sockets cost: bytes that the host and the system keep for one, beside what they hold for all.
//!
//! A socket is charged for the most that it may hold, so that nothing has to be counted while it is used. What the system keeps
//! of TCP it limits by itself, for the whole machine (`tcp_mem` in Linux), and takes back what it can when that is near, so
//! a connection is charged without it. For Unix sockets and UDP there is no such limit, or one that a single process would reach, so
//! their buffers are bounded here, and charged.
//!
//! Connections that nobody has accepted are kept for the listener, which pays for as many as may wait.

/// The record of a socket: 4 KiB in the system (its state, file and inode), and less than 1 KiB in the host.
pub const RECORD: usize = 5 << 10;

/// So many connections wait to be accepted at most, if the system allows as many.
pub(crate) const TCP_BACKLOG: i32 = 1024;
pub(crate) const UNIX_BACKLOG: i32 = 64;

/// What a connection takes in the system before it is accepted, without what has come for it.
const WAITING: usize = 3 << 10;

/// What is asked for as the buffer of a Unix stream. Linux doubles it, and goes beyond by one piece of half of it.
pub(crate) const UNIX_BUFFER: usize = 32 << 10;
const UNIX_HELD: usize = 2 * UNIX_BUFFER + UNIX_BUFFER + (4 << 10);

/// What is asked for as the buffer of datagrams that have come. Linux doubles it, to its usual size, and goes beyond by one
/// datagram.
pub(crate) const UDP_BUFFER: usize = 104 << 10;
const UDP_HELD: usize = 2 * UDP_BUFFER + (72 << 10);

/// A connection of TCP.
pub const TCP_STREAM: usize = RECORD;
/// What listens for connections of TCP.
pub const TCP_LISTENER: usize = RECORD + TCP_BACKLOG as usize * WAITING;
/// A socket for datagrams.
pub const UDP: usize = RECORD + UDP_HELD;
/// A Unix stream, with what has come for it.
pub const UNIX_STREAM: usize = RECORD + UNIX_HELD;
/// What listens for Unix streams.
pub const UNIX_LISTENER: usize = RECORD + UNIX_BACKLOG as usize * UNIX_STREAM;
/// A stream of TLS, with the connection below. See [`tls`](crate::tls).
pub const TLS: usize = TCP_STREAM + crate::tls::HELD_MAX;
