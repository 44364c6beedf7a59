//! The network, shaped like [`std::net`].
//!
//! Calls block the calling process and nobody else: write a server as a loop that accepts, and a process for each
//! connection.
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
//! # Whose socket it is
//!
//! A socket belongs to one process and closes when that ends, however it ends. It can be handed over: in a message, or as
//! the argument of [`Process::spawn_with`](crate::Process::spawn_with). Then it belongs to the process that receives it;
//! while nobody has, to the owner of the channel or mailbox, so one that is never received closes with that. A send that
//! fails gives it back. In a message to a group, or of a timer, a socket cannot go.
//!
//! # What may be done
//!
//! A process needs a right for each address and each name (`--allow-net`,
//! [`ProcessConfig::allow_net`](crate::ProcessConfig::allow_net)); without it, calls fail with
//! [`PermissionDenied`](std::io::ErrorKind::PermissionDenied). A host name is looked up by the host in the call that
//! connects, and what is checked is the address that is used. A socket that was handed over may be used whatever rights the
//! receiver has.
//!
//! # Errors
//!
//! They are those of std: [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused) and so on. Where a timeout passes,
//! the kind is [`TimedOut`](std::io::ErrorKind::TimedOut), and nothing was read or written: no byte is lost. Beyond those,
//! [`NotFound`](std::io::ErrorKind::NotFound): a name has no address;
//! [`QuotaExceeded`](std::io::ErrorKind::QuotaExceeded): a limit of the process or its budget;
//! [`NotConnected`](std::io::ErrorKind::NotConnected): the socket was handed over.

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
