//! Records: what nodes send each other within an epoch, in order.
//!
//! A record is a byte for its kind, and the fields of that kind. A receiver skips unknown kinds from 128 on; any other
//! unknown kind ends the epoch.

use lunatic_kernel::delivery::Signal;
use lunatic_kernel::errand::{Answer, Errand};
use lunatic_kernel::exit::ExitReason;
use lunatic_sys::codes::{MESSAGE_LEN_MAX, REASON_HEAD_LEN, REASON_TEXT_LEN_MAX};
use lunatic_sys::trace::{PARENT_LEN, STATE_LEN_MAX};

use crate::attributes::Attributes;
use crate::codec::{Reader, Write};
use crate::errands;
use crate::outbox::Pair;

/// The maximum length of the name of a process or group, in bytes.
pub const KEY_LEN_MAX: usize = 255;
/// The maximum length of the text that says why a spawn was refused, in bytes.
pub const REFUSAL_LEN_MAX: usize = 1024;
/// The maximum length of the text of a reason that links and monitors report to other nodes, in bytes: a process that
/// ends sends one such record for each of them.
pub const ENDING_TEXT_MAX: usize = 1024;
/// The maximum length of a request for a spawn, in bytes.
pub const REQUEST_LEN_MAX: usize = 1 << 20;
/// How many bytes of a module one record carries at most.
pub const CHUNK_LEN: usize = 48 << 10;
/// The first version of the wire format in which messages have trace contexts.
pub const TRACED_SINCE: u16 = 2;
/// The maximum length of a trace context as text, in bytes.
const TRACE_LEN_MAX: usize = PARENT_LEN + STATE_LEN_MAX;
/// How many bits the number of a process has on the wire: slot and use.
const PROCESS_BITS: u32 = 52;

/// The BLAKE3 hash of a module's bytes.
pub type Hash = [u8; 32];

/// One record. Processes and channels are named by slot and use, as in [`Id`](lunatic_kernel::address::Id): `from`,
/// `parent` and `process` live on the sender's node, `to` on the receiver's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// The keys of the sender's addresses; the first record of each epoch.
    Keys([u8; 20]),
    /// The attributes of the sender. They come after its keys, if there are any.
    Attributes(Attributes),
    /// A signal from one process to another, or between a process and a channel.
    Signal {
        /// The sending process or channel.
        from: u64,
        /// The receiving process or channel.
        to: u64,
        /// The signal.
        signal: Signal<'a>,
    },
    /// A process requests a child on the receiver's node.
    Spawn {
        /// The future parent.
        parent: u64,
        /// The parent's own number for the request, under which the answer comes.
        request: u64,
        /// Whether the child is linked to the parent from the start.
        link: bool,
        /// The reference under which the parent monitors the child from the start; 0 for no monitor.
        monitor: u64,
        /// What to spawn, encoded by the hosts.
        what: &'a [u8],
    },
    /// The child was spawned.
    Spawned {
        /// The parent.
        to: u64,
        /// The number of the request.
        request: u64,
        /// The child.
        process: u64,
    },
    /// The child was not spawned.
    NotSpawned {
        /// The process that requested it.
        to: u64,
        /// The number of the request.
        request: u64,
        /// The reason, as text for people.
        why: &'a str,
    },
    /// A process of the sender's node has a name.
    Named {
        /// The name.
        name: &'a [u8],
        /// The process.
        process: u64,
        /// If two nodes have given the same name, the larger priority wins.
        priority: u8,
    },
    /// A name of the sender's node is free again.
    Unnamed {
        /// The name.
        name: &'a [u8],
    },
    /// A process of the sender's node is in a group.
    Joined {
        /// The group.
        group: &'a [u8],
        /// The process.
        process: u64,
    },
    /// A process of the sender's node has left a group.
    Left {
        /// The group.
        group: &'a [u8],
        /// The process.
        process: u64,
    },
    /// The sender requests a part of a module.
    Get {
        /// The hash of the whole module.
        hash: Hash,
        /// Where the part begins.
        offset: u32,
    },
    /// A part of a module.
    Chunk {
        /// The hash of the whole module.
        hash: Hash,
        /// Where the part begins.
        offset: u32,
        /// The length of the whole module.
        total: u32,
        /// The part.
        bytes: &'a [u8],
    },
    /// The sender does not have the module, or does not give it.
    Missing {
        /// The hash of the module.
        hash: Hash,
    },
}

/// The result of decoding a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read<'a> {
    /// A record of a known kind.
    Known(Record<'a>),
    /// A kind that a later version may know: to be skipped.
    PassOver,
    /// Bytes that no peer may send.
    Wrong,
}

mod kind {
    pub(super) const KEYS: u8 = 1;
    pub(super) const MESSAGE: u8 = 2;
    pub(super) const EXIT: u8 = 3;
    pub(super) const LINK: u8 = 4;
    pub(super) const UNLINK: u8 = 5;
    pub(super) const MONITOR: u8 = 6;
    pub(super) const DEMONITOR: u8 = 7;
    pub(super) const DOWN: u8 = 8;
    pub(super) const SPAWN: u8 = 9;
    pub(super) const SPAWNED: u8 = 10;
    pub(super) const NOT_SPAWNED: u8 = 11;
    pub(super) const NAMED: u8 = 12;
    pub(super) const UNNAMED: u8 = 13;
    pub(super) const JOINED: u8 = 14;
    pub(super) const LEFT: u8 = 15;
    pub(super) const GET: u8 = 16;
    pub(super) const CHUNK: u8 = 17;
    pub(super) const MISSING: u8 = 18;
    pub(super) const UNLINKED: u8 = 19;
    pub(super) const ERRAND: u8 = 20;
    pub(super) const ANSWERED: u8 = 21;
    pub(super) const ATTRIBUTES: u8 = 22;
    /// Since [`TRACED_SINCE`](super::TRACED_SINCE).
    pub(super) const TRACED: u8 = 23;
    pub(super) const OPTIONAL: u8 = 128;
}

impl Record<'_> {
    /// The pair whose records keep their order with this one.
    pub(crate) fn pair(&self) -> Pair {
        match self {
            Self::Signal { from, to, .. } => (*from, *to),
            // As for all records from the child to its parent, so that this one comes first; the parent cannot send to
            // the child earlier.
            Self::Spawn { parent, request, .. } => (*parent, *request),
            Self::Spawned { to, process, .. } => (*process, *to),
            Self::NotSpawned { to, request, .. } => (*request, *to),
            // Numbers of processes are never this large.
            Self::Get { hash, .. } | Self::Chunk { hash, .. } | Self::Missing { hash } => {
                (u64::MAX, u64::from(hash[0]))
            }
            _ => (0, 0),
        }
    }

    /// Whether it may be refused for lack of room: messages, spawns and errands.
    pub(crate) fn can_wait(&self) -> bool {
        let signal = match self {
            Self::Spawn { .. } => return true,
            Self::Signal { signal, .. } => signal,
            _ => return false,
        };
        match signal {
            Signal::Message { .. } => true,
            Signal::Errand { errand, .. } => *errand != Errand::Withdraw,
            _ => false,
        }
    }

    /// Whether its sender has asked for room, and it must not be refused any more: the message of a channel.
    pub(crate) fn was_admitted(&self) -> bool {
        let Self::Signal { signal, .. } = self else {
            return false;
        };
        matches!(
            signal,
            Signal::Answered {
                answer: Answer::Message(_),
                ..
            }
        )
    }

    /// About the length of the encoded record if it [can wait](Self::can_wait) and may be long, otherwise 0.
    pub(crate) fn waiting_len(&self) -> usize {
        match self {
            Self::Signal {
                signal: Signal::Message { body, .. },
                ..
            } => 25 + body.len(),
            Self::Spawn { what, .. } => 26 + what.len(),
            _ => 0,
        }
    }

    /// Encodes the record.
    pub fn write(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(64);
        match self {
            Self::Keys(keys) => _ = to.put_u8(kind::KEYS).put(keys),
            Self::Signal {
                from,
                to: receiver,
                signal,
            } => write_signal(&mut to, *from, *receiver, signal),
            Self::Spawn {
                parent,
                request,
                link,
                monitor,
                what,
            } => {
                to.put_u8(kind::SPAWN).put_u64(*parent).put_u64(*request);
                to.put_u8((*link).into()).put_u64(*monitor).put(what);
            }
            Self::Spawned {
                to: parent,
                request,
                process,
            } => {
                _ = to
                    .put_u8(kind::SPAWNED)
                    .put_u64(*parent)
                    .put_u64(*request)
                    .put_u64(*process)
            }
            Self::NotSpawned {
                to: parent,
                request,
                why,
            } => {
                to.put_u8(kind::NOT_SPAWNED).put_u64(*parent).put_u64(*request);
                to.put_short(&why.as_bytes()[..why.floor_char_boundary(REFUSAL_LEN_MAX)]);
            }
            other => other.write_more(&mut to),
        }
        to
    }

    /// The part of [`write`](Self::write) for names and modules.
    fn write_more(&self, to: &mut Vec<u8>) {
        match self {
            Self::Named {
                name,
                process,
                priority,
            } => {
                _ = to
                    .put_u8(kind::NAMED)
                    .put_short(name)
                    .put_u64(*process)
                    .put_u8(*priority)
            }
            Self::Attributes(attributes) => {
                to.put_u8(kind::ATTRIBUTES);
                attributes.write(to);
            }
            Self::Unnamed { name } => _ = to.put_u8(kind::UNNAMED).put_short(name),
            Self::Joined { group, process } => _ = to.put_u8(kind::JOINED).put_short(group).put_u64(*process),
            Self::Left { group, process } => _ = to.put_u8(kind::LEFT).put_short(group).put_u64(*process),
            Self::Get { hash, offset } => _ = to.put_u8(kind::GET).put(hash).put_u32(*offset),
            Self::Chunk {
                hash,
                offset,
                total,
                bytes,
            } => {
                _ = to
                    .put_u8(kind::CHUNK)
                    .put(hash)
                    .put_u32(*offset)
                    .put_u32(*total)
                    .put(bytes)
            }
            Self::Missing { hash } => _ = to.put_u8(kind::MISSING).put(hash),
            _ => unreachable!("written by the caller"),
        }
    }

    /// Decodes what a peer has sent.
    pub fn read(bytes: &[u8]) -> Read<'_> {
        match bytes.first() {
            None => Read::Wrong,
            Some(kind) if *kind >= kind::OPTIONAL => Read::PassOver,
            Some(kind) => read(*kind, Reader::new(&bytes[1..])).map_or(Read::Wrong, Read::Known),
        }
    }
}

fn write_signal(bytes: &mut Vec<u8>, from: u64, to: u64, signal: &Signal<'_>) {
    let mut head = |kind| {
        bytes.put_u8(kind).put_u64(from).put_u64(to);
    };
    match signal {
        Signal::Message { tag, body, trace: "" } => {
            head(kind::MESSAGE);
            bytes.reserve_exact(8 + body.len());
            bytes.put_u64(*tag).put(body);
        }
        Signal::Message { tag, body, trace } => {
            head(kind::TRACED);
            bytes.reserve_exact(10 + trace.len() + body.len());
            bytes.put_u64(*tag).put_short(trace.as_bytes()).put(body);
        }
        Signal::Exit { reason, sent } => {
            head(kind::EXIT);
            let text_max = if *sent { REASON_TEXT_LEN_MAX } else { ENDING_TEXT_MAX };
            bytes.put_u8((*sent).into()).put(&reason_bytes(reason, text_max));
        }
        Signal::Link => head(kind::LINK),
        Signal::Unlink => head(kind::UNLINK),
        Signal::Unlinked => head(kind::UNLINKED),
        Signal::Monitor { reference } => {
            head(kind::MONITOR);
            bytes.put_u64(*reference);
        }
        Signal::Demonitor { reference } => {
            head(kind::DEMONITOR);
            bytes.put_u64(*reference);
        }
        Signal::Down { reference, reason } => {
            head(kind::DOWN);
            bytes.put_u64(*reference).put(&reason_bytes(reason, ENDING_TEXT_MAX));
        }
        Signal::Errand { number, errand } => {
            head(kind::ERRAND);
            bytes.put_u64(*number);
            errands::write(bytes, errand);
        }
        Signal::Answered { number, answer } => {
            head(kind::ANSWERED);
            bytes.put_u64(*number);
            errands::write_answer(bytes, answer);
        }
        _ => unreachable!("a signal that has no place on the wire"),
    }
}

/// Encodes an exit reason; its text is cut to this length.
fn reason_bytes(reason: &ExitReason, text_max: usize) -> Vec<u8> {
    let mut bytes = reason.to_bytes().1;
    let text = reason.text();
    if text.len() > text_max {
        bytes.truncate(REASON_HEAD_LEN + text.floor_char_boundary(text_max));
    }
    bytes
}

fn read(kind: u8, mut from: Reader<'_>) -> Option<Record<'_>> {
    let record = match kind {
        kind::KEYS => Record::Keys(from.bytes(20)?.try_into().ok()?),
        kind::MESSAGE..=kind::DOWN | kind::UNLINKED..=kind::ANSWERED | kind::TRACED => read_signal(kind, &mut from)?,
        kind::SPAWN => Record::Spawn {
            parent: process(&mut from)?,
            request: from.u64()?,
            link: from.u8()? == 1,
            monitor: from.u64()?,
            what: (from.len() <= REQUEST_LEN_MAX).then(|| from.rest())?,
        },
        kind::SPAWNED => Record::Spawned {
            to: process(&mut from)?,
            request: from.u64()?,
            process: process(&mut from)?,
        },
        kind::NOT_SPAWNED => Record::NotSpawned {
            to: process(&mut from)?,
            request: from.u64()?,
            why: from.text(REFUSAL_LEN_MAX)?,
        },
        kind::NAMED => Record::Named {
            name: from.short(KEY_LEN_MAX)?,
            process: process(&mut from)?,
            priority: from.u8()?,
        },
        kind::UNNAMED => Record::Unnamed {
            name: from.short(KEY_LEN_MAX)?,
        },
        kind::JOINED => Record::Joined {
            group: from.short(KEY_LEN_MAX)?,
            process: process(&mut from)?,
        },
        kind::LEFT => Record::Left {
            group: from.short(KEY_LEN_MAX)?,
            process: process(&mut from)?,
        },
        kind::GET => Record::Get {
            hash: from.hash()?,
            offset: from.u32()?,
        },
        kind::CHUNK => Record::Chunk {
            hash: from.hash()?,
            offset: from.u32()?,
            total: from.u32()?,
            bytes: (from.len() <= CHUNK_LEN).then(|| from.rest())?,
        },
        kind::MISSING => Record::Missing { hash: from.hash()? },
        kind::ATTRIBUTES => Record::Attributes(Attributes::read(&mut from)?),
        _ => return None,
    };
    from.is_empty().then_some(record)
}

fn read_signal<'a>(kind: u8, bytes: &mut Reader<'a>) -> Option<Record<'a>> {
    let (from, to) = (process(bytes)?, process(bytes)?);
    let signal = match kind {
        kind::MESSAGE => Signal::Message {
            tag: bytes.u64()?,
            trace: "",
            body: (bytes.len() <= MESSAGE_LEN_MAX).then(|| bytes.rest())?,
        },
        kind::TRACED => Signal::Message {
            tag: bytes.u64()?,
            trace: bytes.text(TRACE_LEN_MAX)?,
            body: (bytes.len() <= MESSAGE_LEN_MAX).then(|| bytes.rest())?,
        },
        kind::EXIT => {
            let sent = bytes.u8()? == 1;
            let reason = ExitReason::from_bytes(bytes.rest())?;
            Signal::Exit { reason, sent }
        }
        kind::LINK => Signal::Link,
        kind::UNLINK => Signal::Unlink,
        kind::UNLINKED => Signal::Unlinked,
        kind::MONITOR => Signal::Monitor {
            reference: bytes.u64()?,
        },
        kind::DEMONITOR => Signal::Demonitor {
            reference: bytes.u64()?,
        },
        kind::DOWN => Signal::Down {
            reference: bytes.u64()?,
            reason: ExitReason::from_bytes(bytes.rest())?,
        },
        kind::ERRAND => Signal::Errand {
            number: bytes.u64()?,
            errand: errands::read(bytes)?,
        },
        kind::ANSWERED => Signal::Answered {
            number: bytes.u64()?,
            answer: errands::read_answer(bytes)?,
        },
        _ => return None,
    };
    Some(Record::Signal { from, to, signal })
}

/// The number of a process; slot 0 is never valid.
fn process(from: &mut Reader<'_>) -> Option<u64> {
    let number = from.u64()?;
    let has_slot = lunatic_kernel::address::Id::from_raw(number).slot() != 0;
    (number >> PROCESS_BITS == 0 && has_slot).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let signal = |signal| Record::Signal { from: 1, to: 2, signal };
        let reason = ExitReason::Error("no".into());
        let records = [
            Record::Keys([7; 20]),
            Record::Attributes(Attributes::parse(["zone=eu", "cores=8"]).unwrap()),
            signal(Signal::Message {
                tag: 3,
                body: b"x",
                trace: "",
            }),
            signal(Signal::Message {
                tag: 3,
                body: b"x",
                trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01a=1",
            }),
            signal(Signal::Exit {
                reason: reason.clone(),
                sent: true,
            }),
            signal(Signal::Link),
            signal(Signal::Unlink),
            signal(Signal::Unlinked),
            signal(Signal::Monitor { reference: 4 }),
            signal(Signal::Demonitor { reference: 4 }),
            signal(Signal::Down { reference: 4, reason }),
            signal(Signal::Errand {
                number: 5,
                errand: Errand::Send {
                    body: b"x",
                    waits: true,
                },
            }),
            signal(Signal::Answered {
                number: 5,
                answer: Answer::Message(b"x"),
            }),
            Record::Spawn {
                parent: 1,
                request: 2,
                link: true,
                monitor: 3,
                what: b"entry",
            },
            Record::Spawned {
                to: 1,
                request: 2,
                process: 3,
            },
            Record::NotSpawned {
                to: 1,
                request: 2,
                why: "full",
            },
            Record::Named {
                name: b"n",
                process: 1,
                priority: 2,
            },
            Record::Unnamed { name: b"n" },
            Record::Joined {
                group: b"g",
                process: 1,
            },
            Record::Left {
                group: b"g",
                process: 1,
            },
            Record::Get {
                hash: [1; 32],
                offset: 2,
            },
            Record::Chunk {
                hash: [1; 32],
                offset: 2,
                total: 3,
                bytes: b"x",
            },
            Record::Missing { hash: [1; 32] },
        ];
        for record in records {
            let bytes = record.write();
            assert!(record.waiting_len() <= bytes.len() && (record.can_wait() || record.waiting_len() == 0));
            assert_eq!(Record::read(&bytes), Read::Known(record));
        }
    }

    #[test]
    fn what_no_process_can_be_is_refused_and_later_kinds_are_passed_over() {
        let signal = Signal::Link;
        for from in [0, 1 << 52, 1 << 26] {
            let record = Record::Signal {
                from,
                to: 1,
                signal: signal.clone(),
            };
            assert_eq!(Record::read(&record.write()), Read::Wrong);
        }
        assert_eq!(Record::read(&[]), Read::Wrong);
        assert_eq!(Record::read(&[127]), Read::Wrong);
        assert_eq!(Record::read(&[128, 1, 2]), Read::PassOver);
    }
}
