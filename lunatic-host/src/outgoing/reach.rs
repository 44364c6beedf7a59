//! From the name of a server to a TCP connection that the process may have. The address that is checked is the one that is
//! used.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::uri::Authority;
use lunatic_net::resolve::NAME_LEN_MAX;
use tokio::net::TcpStream;

use super::SendError;
use crate::rights::denial;
use crate::rights::net::{Verb, normal};
use crate::wasm::{Kernel, Process};

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Address(SocketAddr),
    /// The name of a host, in its [normal] form, and a port.
    Name(String, u16),
}

impl Target {
    /// Reads the host and the port of an authority; `None` if it has another form.
    pub(crate) fn of(authority: &Authority, default_port: u16) -> Option<Self> {
        let (text, host) = (authority.as_str(), authority.host());
        // Names and passwords of users are no part of it in HTTP.
        let port = match text.strip_prefix(host)?.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if text.len() == host.len() => default_port,
            None => return None,
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
            return Some(Self::Address(SocketAddr::new(ip, port)));
        }
        let is_name = bare.is_none() && (1..=NAME_LEN_MAX).contains(&host.len());
        is_name.then(|| Self::Name(normal(host), port))
    }
}

/// As in a rule for the network.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// Logs that a request was denied.
pub(crate) fn deny(process: &Process, target: &Target) {
    let (target, flag) = (target.to_string(), format!("--allow-net {target}"));
    denial::log(process, "may not send an HTTP request to", &target, &flag);
}

/// Connects to the first address of the target that answers and that the process may connect to. That it may look up the
/// name, or connect to the address, must have been checked before.
pub(super) async fn connect(
    kernel: &Arc<Kernel>,
    process: &Arc<Process>,
    target: &Target,
) -> Result<TcpStream, SendError> {
    let (name, port) = match target {
        Target::Address(address) => return connect_to(*address).await,
        Target::Name(name, port) => (name, *port),
    };
    let (host, rights) = (&kernel.host, &process.local.rights);
    let found = host.net.resolver.resolve(&host.io, &rights.group, name, port).await;
    let found = found.map_err(|_| SendError::NoHost)?;
    let mut failure = match found.is_empty() {
        true => SendError::NoHost,
        false => SendError::Denied,
    };
    for address in found {
        if !rights.net.allows_normal(Verb::Connect, Some(name), Some(address)) {
            continue;
        }
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    if failure == SendError::Denied {
        deny(process, target);
    }
    Err(failure)
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream, SendError> {
    let connected = TcpStream::connect(address).await;
    connected.map_err(|error| SendError::of_connect(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_hosts_and_ports() {
        let check = |text: &str, expected: Option<&str>| {
            let authority: Authority = text.parse().unwrap();
            let target = Target::of(&authority, 80).map(|target| target.to_string());
            assert_eq!(target.as_deref(), expected, "{text}");
        };
        check("Example.com", Some("example.com:80"));
        check("example.com.:8080", Some("example.com:8080"));
        check("127.0.0.1", Some("127.0.0.1:80"));
        check("127.0.0.1:1", Some("127.0.0.1:1"));
        check("[::1]:443", Some("[::1]:443"));
        check("[::1]", Some("[::1]:80"));
        check("user@example.com", None);
        check("user:word@example.com:80", None);
        check("example.com:", None);
        check("example.com:65536", None);
        let long: Authority = "a".repeat(NAME_LEN_MAX + 1).parse().unwrap();
        assert_eq!(Target::of(&long, 80), None);
    }
}
