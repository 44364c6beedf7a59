//! `lunatic::net`: sockets.
//!
//! A socket belongs to one process and closes when that process exits. Calls return [`codes::OK`](crate::codes::OK)
//! unless stated otherwise. An error of the operating system is [`codes::IO_ERROR`](crate::codes::IO_ERROR) minus the
//! number that WASI preview 1 has for it. If the socket does not belong to the caller (any more), calls return
//! [`codes::CLOSED`](crate::codes::CLOSED). If the caller does not have the right, they return
//! [`codes::DENIED`](crate::codes::DENIED), with the reason as text in the buffer.

use crate::layout::{RawHandle, SocketAddress};

crate::imports! {
    namespace "lunatic::net";

    /// Resolves the name of a host; waits for the answer. Returns the number of addresses, which are in the buffer;
    /// [`codes::NO_HOST`](crate::codes::NO_HOST), with the reason as text in the buffer; or
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT).
    fn resolve(host: *const u8, host_len: usize, port: i32, timeout_ns: u64) -> i32;

    /// Listens for TCP connections at an address, and writes the handle of the socket to `out`.
    fn tcp_listen(address: *const SocketAddress, out: *mut RawHandle) -> i32;

    /// Connects to an address; waits until the connection is established.
    fn tcp_connect(address: *const SocketAddress, timeout_ns: u64, out: *mut RawHandle) -> i32;

    /// Resolves the name of a host and connects to its addresses, one after the other, until one answers.
    fn tcp_connect_host(host: *const u8, host_len: usize, port: i32, timeout_ns: u64, out: *mut RawHandle) -> i32;

    /// Waits for a connection to a listener and accepts it. Writes the address of the peer to `peer`; the family is 0
    /// if the peer has no IP address.
    fn accept(id: u64, key: u64, timeout_ns: u64, peer: *mut SocketAddress, out: *mut RawHandle) -> i32;

    /// Reads bytes; waits until there are some. Returns how many, 0 at the end of the stream. If the read timeout of
    /// the socket passes, no bytes were taken.
    fn read(id: u64, key: u64, to: *mut u8, to_len: usize) -> i32;

    /// Reads as `read` does, but leaves the bytes to be read again.
    fn peek(id: u64, key: u64, to: *mut u8, to_len: usize) -> i32;

    /// Writes as many bytes as there is room for, without waiting. Returns how many, or
    /// [`codes::FULL`](crate::codes::FULL) if there is no room.
    fn try_write(id: u64, key: u64, from: *const u8, from_len: usize) -> i32;

    /// Writes as many bytes as there is room for; waits until there is some room. Returns how many.
    fn write(id: u64, key: u64, from: *const u8, from_len: usize) -> i32;

    /// Binds a UDP socket to an address.
    fn udp_bind(address: *const SocketAddress, out: *mut RawHandle) -> i32;

    /// Connects a UDP socket to an address: `write` sends datagrams to it, and only datagrams from it are received.
    fn udp_connect(id: u64, key: u64, address: *const SocketAddress) -> i32;

    /// Sends a datagram to an address; waits until there is room.
    fn send_to(id: u64, key: u64, address: *const SocketAddress, from: *const u8, from_len: usize) -> i32;

    /// Waits for a datagram and takes it, or leaves it to be received again if `peek` is not 0. Returns its length, cut
    /// to `to_len`. Writes the address of its sender to `address`.
    fn receive_from(id: u64, key: u64, to: *mut u8, to_len: usize, peek: i32, address: *mut SocketAddress) -> i32;

    /// Joins (`join` 1) or leaves (0) a multicast group. `interface` is an IPv4 address of the interface, or an IPv6
    /// address whose scope id is the index of the interface.
    fn multicast(
        id: u64,
        key: u64,
        group: *const SocketAddress,
        interface: *const SocketAddress,
        join: i32,
    ) -> i32;

    /// Listens at a path in one of the caller's folders, where no file must exist yet.
    fn unix_listen(path: *const u8, path_len: usize, out: *mut RawHandle) -> i32;

    /// Connects to a path in one of the caller's folders.
    fn unix_connect(path: *const u8, path_len: usize, out: *mut RawHandle) -> i32;

    /// Makes two streams that are connected to each other.
    fn unix_pair(one: *mut RawHandle, other: *mut RawHandle) -> i32;

    /// Shuts down reading (0), writing (1) or both (2).
    fn shutdown(id: u64, key: u64, how: i32) -> i32;

    /// Closes the caller's handle of a socket.
    fn close(id: u64, key: u64) -> i32;

    /// Makes another handle of the same socket.
    fn clone(id: u64, key: u64, out: *mut RawHandle) -> i32;

    /// Writes the address that the socket is bound to.
    fn local_address(id: u64, key: u64, out: *mut SocketAddress) -> i32;

    /// Writes the address that the socket is connected to.
    fn peer_address(id: u64, key: u64, out: *mut SocketAddress) -> i32;

    /// Writes the value of an option, one of [`codes::option`](crate::codes::option).
    fn get_option(id: u64, key: u64, option: i32, out: *mut u64) -> i32;

    /// Sets an option.
    fn set_option(id: u64, key: u64, option: i32, value: u64) -> i32;

    /// Reads a TLS configuration (entries `KEY=VALUE`, each followed by a zero byte) and writes its handle to `out`. It
    /// is dropped when the caller exits. Returns [`codes::BAD_CONFIG`](crate::codes::BAD_CONFIG), with the reason as
    /// text in the buffer, if it is invalid.
    fn tls_config(text: *const u8, text_len: usize, out: *mut RawHandle) -> i32;

    /// Replaces a TLS configuration: new connections use the new one.
    fn tls_replace(id: u64, key: u64, text: *const u8, text_len: usize) -> i32;

    /// Drops a TLS configuration of the caller's.
    fn tls_drop(id: u64, key: u64) -> i32;

    /// Starts TLS on a TCP connection, waits for the handshake, and writes the handle of the TLS stream to `out`. A
    /// client passes the name of the server that it connects to, a server a name of length 0. The caller must close the
    /// handle of the connection.
    fn tls_start(
        id: u64,
        key: u64,
        config_id: u64,
        config_key: u64,
        name: *const u8,
        name_len: usize,
        out: *mut RawHandle,
    ) -> i32;

    /// Puts information about a TLS stream into the buffer: one of [`codes::tls_info`](crate::codes::tls_info). Returns
    /// [`codes::EMPTY`](crate::codes::EMPTY) if there is none.
    fn tls_info(id: u64, key: u64, what: i32) -> i32;

    /// Hands a socket over: to a process (`kind` 0), to the owner of a channel (1), or to whoever claims it (2), in
    /// which case it stays the caller's until then. The process that receives the handle claims the socket. Does
    /// nothing if the socket has been claimed already.
    fn hand_over(id: u64, key: u64, kind: i32, to_id: u64, to_key: u64) -> i32;

    /// Claims a socket that is being handed over: it belongs to the caller then.
    fn claim(id: u64, key: u64) -> i32;
}
