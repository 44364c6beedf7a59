//! The first bytes of a connection in each direction, and the form of frames.
//!
//! A greeting is the magic bytes, the length of the rest (32 bits), the cluster and the name (short text), the
//! incarnation, the address to dial (short text), and the number of known nodes (16 bits), each with its name, its
//! incarnation and its address. After the greetings, frames follow, each with its length (32 bits).

use std::io::{self, Read};
use std::net::SocketAddr;

use super::PEERS_MAX;
use super::guard::Peer;
use crate::codec::{Reader, Write};
use crate::frame::{FRAME_LEN_MAX, FRAME_LEN_MIN};
use crate::identity::{Identity, NAME_LEN_MAX, is_name};

const MAGIC: &[u8; 8] = b"LUNATCP1";
/// The maximum length of an address as text.
const ADDRESS_LEN_MAX: usize = 64;
/// The maximum length of a greeting: with all nodes that one may know.
const GREETING_LEN_MAX: usize = (PEERS_MAX + 2) * (NAME_LEN_MAX + ADDRESS_LEN_MAX + 16);

/// How a node introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) cluster: Box<str>,
    pub(super) identity: Identity,
    /// Where the node can be dialled.
    pub(super) address: SocketAddr,
    /// Other nodes that it knows.
    pub(super) known: Vec<(Identity, SocketAddr)>,
}

impl Greeting {
    /// Whether somebody introduces itself with a name that is not the proven one.
    pub(super) fn is_of_another(&self, peer: Option<&Peer>) -> bool {
        peer.is_some_and(|peer| peer.name != self.identity.name)
    }

    pub(super) fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        let mut rest = Vec::new();
        rest.put_short(self.cluster.as_bytes());
        put_node(&mut rest, &self.identity, self.address);
        let count = self.known.len().min(PEERS_MAX);
        rest.put_u16(count as u16);
        for (node, address) in &self.known[..count] {
            put_node(&mut rest, node, *address);
        }
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(rest.len() as u32).put(&rest);
        to.write_all(&bytes)
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 12];
        from.read_exact(&mut head)?;
        let len = u32::from_le_bytes(head[8..].try_into().expect("four bytes")) as usize;
        if head[..8] != *MAGIC || len > GREETING_LEN_MAX {
            return Err(wrong());
        }
        let mut rest = vec![0; len];
        from.read_exact(&mut rest)?;
        Self::parse(Reader::new(&rest)).ok_or_else(wrong)
    }

    fn parse(mut from: Reader<'_>) -> Option<Self> {
        let cluster = from.text(NAME_LEN_MAX).filter(|name| is_name(name))?.into();
        let (identity, address) = take_node(&mut from)?;
        let count = usize::from(from.u16()?);
        let known: Vec<_> = (0..count.min(PEERS_MAX)).map_while(|_| take_node(&mut from)).collect();
        (known.len() == count && from.is_empty()).then_some(Self {
            cluster,
            identity,
            address,
            known,
        })
    }
}

fn put_node(to: &mut Vec<u8>, node: &Identity, address: SocketAddr) {
    to.put_short(node.name.as_bytes()).put_u64(node.incarnation);
    to.put_short(address.to_string().as_bytes());
}

fn take_node(from: &mut Reader<'_>) -> Option<(Identity, SocketAddr)> {
    let name = from.text(NAME_LEN_MAX)?;
    let identity = Identity::new(name, from.u64()?)?;
    Some((identity, from.text(ADDRESS_LEN_MAX)?.parse().ok()?))
}

pub(super) fn wrong() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the other side is not a node of this cluster",
    )
}

/// Writes frames, each with its length, in one go.
pub(super) fn write_frames(to: &mut impl io::Write, frames: &[Vec<u8>], buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    for frame in frames {
        buffer.put_u32(frame.len() as u32).put(frame);
    }
    to.write_all(buffer)
}

/// Reads one frame.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if !(FRAME_LEN_MIN..=FRAME_LEN_MAX).contains(&len) {
        return Err(wrong());
    }
    let mut frame = vec![0; len];
    from.read_exact(&mut frame)?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn greeting() -> Greeting {
        let node = |name| (Identity::new(name, 7).unwrap(), "127.0.0.1:4000".parse().unwrap());
        Greeting {
            cluster: "dev".into(),
            identity: Identity::new("a@here", 9).unwrap(),
            address: "[::1]:5000".parse().unwrap(),
            known: vec![node("b"), node("c")],
        }
    }

    #[test]
    fn a_greeting_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        greeting().write(&mut bytes).unwrap();
        assert_eq!(Greeting::read(&mut &bytes[..]).unwrap(), greeting());
    }

    #[test]
    fn no_bytes_break_the_reader() {
        let mut good = Vec::new();
        greeting().write(&mut good).unwrap();
        for end in 0..good.len() {
            assert!(Greeting::read(&mut &good[..end]).is_err(), "{end}");
        }
        let mut random = Random(1);
        for _ in 0..10_000 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            // It may still be a greeting, such as one of another name.
            if let Ok(read) = Greeting::read(&mut &bytes[..]) {
                assert!(read.known.len() <= PEERS_MAX);
            }
        }
        for len in [0, FRAME_LEN_MIN - 1, FRAME_LEN_MAX + 1] {
            let bytes = [&(len as u32).to_le_bytes()[..], &vec![0; len]].concat();
            assert!(read_frame(&mut &bytes[..]).is_err(), "{len}");
        }
    }
}
