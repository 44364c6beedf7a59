//! `lunatic::net`: sockets.
//!
//! A socket belongs to one process and closes when that ends. Errors of the system are
//! [`codes::IO_ERROR`](crate::codes::IO_ERROR) minus the number that WASI preview 1 has for them. A call with a socket that
//! is not the caller's (any more) is [`codes::CLOSED`](crate::codes::CLOSED), one that the caller has no right to
//! [`codes::DENIED`](crate::codes::DENIED), with the reason as text in the buffer.

use crate::layout::{RawHandle, SocketAddress};

crate::imports! {
    namespace "lunatic::net";

    /// Looks up the addresses of a host, waiting for them: their number, with the addresses in the buffer; or
    /// [`codes::NO_HOST`](crate::codes::NO_HOST) with the reason as text,
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT).
    fn resolve(host: *const u8, host_len: usize, port: i32, timeout_ns: u64) -> i32;

    /// Listens for TCP connections at an address; the socket's handle is written to `out`.
    fn tcp_listen(address: *const SocketAddress, out: *mut RawHandle) -> i32;

    /// Connects to an address, waiting until that has come about.
    fn tcp_connect(address: *const SocketAddress, timeout_ns: u64, out: *mut RawHandle) -> i32;

    /// Looks a host up and connects to the first of its addresses that answers.
    fn tcp_connect_host(host: *const u8, host_len: usize, port: i32, timeout_ns: u64, out: *mut RawHandle) -> i32;

    /// Waits for a connection to a listener and accepts it. The peer's address is written to `peer`; one without an IP
    /// address has the family 0.
    fn accept(id: u64, key: u64, timeout_ns: u64, peer: *mut SocketAddress, out: *mut RawHandle) -> i32;

    /// Takes bytes that have come, waiting for some: how many, 0 at the end of the stream. Gives up after the socket's
    /// timeout, and has taken nothing then.
    fn read(id: u64, key: u64, to: *mut u8, to_len: usize) -> i32;

    /// As `read`, but leaves the bytes where they are.
    fn peek(id: u64, key: u64, to: *mut u8, to_len: usize) -> i32;

    /// Sends bytes, as many as there is room for, without waiting; [`codes::FULL`](crate::codes::FULL) if there is none.
    fn try_write(id: u64, key: u64, from: *const u8, from_len: usize) -> i32;

    /// Sends bytes, as many as there is room for, waiting for room for some: how many.
    fn write(id: u64, key: u64, from: *const u8, from_len: usize) -> i32;

    /// Binds a UDP socket to an address.
    fn udp_bind(address: *const SocketAddress, out: *mut RawHandle) -> i32;

    /// From now on datagrams go to this address, and only those from there are received.
    fn udp_connect(id: u64, key: u64, address: *const SocketAddress) -> i32;

    /// Sends a datagram to an address, waiting for room.
    fn send_to(id: u64, key: u64, address: *const SocketAddress, from: *const u8, from_len: usize) -> i32;

    /// Takes a datagram, waiting for one, or looks at it if `peek` is not 0: its length, as far as there was room. Who
    /// sent it is written to `address`.
    fn receive_from(id: u64, key: u64, to: *mut u8, to_len: usize, peek: i32, address: *mut SocketAddress) -> i32;

    /// Joins (1) or leaves (0) a multicast group on the interface with an IPv4 address, or with the scope id of an IPv6
    /// address as its number.
    fn multicast(
        id: u64,
        key: u64,
        group: *const SocketAddress,
        interface: *const SocketAddress,
        join: i32,
    ) -> i32;

    /// Listens at a path in a folder of the caller's, where nothing may be yet.
    fn unix_listen(path: *const u8, path_len: usize, out: *mut RawHandle) -> i32;

    /// Connects to a path in a folder of the caller's.
    fn unix_connect(path: *const u8, path_len: usize, out: *mut RawHandle) -> i32;

    /// Makes two streams that are connected with each other.
    fn unix_pair(one: *mut RawHandle, other: *mut RawHandle) -> i32;

    /// Ends reading (0), writing (1) or both (2).
    fn shutdown(id: u64, key: u64, how: i32) -> i32;

    /// Closes the caller's handle of a socket.
    fn close(id: u64, key: u64) -> i32;

    /// Another handle of the same socket.
    fn clone(id: u64, key: u64, out: *mut RawHandle) -> i32;

    /// Where the socket is bound.
    fn local_address(id: u64, key: u64, out: *mut SocketAddress) -> i32;

    /// What the socket is connected to.
    fn peer_address(id: u64, key: u64, out: *mut SocketAddress) -> i32;

    /// The value of an option, one of [`codes::option`](crate::codes::option).
    fn get_option(id: u64, key: u64, option: i32, out: *mut u64) -> i32;

    /// Sets an option.
    fn set_option(id: u64, key: u64, option: i32, value: u64) -> i32;

    /// Reads a configuration of TLS (entries `KEY=VALUE`, a zero byte behind each) and writes its handle to `out`. It goes
    /// with the caller. [`codes::BAD_CONFIG`](crate::codes::BAD_CONFIG) with the reason as text.
    fn tls_config(text: *const u8, text_len: usize, out: *mut RawHandle) -> i32;

    /// Puts another configuration in the place of one: connections that are made from now on use it.
    fn tls_replace(id: u64, key: u64, text: *const u8, text_len: usize) -> i32;

    /// Lets a configuration of the caller's go.
    fn tls_drop(id: u64, key: u64) -> i32;

    /// Puts TLS on a TCP connection, waiting for the handshake; `out` gets the handle of the stream. A client says to which
    /// server it connects, a server has a name of length 0. The handle of the connection is to be closed by the caller.
    fn tls_start(
        id: u64,
        key: u64,
        config_id: u64,
        config_key: u64,
        name: *const u8,
        name_len: usize,
        out: *mut RawHandle,
    ) -> i32;

    /// Leaves in the buffer what is known of a stream of TLS, one of [`codes::tls_info`](crate::codes::tls_info);
    /// [`codes::EMPTY`](crate::codes::EMPTY) if there is no such thing.
    fn tls_info(id: u64, key: u64, what: i32) -> i32;

    /// Hands a socket over: to the process (`kind` 0), to the owner of the channel (1), or to whoever claims it (2), and
    /// until then it stays the caller's. It is claimed by the process that receives its handle. Nothing happens if it has
    /// been claimed already.
    fn hand_over(id: u64, key: u64, kind: i32, to_id: u64, to_key: u64) -> i32;

    /// Makes a socket that is being handed over the caller's.
    fn claim(id: u64, key: u64) -> i32;
}
