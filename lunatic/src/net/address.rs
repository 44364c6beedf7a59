//! Addresses, and names that are looked up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::vec;

use lunatic_sys::codes::NO_TIMEOUT;

use crate::host;

/// Looks up the addresses of a host. Waits for them.
///
/// To connect to a host, give its name to [`TcpStream::connect`](super::TcpStream::connect): a process may have the right
/// to a name without that to its addresses.
///
/// # Errors
///
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) without the right to look up this name;
/// [`NotFound`](io::ErrorKind::NotFound) if it has no address.
pub fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses = host::net::resolve(name, 0, NO_TIMEOUT)?;
    Ok(addresses.into_iter().map(|address| address.ip()).collect())
}

/// What can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These addresses, one after the other.
    Addresses(Vec<SocketAddr>),
    /// A host and a port: the host is looked up.
    Host(String, u16),
}

/// What names addresses, as `std::net::ToSocketAddrs`: addresses, `"host:port"`, `("host", port)`.
pub trait ToSocketAddrs {
    /// What is meant, without looking anything up.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the text is none.
    fn target(&self) -> io::Result<Target>;

    /// The addresses; a name is looked up.
    ///
    /// # Errors
    ///
    /// As [`target`](Self::target) and [`resolve`].
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
            format!("{text:?} is no address: write HOST:PORT"),
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

/// Tries addresses one after the other, and gives back the last error.
pub(super) fn first<T>(
    target: &impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try");
    for address in target.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

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
