//! Conversions between [`SocketAddress`] and `std::net::SocketAddr`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use crate::layout::SocketAddress;

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        let mut raw = Self {
            family: if address.is_ipv4() { 4 } else { 6 },
            port: address.port().into(),
            ..Self::default()
        };
        match address {
            SocketAddr::V4(v4) => raw.ip[..4].copy_from_slice(&v4.ip().octets()),
            SocketAddr::V6(v6) => {
                raw.ip = v6.ip().octets();
                (raw.flow_info, raw.scope_id) = (v6.flowinfo(), v6.scope_id());
            }
        }
        raw
    }
}

impl SocketAddress {
    /// Converts the address to std's type. `None` if the family is neither 4 nor 6, or the port is above 65,535.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        let port = u16::try_from(self.port).ok()?;
        match self.family {
            4 => {
                let [a, b, c, d, ..] = self.ip;
                Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port))
            }
            6 => Some(SocketAddrV6::new(self.ip.into(), port, self.flow_info, self.scope_id).into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cross_and_come_back() {
        for text in ["127.0.0.1:80", "255.1.2.3:1", "[::1]:0", "[fe80::1%7]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let bytes = SocketAddress::from(address).encode();
            assert_eq!(SocketAddress::decode(&bytes).address(), Some(address), "{text}");
        }
        let flow = SocketAddr::V6(SocketAddrV6::new([1; 16].into(), 2, 3, 4));
        assert_eq!(SocketAddress::from(flow).address(), Some(flow));
    }

    #[test]
    fn what_is_no_address_is_none() {
        assert_eq!(SocketAddress::default().address(), None, "no family");
        let mut raw = SocketAddress::from("1.2.3.4:5".parse::<SocketAddr>().unwrap());
        raw.port += 1 << 16;
        assert_eq!(raw.address(), None, "a port has sixteen bits");
        for family in (0..=255).chain([u32::MAX, 4 << 8, 6 << 24]) {
            raw = SocketAddress { family, ..raw };
            raw.port = 9;
            assert_eq!(raw.address().is_some(), [4, 6].contains(&family), "{family}");
        }
    }
}
