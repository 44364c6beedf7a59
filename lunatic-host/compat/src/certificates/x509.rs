//! The parts of X.509 that are needed here: the name in a certificate, and requests to be signed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{DistinguishedName, DnType, DnValue, PublicKeyData, SanType, SignatureAlgorithm};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag};

/// The attribute that holds the extensions of a request, and the extension for alternative names.
const EXTENSIONS: [u64; 7] = [1, 2, 840, 113549, 1, 9, 14];
const OTHER_NAMES: [u64; 4] = [2, 5, 29, 17];
const DNS_NAME: u64 = 2;
const IP_ADDRESS: u64 = 7;

fn invalid() -> ASN1Error {
    ASN1Error::new(ASN1ErrorKind::Invalid)
}

/// The subject of a certificate in PEM.
pub(super) fn subject(pem: &str) -> Option<DistinguishedName> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let read = yasna::parse_der(&certificate, |reader| {
        reader.read_sequence(|reader| {
            let name = reader.next().read_sequence(|reader| {
                // The version; then number, algorithm, issuer and validity.
                reader.read_optional(|reader| reader.read_tagged(Tag::context(0), |reader| reader.read_i64()))?;
                for _ in 0..4 {
                    reader.next().read_der()?;
                }
                let name = distinguished_name(reader.next())?;
                skip_rest(reader)?;
                Ok(name)
            })?;
            skip_rest(reader)?;
            Ok(name)
        })
    });
    read.ok()
}

fn skip_rest(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<()> {
    while reader.read_optional(|reader| reader.read_der())?.is_some() {}
    Ok(())
}

fn distinguished_name(reader: BERReader<'_, '_>) -> ASN1Result<DistinguishedName> {
    let mut name = DistinguishedName::new();
    reader.read_sequence_of(|reader| {
        reader.read_set_of(|reader| {
            reader.read_sequence(|reader| {
                let ty = reader.next().read_oid()?;
                let value = value(&reader.next().read_der()?)?;
                name.push(DnType::from_oid(ty.components()), value);
                Ok(())
            })
        })
    })?;
    Ok(name)
}

fn value(der: &[u8]) -> ASN1Result<DnValue> {
    let text = |tag| {
        yasna::parse_der(der, |reader| {
            reader.read_tagged_implicit(tag, |reader| reader.read_bytes())
        })
    };
    let text = |number| {
        let bytes = text(Tag {
            tag_class: yasna::TagClass::Universal,
            tag_number: number,
        })?;
        String::from_utf8(bytes).map_err(|_| invalid())
    };
    match der.first() {
        Some(12) => Ok(DnValue::Utf8String(text(12)?)),
        Some(19) => Ok(DnValue::PrintableString(text(19)?.try_into().map_err(|_| invalid())?)),
        Some(22) => Ok(DnValue::Ia5String(text(22)?.try_into().map_err(|_| invalid())?)),
        _ => Err(invalid()),
    }
}

/// A public key, as bits.
pub(super) struct Key {
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// A request that was signed with the key that it is for.
pub(super) struct Request {
    pub(super) name: DistinguishedName,
    pub(super) other_names: Vec<SanType>,
    pub(super) key: Key,
}

/// Decodes a request in PEM; `None` if it is malformed or was not signed with its key.
pub(super) fn request(pem: &str) -> Option<Request> {
    let request = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).ok()?;
    let parts = yasna::parse_der(&request, |reader| {
        reader.read_sequence(|reader| {
            let info = reader.next().read_der()?;
            let algorithm = reader.next().read_der()?;
            Ok((info, algorithm, whole_bytes(reader.next())?))
        })
    });
    let (info, algorithm, signature) = parts.ok()?;
    let (name, key_info, other_names) = yasna::parse_der(&info, |reader| {
        reader.read_sequence(|reader| {
            reader.next().read_i64()?;
            let name = distinguished_name(reader.next())?;
            let key = reader.next().read_der()?;
            let names = reader.next().read_tagged_implicit(Tag::context(0), attributes)?;
            Ok((name, key, names))
        })
    })
    .ok()?;
    let key = key(&key_info, &algorithm)?;
    verified(&key_info, &algorithm, &info, &signature).then_some(Request { name, other_names, key })
}

/// The alternative names among the attributes of a request.
fn attributes(reader: BERReader<'_, '_>) -> ASN1Result<Vec<SanType>> {
    let mut names = Vec::new();
    reader.read_set_of(|reader| {
        reader.read_sequence(|reader| {
            let ty = reader.next().read_oid()?;
            if ty.components().as_slice() != EXTENSIONS {
                return skip_rest(reader);
            }
            reader.next().read_set_of(|reader| {
                reader.read_sequence_of(|reader| {
                    reader.read_sequence(|reader| {
                        let ty = reader.next().read_oid()?;
                        reader.read_optional(|reader| reader.read_bool())?;
                        let value = reader.next().read_bytes()?;
                        if ty.components().as_slice() == OTHER_NAMES {
                            names.extend(other_names(&value)?);
                        }
                        Ok(())
                    })
                })
            })
        })
    })?;
    Ok(names)
}

fn other_names(der: &[u8]) -> ASN1Result<Vec<SanType>> {
    let mut names = Vec::new();
    yasna::parse_der(der, |reader| {
        reader.read_sequence_of(|reader| {
            let tag = reader.lookahead_tag()?;
            let bytes = reader.read_tagged_implicit(tag, |reader| reader.read_bytes())?;
            let text = || String::from_utf8(bytes.clone()).map_err(|_| invalid());
            names.push(match tag.tag_number {
                DNS_NAME => SanType::DnsName(text()?.try_into().map_err(|_| invalid())?),
                IP_ADDRESS => SanType::IpAddress(ip(&bytes).ok_or_else(invalid)?),
                _ => return Err(invalid()),
            });
            Ok(())
        })
    })?;
    Ok(names)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4: Option<[u8; 4]> = bytes.try_into().ok();
    let v6: Option<[u8; 16]> = bytes.try_into().ok();
    v4.map(|ip| Ipv4Addr::from(ip).into())
        .or_else(|| v6.map(|ip| Ipv6Addr::from(ip).into()))
}

/// A string of bits whose length is a whole number of bytes.
fn whole_bytes(reader: BERReader<'_, '_>) -> ASN1Result<Vec<u8>> {
    let (bytes, bits) = reader.read_bitvec_bytes()?;
    if bits == bytes.len() * 8 {
        Ok(bytes)
    } else {
        Err(invalid())
    }
}

/// The algorithm and the bits of a key.
fn key_parts(info: &[u8]) -> ASN1Result<(Vec<u8>, Vec<u8>)> {
    yasna::parse_der(info, |reader| {
        reader.read_sequence(|reader| Ok((reader.next().read_der()?, whole_bytes(reader.next())?)))
    })
}

/// The key of a request that is signed with this algorithm.
fn key(info: &[u8], algorithm: &[u8]) -> Option<Key> {
    let oid = yasna::parse_der(algorithm, |reader| {
        reader.read_sequence(|reader| {
            let oid = reader.next().read_oid()?;
            skip_rest(reader)?;
            Ok(oid)
        })
    });
    let key = Key {
        bits: key_parts(info).ok()?.1,
        algorithm: SignatureAlgorithm::from_oid(oid.ok()?.components()).ok()?,
    };
    // Several kinds of keys share an algorithm: accepted is only the kind for which it is encoded like this.
    (key.subject_public_key_info() == info).then_some(key)
}

/// The content of a value, without its tag and length.
fn content(der: &[u8]) -> &[u8] {
    let head = match der.get(1) {
        Some(len) if len & 0x80 != 0 => 2 + usize::from(len & 0x7f),
        _ => 2,
    };
    der.get(head..).unwrap_or_default()
}

/// Whether the key has signed the message.
fn verified(key_info: &[u8], algorithm: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok((key_algorithm, bits)) = key_parts(key_info) else {
        return false;
    };
    let all = default_provider().signature_verification_algorithms.all;
    let mut fitting = all.iter().filter(|known| {
        known.signature_alg_id().as_ref() == content(algorithm)
            && known.public_key_alg_id().as_ref() == content(&key_algorithm)
    });
    fitting.any(|known| known.verify_signature(&bits, message, signature).is_ok())
}
