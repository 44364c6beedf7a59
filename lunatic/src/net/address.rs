//! Addresses, and names that are resolved to addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::vec;

use lunatic_sys::codes::NO_TIMEOUT;

use crate::host;

/// Resolves the name of a host to addresses; waits for the answer.
///
/// To connect to a host, pass its name to [`TcpStream::connect`](super::TcpStream::connect) instead: a process may have
/// the right to connect to a name without the right to connect to its addresses.
///
/// # Errors
///
/// - [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to resolve this name.
/// - [`NotFound`](io::ErrorKind::NotFound) if the name has no address.
pub fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses = host::net::resolve(name, 0, NO_TIMEOUT)?;
    Ok(addresses.into_iter().map(|address| address.ip()).collect())
}

/// The target of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These addresses, tried one after the other.
    Addresses(Vec<SocketAddr>),
    /// A host and a port: the name of the host is resolved.
    Host(String, u16),
}

/// Values that name addresses, like [`std::net::ToSocketAddrs`]: addresses, `"host:port"`, `("host", port)`.
pub trait ToSocketAddrs {
    /// Returns the target without resolving a name.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if a text is not of the form `host:port`.
    fn target(&self) -> io::Result<Target>;

    /// Returns the addresses; a name is resolved.
    ///
    /// # Errors
    ///
    /// As for [`target`](Self::target) and [`resolve`].
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let addresses = match self.target()? {
            Target::Addresses(addresses) => addresses,
            Target::Host(host, port) => host::net::resolve(&host, port, NO_TIMEOUT)?,
        };
        Ok(addresses.into_iter())
    }
}

fn of_text(text: &str) -> io::Result<Target> {
    if let Ok(address) = text.parse() {
        return Ok(Target::Addresses(vec![address]));
    }
    let parts = text
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) => (host, port).target(),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{text:?} is not an address: write HOST:PORT"),
        )),
    }
}

impl ToSocketAddrs for str {
    fn target(&self) -> io::Result<Target> {
        of_text(self)
    }
}

impl ToSocketAddrs for String {
    fn target(&self) -> io::Result<Target> {
        of_text(self)
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn target(&self) -> io::Result<Target> {
        let (host, port) = *self;
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        Ok(match bare.parse::<IpAddr>() {
            Ok(ip) => Target::Addresses(vec![SocketAddr::new(ip, port)]),
            Err(_) => Target::Host(host.to_owned(), port),
        })
    }
}

impl ToSocketAddrs for (String, u16) {
    fn target(&self) -> io::Result<Target> {
        (&*self.0, self.1).target()
    }
}

impl ToSocketAddrs for [SocketAddr] {
    fn target(&self) -> io::Result<Target> {
        Ok(Target::Addresses(self.to_vec()))
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {
    fn target(&self) -> io::Result<Target> {
        self.as_slice().target()
    }
}

macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            fn target(&self) -> io::Result<Target> {
                Ok(Target::Addresses(vec![SocketAddr::from(*self)]))
            }
        }
    )*};
}
one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

/// Adds the address to an error that is about it; `what` completes "cannot …". Errors with a text from the host name it
/// already. Others, such as too many open files, are not about the address: they stay as they are, with the number of
/// the operating system.
pub(super) fn name_address(error: io::Error, what: &str, address: impl fmt::Display) -> io::Error {
    use io::ErrorKind::*;
    let is_about_it = matches!(
        error.kind(),
        AddrInUse
            | AddrNotAvailable
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
            | NotFound
            | PermissionDenied
            | TimedOut
    );
    if error.get_ref().is_some() || !is_about_it {
        return error;
    }
    io::Error::new(error.kind(), format!("cannot {what} {address}: {error}"))
}

/// Tries addresses one after the other, and returns the first success or the last error. `what` is the operation, such
/// as "connect to".
pub(super) fn first<T>(
    target: &impl ToSocketAddrs,
    what: &str,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try");
    for address in target.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = name_address(error, what, address),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_address_that_was_tried_last() {
        let addresses: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        let in_use = |_| Err::<(), _>(io::ErrorKind::AddrInUse.into());
        let error = first(&addresses, "listen at", in_use).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with("cannot listen at [::1]:2: "), "{error}");
        // These keep their text, or their number.
        let denied = io::Error::new(io::ErrorKind::PermissionDenied, "the process may not");
        assert_eq!(
            name_address(denied, "listen at", "x").to_string(),
            "the process may not"
        );
        let too_many = name_address(io::Error::from_raw_os_error(33), "connect to", "x");
        assert_eq!(too_many.raw_os_error(), Some(33));
    }

    #[test]
    fn texts_are_addresses_or_names() {
        let address = |text: &str| Target::Addresses(vec![text.parse().unwrap()]);
        for (text, target) in [
            ("127.0.0.1:80", address("127.0.0.1:80")),
            ("[::1]:80", address("[::1]:80")),
            ("localhost:80", Target::Host("localhost".into(), 80)),
            ("a.b.c:65535", Target::Host("a.b.c".into(), 65535)),
        ] {
            assert_eq!(text.target().unwrap(), target, "{text}");
        }
        for text in [
            "",
            "localhost",
            "localhost:",
            "localhost:65536",
            "localhost:http",
            "127.0.0.1",
        ] {
            assert_eq!(text.target().unwrap_err().kind(), io::ErrorKind::InvalidInput, "{text}");
        }
        assert_eq!(("::1", 1).target().unwrap(), address("[::1]:1"));
        assert_eq!(("host".to_owned(), 1).target().unwrap(), Target::Host("host".into(), 1));
    }
}
