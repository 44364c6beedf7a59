//! The imports for sockets. Errors are those of std, with std's kinds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};

use lunatic_sys::layout::{RawHandle, SocketAddress};
use lunatic_sys::{codes, net};

/// The receiver of a socket that is handed over.
#[derive(Clone, Copy)]
pub(crate) enum Receiver {
    Process(RawHandle),
    ChannelOwner(RawHandle),
    /// Whoever claims it; until then it stays the caller's.
    Anybody,
}

/// Translates a negative result.
#[cold]
fn error(code: i32) -> io::Error {
    match code {
        codes::INVALID => io::Error::new(
            io::ErrorKind::InvalidInput,
            "the socket does not exist: its handle was not given out by this host",
        ),
        codes::CLOSED => io::Error::new(
            io::ErrorKind::NotConnected,
            "the socket no longer belongs to this process: it was closed or handed over",
        ),
        codes::FULL | codes::EMPTY => io::ErrorKind::WouldBlock.into(),
        codes::TIMED_OUT => io::ErrorKind::TimedOut.into(),
        codes::LIMIT => io::Error::new(io::ErrorKind::QuotaExceeded, super::text()),
        codes::DENIED => io::Error::new(io::ErrorKind::PermissionDenied, super::text()),
        codes::NO_HOST => io::Error::new(io::ErrorKind::NotFound, super::text()),
        codes::TLS_FAILED => io::Error::new(io::ErrorKind::InvalidData, super::text()),
        codes::BAD_CONFIG => io::Error::new(io::ErrorKind::InvalidInput, super::text()),
        codes::TRUNCATED => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the peer closed the connection without ending TLS first: the data may be truncated",
        ),
        // The numbers are those of WASI, which std uses on this target.
        code if code < codes::IO_ERROR => io::Error::from_raw_os_error(codes::IO_ERROR - code),
        code => super::unknown_code(code),
    }
}

#[inline]
fn check(code: i32) -> io::Result<usize> {
    // The call may have waited.
    super::woke();
    if code >= 0 { Ok(code as usize) } else { Err(error(code)) }
}

/// Decodes an address from the host; a socket without an address gets the unspecified one.
fn address(raw: &SocketAddress) -> SocketAddr {
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    raw.address().unwrap_or(nowhere)
}

pub(crate) fn resolve(host: &str, port: u16, timeout_ns: u64) -> io::Result<Vec<SocketAddr>> {
    // SAFETY: `host` is readable for its length.
    check(unsafe { net::resolve(host.as_ptr(), host.len(), port.into(), timeout_ns) })?;
    let found = super::buffer();
    Ok(SocketAddress::decode_all(&found).map(|raw| address(&raw)).collect())
}

pub(crate) fn tcp_listen(at: SocketAddr) -> io::Result<RawHandle> {
    let (at, mut out) = (SocketAddress::from(at), RawHandle::default());
    // SAFETY: `at` is readable and `out` writable, each for its type.
    check(unsafe { net::tcp_listen(&raw const at, &raw mut out) })?;
    Ok(out)
}

pub(crate) fn tcp_connect(to: SocketAddr, timeout_ns: u64) -> io::Result<RawHandle> {
    let (to, mut out) = (SocketAddress::from(to), RawHandle::default());
    // SAFETY: `to` is readable and `out` writable, each for its type.
    check(unsafe { net::tcp_connect(&raw const to, timeout_ns, &raw mut out) })?;
    Ok(out)
}

pub(crate) fn tcp_connect_host(host: &str, port: u16, timeout_ns: u64) -> io::Result<RawHandle> {
    let mut out = RawHandle::default();
    // SAFETY: `host` is readable for its length, and `out` is writable for its type.
    check(unsafe { net::tcp_connect_host(host.as_ptr(), host.len(), port.into(), timeout_ns, &raw mut out) })?;
    Ok(out)
}

pub(crate) fn accept(socket: RawHandle, timeout_ns: u64) -> io::Result<(RawHandle, SocketAddr)> {
    let (mut peer, mut out) = (SocketAddress::default(), RawHandle::default());
    // SAFETY: `peer` and `out` are writable for their types.
    check(unsafe { net::accept(socket.id, socket.key, timeout_ns, &raw mut peer, &raw mut out) })?;
    Ok((out, address(&peer)))
}

#[inline]
pub(crate) fn read(socket: RawHandle, to: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `to` is writable for its length.
    check(unsafe { net::read(socket.id, socket.key, to.as_mut_ptr(), to.len()) })
}

pub(crate) fn peek(socket: RawHandle, to: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `to` is writable for its length.
    check(unsafe { net::peek(socket.id, socket.key, to.as_mut_ptr(), to.len()) })
}

/// Writes; waits if nothing can be written immediately. It first tries the call that never waits, because that costs
/// the host less, and usually there is room.
#[inline]
pub(crate) fn write(socket: RawHandle, from: &[u8]) -> io::Result<usize> {
    // SAFETY: `from` is readable for its length.
    let mut code = unsafe { net::try_write(socket.id, socket.key, from.as_ptr(), from.len()) };
    if code == codes::FULL {
        // SAFETY: as above.
        code = unsafe { net::write(socket.id, socket.key, from.as_ptr(), from.len()) };
    }
    check(code)
}

/// Writes without waiting.
pub(crate) fn try_write(socket: RawHandle, from: &[u8]) -> io::Result<usize> {
    // SAFETY: `from` is readable for its length.
    check(unsafe { net::try_write(socket.id, socket.key, from.as_ptr(), from.len()) })
}

/// Reads without waiting.
pub(crate) fn try_read(socket: RawHandle, to: &mut [u8]) -> io::Result<usize> {
    // A time that has passed when the read has found nothing. 0 is not possible.
    const AT_ONCE: u64 = 1;
    let timeout = option(socket, codes::option::READ_TIMEOUT)?;
    set_option(socket, codes::option::READ_TIMEOUT, AT_ONCE)?;
    let read = read(socket, to);
    set_option(socket, codes::option::READ_TIMEOUT, timeout)?;
    match read {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(io::ErrorKind::WouldBlock.into()),
        read => read,
    }
}

pub(crate) fn udp_bind(at: SocketAddr) -> io::Result<RawHandle> {
    let (at, mut out) = (SocketAddress::from(at), RawHandle::default());
    // SAFETY: `at` is readable and `out` writable, each for its type.
    check(unsafe { net::udp_bind(&raw const at, &raw mut out) })?;
    Ok(out)
}

pub(crate) fn udp_connect(socket: RawHandle, to: SocketAddr) -> io::Result<()> {
    let to = SocketAddress::from(to);
    // SAFETY: `to` is readable for its type.
    check(unsafe { net::udp_connect(socket.id, socket.key, &raw const to) }).map(drop)
}

pub(crate) fn send_to(socket: RawHandle, from: &[u8], to: SocketAddr) -> io::Result<usize> {
    let to = SocketAddress::from(to);
    // SAFETY: `to` is readable for its type, `from` for its length.
    check(unsafe { net::send_to(socket.id, socket.key, &raw const to, from.as_ptr(), from.len()) })
}

pub(crate) fn receive_from(socket: RawHandle, to: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
    let mut peer = SocketAddress::default();
    let (at, len) = (to.as_mut_ptr(), to.len());
    // SAFETY: `to` is writable for its length, `peer` for its type.
    let len = check(unsafe { net::receive_from(socket.id, socket.key, at, len, peek.into(), &raw mut peer) })?;
    Ok((len, address(&peer)))
}

/// `interface` is an IPv4 address, or an IPv6 address with its scope id.
pub(crate) fn multicast(socket: RawHandle, group: IpAddr, interface: SocketAddr, join: bool) -> io::Result<()> {
    let (group, interface) = (
        SocketAddress::from(SocketAddr::new(group, 0)),
        SocketAddress::from(interface),
    );
    // SAFETY: `group` and `interface` are readable for their types.
    check(unsafe {
        net::multicast(
            socket.id,
            socket.key,
            &raw const group,
            &raw const interface,
            join.into(),
        )
    })
    .map(drop)
}

pub(crate) fn unix_listen(path: &str) -> io::Result<RawHandle> {
    let mut out = RawHandle::default();
    // SAFETY: `path` is readable for its length, and `out` is writable for its type.
    check(unsafe { net::unix_listen(path.as_ptr(), path.len(), &raw mut out) })?;
    Ok(out)
}

pub(crate) fn unix_connect(path: &str) -> io::Result<RawHandle> {
    let mut out = RawHandle::default();
    // SAFETY: `path` is readable for its length, and `out` is writable for its type.
    check(unsafe { net::unix_connect(path.as_ptr(), path.len(), &raw mut out) })?;
    Ok(out)
}

pub(crate) fn unix_pair() -> io::Result<[RawHandle; 2]> {
    let (mut one, mut other) = (RawHandle::default(), RawHandle::default());
    // SAFETY: both are writable for their type.
    check(unsafe { net::unix_pair(&raw mut one, &raw mut other) })?;
    Ok([one, other])
}

pub(crate) fn tls_config(text: &str) -> io::Result<RawHandle> {
    let mut out = RawHandle::default();
    // SAFETY: `text` is readable for its length, and `out` is writable for its type.
    check(unsafe { net::tls_config(text.as_ptr(), text.len(), &raw mut out) })?;
    Ok(out)
}

pub(crate) fn tls_replace(config: RawHandle, text: &str) -> io::Result<()> {
    // SAFETY: `text` is readable for its length.
    check(unsafe { net::tls_replace(config.id, config.key, text.as_ptr(), text.len()) }).map(drop)
}

/// A server passes an empty `name`.
pub(crate) fn tls_start(tcp: RawHandle, config: RawHandle, name: &str) -> io::Result<RawHandle> {
    let mut out = RawHandle::default();
    let (at, len) = (name.as_ptr(), name.len());
    // SAFETY: `name` is readable for its length, and `out` is writable for its type.
    check(unsafe { net::tls_start(tcp.id, tcp.key, config.id, config.key, at, len, &raw mut out) })?;
    Ok(out)
}

pub(crate) fn tls_info(socket: RawHandle, what: i32) -> io::Result<Option<Vec<u8>>> {
    // SAFETY: the import takes numbers only.
    match unsafe { net::tls_info(socket.id, socket.key, what) } {
        codes::EMPTY => Ok(None),
        code => check(code).map(|_| Some(super::buffer())),
    }
}

pub(crate) fn shutdown(socket: RawHandle, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => 0,
        Shutdown::Write => 1,
        Shutdown::Both => 2,
    };
    // SAFETY: the import takes numbers only.
    check(unsafe { net::shutdown(socket.id, socket.key, how) }).map(drop)
}

/// Closes a handle; does nothing if it does not belong to the caller any more.
pub(crate) fn close(socket: RawHandle) {
    // SAFETY: the import takes numbers only.
    unsafe { net::close(socket.id, socket.key) };
}

pub(crate) fn clone(socket: RawHandle) -> io::Result<RawHandle> {
    let mut out = RawHandle::default();
    // SAFETY: `out` is writable for its type.
    check(unsafe { net::clone(socket.id, socket.key, &raw mut out) })?;
    Ok(out)
}

pub(crate) fn local_address(socket: RawHandle) -> io::Result<SocketAddr> {
    let mut out = SocketAddress::default();
    // SAFETY: `out` is writable for its type.
    check(unsafe { net::local_address(socket.id, socket.key, &raw mut out) })?;
    Ok(address(&out))
}

pub(crate) fn peer_address(socket: RawHandle) -> io::Result<SocketAddr> {
    let mut out = SocketAddress::default();
    // SAFETY: `out` is writable for its type.
    check(unsafe { net::peer_address(socket.id, socket.key, &raw mut out) })?;
    Ok(address(&out))
}

pub(crate) fn option(socket: RawHandle, option: i32) -> io::Result<u64> {
    let mut out = 0;
    // SAFETY: `out` is writable for its type.
    check(unsafe { net::get_option(socket.id, socket.key, option, &raw mut out) })?;
    Ok(out)
}

pub(crate) fn set_option(socket: RawHandle, option: i32, value: u64) -> io::Result<()> {
    // SAFETY: the import takes numbers only.
    check(unsafe { net::set_option(socket.id, socket.key, option, value) }).map(drop)
}

/// Hands a socket over. The error is `Closed` if the receiver has exited, or the socket does not belong to the caller.
pub(crate) fn hand_over(socket: RawHandle, to: Receiver) -> Result<(), super::Refused> {
    let (kind, to) = match to {
        Receiver::Process(to) => (codes::receiver::PROCESS, to),
        Receiver::ChannelOwner(to) => (codes::receiver::CHANNEL, to),
        Receiver::Anybody => (codes::receiver::ANYBODY, RawHandle::default()),
    };
    // SAFETY: the import takes numbers only.
    super::check(unsafe { net::hand_over(socket.id, socket.key, kind, to.id, to.key) }).map(drop)
}

pub(crate) fn claim(socket: RawHandle) -> io::Result<()> {
    // SAFETY: the import takes numbers only.
    check(unsafe { net::claim(socket.id, socket.key) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cross_and_come_back() {
        for text in ["127.0.0.1:80", "[::1]:0", "[fe80::1%7]:65535"] {
            let own: SocketAddr = text.parse().unwrap();
            assert_eq!(address(&own.into()), own);
        }
    }

    #[test]
    fn errors_have_kinds() {
        for (code, kind) in [
            (codes::CLOSED, io::ErrorKind::NotConnected),
            (codes::TIMED_OUT, io::ErrorKind::TimedOut),
            (codes::INVALID, io::ErrorKind::InvalidInput),
            (codes::FULL, io::ErrorKind::WouldBlock),
        ] {
            assert_eq!(check(code).unwrap_err().kind(), kind);
        }
        assert_eq!(check(codes::IO_ERROR - 14).unwrap_err().raw_os_error(), Some(14));
    }
}
