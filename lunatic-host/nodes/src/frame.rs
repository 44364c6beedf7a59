//! Frames: what one node hands to the transport for another. `docs/wire.md` specifies them for other implementations.

use crate::codec::{Reader, Write};
use crate::identity::{Identity, NAME_LEN_MAX, NodeId};
use crate::trust::PROOF_LEN_MAX;

/// The oldest and the newest version of the wire format that this crate speaks.
pub const VERSIONS: (u16, u16) = (1, 2);
/// The maximum length of the pieces in one frame, in bytes.
pub const PIECES_LEN_MAX: usize = 64 << 10;
/// The maximum length of a frame, in bytes.
pub const FRAME_LEN_MAX: usize = PIECES_LEN_MAX + 128;

/// The minimum length of a frame, in bytes: its kind and its route.
pub const FRAME_LEN_MIN: usize = 33;

const MAGIC: &[u8; 4] = b"LUNA";
const HELLO: u8 = 1;
const DATA: u8 = 2;
const BEAT: u8 = 3;
const BYE: u8 = 4;

/// The sender, the receiver and the epoch of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's session. The two sessions together are the epoch.
    pub mine: u64,
    /// The receiver's session if the sender knows it; otherwise 0.
    pub theirs: u64,
}

/// The content of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// The sender wants to begin an epoch, or has begun one.
    Hello(Hello),
    /// Pieces of records.
    Data {
        /// The number of the frame, from 1.
        seq: u64,
        /// What the sender has received.
        state: State,
        /// The pieces, in the format of [`inbox`](crate::inbox).
        pieces: &'a [u8],
    },
    /// A sign of life.
    Beat {
        /// The number of the last data frame.
        seq: u64,
        /// What the sender has received.
        state: State,
        /// Whether the sender wants an answer immediately.
        asks: bool,
    },
    /// The sender ends the epoch.
    Bye,
}

/// What the sender of a frame has received so far, and how much it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The number of the last data frame that has arrived.
    pub ack: u64,
    /// How many bytes of pieces may be sent to it, counted from the start of the epoch.
    pub limit: u64,
}

/// How nodes begin to talk to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest and the newest version that the sender speaks.
    pub versions: (u16, u16),
    /// Whether the sender does not yet know that the receiver knows its session, and waits for an answer.
    pub asks: bool,
    /// How many bytes of pieces may be on their way to the sender.
    pub window: u32,
    /// The cluster.
    pub cluster: Box<str>,
    /// The sender.
    pub identity: Identity,
    /// The proof that its [`Trust`](crate::trust::Trust) gives for all that precedes it.
    pub proof: Vec<u8>,
}

/// Whether these bytes claim to be a hello.
pub(crate) fn is_hello(frame: &[u8]) -> bool {
    frame.first() == Some(&HELLO)
}

impl Route {
    fn head(self, kind: u8, len: usize) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRAME_LEN_MIN + len);
        frame.put_u8(kind).put_u64(self.from.0).put_u64(self.to.0);
        frame.put_u64(self.mine).put_u64(self.theirs);
        frame
    }

    /// Encodes a hello. `prove` makes the proof of the bytes that precede it.
    pub fn hello(self, hello: &Hello, prove: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let mut frame = self.head(HELLO, 256);
        frame.put(MAGIC).put_u16(hello.versions.0).put_u16(hello.versions.1);
        frame.put_u8(hello.asks.into()).put_u32(hello.window);
        frame.put_short(hello.cluster.as_bytes());
        frame.put_short(hello.identity.name.as_bytes());
        frame.put_u64(hello.identity.incarnation);
        // Room for additions of later versions, which others skip.
        frame.put_short(&[]);
        let proof = prove(&frame);
        frame.put_short(&proof);
        frame
    }

    /// Encodes a data frame.
    pub fn data(self, seq: u64, state: State, pieces: &[u8]) -> Vec<u8> {
        let mut frame = self.head(DATA, 24 + pieces.len());
        frame.put_u64(seq).put_u64(state.ack).put_u64(state.limit).put(pieces);
        frame
    }

    /// Encodes a sign of life.
    pub fn beat(self, seq: u64, state: State, asks: bool) -> Vec<u8> {
        let mut frame = self.head(BEAT, 25);
        frame.put_u64(seq).put_u64(state.ack).put_u64(state.limit);
        frame.put_u8(asks.into());
        frame
    }

    /// Encodes the end of an epoch.
    pub fn bye(self) -> Vec<u8> {
        self.head(BYE, 0)
    }
}

/// A decoded frame. `statement` is the part of a hello that its proof covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The sender, the receiver and the epoch.
    pub route: Route,
    /// The content.
    pub body: Body<'a>,
    /// The bytes that the proof of a hello covers; empty for other frames.
    pub statement: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Decodes a frame, which may come from anybody; `None` if it is malformed.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > FRAME_LEN_MAX.max(PROOF_LEN_MAX + 1024) {
            return None;
        }
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let route = Route {
            from: NodeId(reader.u64()?),
            to: NodeId(reader.u64()?),
            mine: reader.u64()?,
            theirs: reader.u64()?,
        };
        let mut statement: &[u8] = &[];
        let body = match kind {
            HELLO => {
                let (hello, proof_len) = Hello::read(&mut reader)?;
                statement = &bytes[..bytes.len() - 2 - proof_len];
                Body::Hello(hello)
            }
            DATA => {
                let (seq, state) = (reader.u64()?, State::read(&mut reader)?);
                let pieces = reader.rest();
                (1..=PIECES_LEN_MAX).contains(&pieces.len()).then_some(())?;
                Body::Data { seq, state, pieces }
            }
            BEAT => Body::Beat {
                seq: reader.u64()?,
                state: State::read(&mut reader)?,
                asks: reader.u8()? == 1,
            },
            BYE => Body::Bye,
            _ => return None,
        };
        reader.is_empty().then_some(Self { route, body, statement })
    }
}

impl State {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            ack: reader.u64()?,
            limit: reader.u64()?,
        })
    }
}

impl Hello {
    fn read(reader: &mut Reader<'_>) -> Option<(Self, usize)> {
        (reader.bytes(4)? == MAGIC).then_some(())?;
        let versions = (reader.u16()?, reader.u16()?);
        let (asks, window) = (reader.u8()? == 1, reader.u32()?);
        let cluster = reader.text(NAME_LEN_MAX)?.into();
        let name = reader.text(NAME_LEN_MAX)?;
        let identity = Identity::new(name, reader.u64()?)?;
        let _later = reader.short(512)?;
        let proof = reader.short(PROOF_LEN_MAX)?.to_vec();
        let proof_len = proof.len();
        let hello = Self {
            versions,
            asks,
            window,
            cluster,
            identity,
            proof,
        };
        Some((hello, proof_len))
    }

    /// The newest version that both speak, if there is one.
    pub fn version(&self, own: (u16, u16)) -> Option<u16> {
        let newest = self.versions.1.min(own.1);
        (newest >= self.versions.0.max(own.0)).then_some(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route {
        from: NodeId(1),
        to: NodeId(2),
        mine: 3,
        theirs: 4,
    };

    fn hello() -> Hello {
        Hello {
            versions: (1, 2),
            asks: true,
            window: 5,
            cluster: "c".into(),
            identity: Identity::new("a", 6).unwrap(),
            proof: b"proof".to_vec(),
        }
    }

    #[test]
    fn frames_are_read_as_they_were_written_and_shorter_ones_are_not_read() {
        let state = State { ack: 8, limit: 9 };
        let frames = [
            (ROUTE.hello(&hello(), |_| b"proof".to_vec()), Body::Hello(hello())),
            (
                ROUTE.data(7, state, b"x"),
                Body::Data {
                    seq: 7,
                    state,
                    pieces: b"x",
                },
            ),
            (
                ROUTE.beat(7, state, true),
                Body::Beat {
                    seq: 7,
                    state,
                    asks: true,
                },
            ),
            (ROUTE.bye(), Body::Bye),
        ];
        for (bytes, body) in frames {
            let read = Frame::read(&bytes).unwrap();
            assert_eq!((read.route, read.body), (ROUTE, body));
            for len in 0..bytes.len() {
                assert_eq!(Frame::read(&bytes[..len]), None);
            }
        }
    }

    #[test]
    fn the_statement_is_all_that_stands_before_the_proof() {
        let mut stated = Vec::new();
        let bytes = ROUTE.hello(&hello(), |statement| {
            stated = statement.to_vec();
            b"proof".to_vec()
        });
        assert_eq!(Frame::read(&bytes).unwrap().statement, stated);
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        let of = |versions| Hello { versions, ..hello() };
        assert_eq!(of((1, 1)).version((1, 2)), Some(1));
        assert_eq!(of((1, 3)).version((2, 4)), Some(3));
        assert_eq!(of((1, 1)).version((2, 3)), None);
        assert_eq!(of((4, 5)).version((2, 3)), None);
        assert_eq!(of((5, 4)).version((1, 9)), None);
    }
}
