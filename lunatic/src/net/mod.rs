//! Networking, with an interface modelled on [`std::net`].
//!
//! Calls block only the calling process. Write a server as a loop that accepts connections and spawns a process for
//! each.
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! use lunatic::Process;
//! use lunatic::net::{TcpListener, TcpStream};
//!
//! fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:7000")?;
//!     for stream in listener.incoming() {
//!         Process::spawn_with(stream?, echo).expect("there is room for one more");
//!     }
//!     Ok(())
//! }
//!
//! fn echo(mut stream: TcpStream) {
//!     let mut bytes = [0; 4096];
//!     while let Ok(len @ 1..) = stream.read(&mut bytes) {
//!         if stream.write_all(&bytes[..len]).is_err() {
//!             break;
//!         }
//!     }
//! }
//! ```
//!
//! # Ownership
//!
//! A socket belongs to one process, and closes when that process exits, for whatever reason. It can be handed over: in
//! a message, or as the argument of [`Process::spawn_with`](crate::Process::spawn_with). Then it belongs to the process
//! that receives it. Until it is received, it belongs to the owner of the channel or mailbox, and closes with that
//! process. If the send fails, the sender gets the socket back. A socket cannot be sent to a group or by a timer.
//!
//! # Rights
//!
//! A process needs a right for each address and each name (`--allow-net`,
//! [`ProcessConfig::allow_net`](crate::ProcessConfig::allow_net)). Without it, calls fail with
//! [`PermissionDenied`](std::io::ErrorKind::PermissionDenied). A call that connects to a name also resolves it; the
//! address that is checked is the one that is used. A socket that was handed over can be used whatever rights the
//! receiver has.
//!
//! # Errors
//!
//! Errors have the kinds of std: [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused) and so on. Errors of
//! listening and connecting that are about the address name it, and therefore have no `raw_os_error`. If a timeout
//! passes, the kind is [`TimedOut`](std::io::ErrorKind::TimedOut), and nothing was read or written, so no byte is lost.
//! In addition:
//!
//! - [`NotFound`](std::io::ErrorKind::NotFound): a name has no address.
//! - [`QuotaExceeded`](std::io::ErrorKind::QuotaExceeded): a limit of the process or of its budget is reached.
//! - [`NotConnected`](std::io::ErrorKind::NotConnected): the socket was handed over.

mod address;
pub(crate) mod handover;
mod socket;
mod stream;
mod tcp;
pub mod tls;
mod udp;
pub mod unix;

pub use address::{Target, ToSocketAddrs, resolve};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use tls::TlsStream;
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};

pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
