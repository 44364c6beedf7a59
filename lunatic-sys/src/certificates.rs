//! The format of [`tls_info::PEER_CERTIFICATES`](crate::codes::tls_info::PEER_CERTIFICATES): for each certificate its
//! length as a little-endian `u32`, then its DER.

/// Encodes a chain of certificates in DER.
///
/// # Panics
///
/// If a certificate has 4 GiB or more.
#[must_use]
pub fn encode(chain: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(chain.iter().map(|der| 4 + der.len()).sum());
    for der in chain {
        let len = u32::try_from(der.len()).expect("TLS has no certificates of more than 16 MiB");
        bytes.extend(len.to_le_bytes());
        bytes.extend(der);
    }
    bytes
}

/// Decodes the certificates in these bytes. Stops before the first one that is incomplete.
pub fn decode(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = bytes.split_first_chunk()?;
        let (der, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        bytes = rest;
        Some(der)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_up_to_the_last_complete_certificate() {
        let chain = [b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let bytes = encode(&chain);
        assert_eq!(bytes, b"\x03\0\0\0one\0\0\0\0\x05\0\0\0three");
        for len in 0..=bytes.len() {
            let complete = [7, 11, 20].iter().filter(|end| **end <= len).count();
            let read: Vec<_> = decode(&bytes[..len]).collect();
            assert_eq!(read, chain[..complete]);
        }
        assert_eq!(decode(&[0xff; 9]).count(), 0);
    }
}
