//! What sockets cost: the bytes that the host and the operating system keep for one.
//!
//! A socket is charged for the most that it may hold, so that nothing needs to be counted while it is used. The
//! operating system itself limits its memory for TCP, for the whole machine (`tcp_mem` in Linux), and reclaims what it
//! can near the limit; so a connection is not charged for it. For Unix sockets and UDP there is no such limit, or one
//! that a single process would reach. Therefore their buffers are limited here, and charged.
//!
//! The listener pays for connections that have not been accepted: for as many as may wait.

/// A socket: 4 KiB in the operating system (its state, file and inode), and less than 1 KiB in the host.
pub const RECORD: usize = 5 << 10;

/// The most connections that wait to be accepted, if the operating system allows as many.
pub const TCP_BACKLOG: i32 = 1024;
pub(crate) const UNIX_BACKLOG: i32 = 64;

/// A connection in the operating system before it is accepted, without received data.
const WAITING: usize = 3 << 10;

/// The requested buffer size of a Unix stream. Linux doubles it, and exceeds it by up to one piece of half the size.
pub(crate) const UNIX_BUFFER: usize = 32 << 10;
const UNIX_HELD: usize = 2 * UNIX_BUFFER + UNIX_BUFFER + (4 << 10);

/// The requested size of the receive buffer for datagrams. Linux doubles it, to its usual size, and exceeds it by up to
/// one datagram.
pub const UDP_BUFFER: usize = 104 << 10;
const UDP_HELD: usize = 2 * UDP_BUFFER + (72 << 10);

/// A TCP connection.
pub const TCP_STREAM: usize = RECORD;
/// A TCP listener.
pub const TCP_LISTENER: usize = RECORD + TCP_BACKLOG as usize * WAITING;
/// A UDP socket.
pub const UDP: usize = RECORD + UDP_HELD;
/// A Unix stream, with received data.
pub const UNIX_STREAM: usize = RECORD + UNIX_HELD;
/// A listener for Unix streams.
pub const UNIX_LISTENER: usize = RECORD + UNIX_BACKLOG as usize * UNIX_STREAM;
/// A TLS stream, with its TCP connection. See [`tls`](crate::tls).
pub const TLS: usize = TCP_STREAM + crate::tls::HELD_MAX;
