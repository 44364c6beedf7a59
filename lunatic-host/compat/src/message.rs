//! Messages: a tag, bytes, and resources that travel with them.

use std::fmt;
use std::sync::Arc;

use lunatic_host::Module;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer, Receipt, Resource as Counted};

use super::sockets::Open;

/// The maximum length of a message, in bytes.
const LEN_MAX: usize = lunatic_sys::codes::MESSAGE_LEN_MAX;
/// The length of the pieces that hold a message, in bytes; the last one may be shorter. A single piece would be copied
/// whenever it grows, which takes too long for one call if it is long.
const PIECE: usize = 1 << 20;
/// The most that a letter with a tag of its own takes up in memory besides its bytes: two trees hold it, whose nodes
/// are half full.
pub(crate) const HEAD_SIZE: usize = 384;
/// What an entry in the list of resources costs in memory.
const RESOURCE_SIZE: usize = 32;
/// How many resources a message can carry: the list moves when it grows, and is dropped, in one step.
const RESOURCES_MAX: usize = 1 << 14;

/// An item in an inbox.
#[derive(Debug)]
pub(crate) enum Letter {
    Data(Message),
    /// A linked process failed; with the tag of the link.
    LinkDied(i64),
    /// A monitored process has ended.
    ProcessDied(Id),
}

impl Letter {
    /// Its tag; 0 if it has none.
    pub(crate) fn tag(&self) -> i64 {
        match self {
            Self::Data(message) => message.tag,
            Self::LinkDied(tag) => *tag,
            Self::ProcessDied(_) => 0,
        }
    }

    /// Whether it tells of an end. It has no receipt then.
    pub(crate) fn is_notice(&self) -> bool {
        !matches!(self, Self::Data(_))
    }

    /// The approximate number of steps it takes to drop it: one for each 64 KiB, and fifty for each socket, which is
    /// closed unless someone else has it.
    pub(crate) fn steps(&self) -> usize {
        const STEP_BYTES: usize = 64 << 10;
        const SOCKET_STEPS: usize = 50;
        match self {
            Self::Data(message) => 1 + message.len / STEP_BYTES + message.resources.len() * SOCKET_STEPS,
            Self::LinkDied(_) | Self::ProcessDied(_) => 1,
        }
    }
}

/// Something that a message can carry.
#[derive(Clone)]
pub(crate) enum Resource {
    Module(Arc<Module>),
    TcpStream(Arc<Open>),
    TlsStream(Arc<Open>),
    UdpSocket(Arc<Open>),
}

/// A message that is being written, sent or read.
pub(crate) struct Message {
    pub(crate) tag: i64,
    /// All except the last have [`PIECE`] bytes.
    pieces: Vec<Vec<u8>>,
    len: usize,
    /// Where the next read begins; may be beyond the end.
    position: u64,
    resources: Vec<Option<Resource>>,
    paid: Receipt,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes tagged {})", self.len, self.tag)
    }
}

/// Why an operation on a message fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageError {
    TooLong,
    QueuesFull,
    ReadBehindEnd,
    NoResource(u64),
    TooManyResources,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a message has at most {LEN_MAX} bytes"),
            Self::QueuesFull => write!(f, "there is not enough memory left for messages"),
            Self::TooManyResources => write!(f, "a message carries at most {RESOURCES_MAX} modules and sockets"),
            Self::ReadBehindEnd => write!(f, "the message was read beyond its end"),
            Self::NoResource(index) => write!(f, "the message has no resource of this kind at position {index}"),
        }
    }
}

impl std::error::Error for MessageError {}

fn grow(paid: &mut Receipt, bytes: usize) -> Result<(), MessageError> {
    paid.grow(bytes).map_err(|_| MessageError::QueuesFull)
}

impl Message {
    /// An empty message, for which `payer` pays as long as it exists.
    pub(crate) fn new(payer: &impl Payer, tag: i64) -> Result<Self, MessageError> {
        let mut paid = Receipt::new(payer.purse().to_account(), Counted::Messages);
        grow(&mut paid, HEAD_SIZE)?;
        Ok(Self {
            tag,
            pieces: Vec::new(),
            len: 0,
            position: 0,
            resources: Vec::new(),
            paid,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends bytes. If this fails, a part may have been appended.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), MessageError> {
        if self.len + bytes.len() > LEN_MAX {
            return Err(MessageError::TooLong);
        }
        let in_last = self.pieces.last().map_or(PIECE, Vec::len);
        let (end, rest) = bytes.split_at(bytes.len().min(PIECE - in_last));
        self.append(end)?;
        for piece in rest.chunks(PIECE) {
            self.begin_piece()?;
            self.append(piece)?;
        }
        Ok(())
    }

    fn begin_piece(&mut self) -> Result<(), MessageError> {
        if self.pieces.len() == self.pieces.capacity() {
            let growth = self.pieces.capacity().max(1);
            grow(&mut self.paid, growth * size_of::<Vec<u8>>())?;
            self.pieces.reserve_exact(growth);
        }
        self.pieces.push(Vec::new());
        Ok(())
    }

    /// Appends as much as fits into the last piece.
    fn append(&mut self, bytes: &[u8]) -> Result<(), MessageError> {
        let Some(piece) = self.pieces.last_mut() else {
            return Ok(());
        };
        let (len, capacity) = (piece.len() + bytes.len(), piece.capacity());
        if len > capacity {
            // At least doubles the room, so that many small writes do not move the piece each time.
            let wanted = len.max(capacity * 2).clamp(64, PIECE);
            grow(&mut self.paid, wanted - capacity)?;
            piece.reserve_exact(wanted - piece.len());
        }
        piece.extend_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Copies the next bytes into `to`, and returns how many.
    pub(crate) fn read(&mut self, to: &mut [u8]) -> Result<usize, MessageError> {
        let position = usize::try_from(self.position).map_err(|_| MessageError::ReadBehindEnd)?;
        let rest = self.len.checked_sub(position).ok_or(MessageError::ReadBehindEnd)?;
        let len = rest.min(to.len());
        let mut at = 0;
        while at < len {
            let from = position + at;
            let piece = &self.pieces[from / PIECE][from % PIECE..];
            let part = piece.len().min(len - at);
            to[at..at + part].copy_from_slice(&piece[..part]);
            at += part;
        }
        self.position += len as u64;
        Ok(len)
    }

    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// Adds a resource, and returns its index.
    pub(crate) fn push(&mut self, resource: Resource) -> Result<u64, MessageError> {
        if self.resources.len() >= RESOURCES_MAX {
            return Err(MessageError::TooManyResources);
        }
        grow(&mut self.paid, RESOURCE_SIZE)?;
        self.resources.push(Some(resource));
        Ok(self.resources.len() as u64 - 1)
    }

    /// Takes the resource at an index, if `pick` accepts its kind.
    pub(crate) fn take<T>(&mut self, index: u64, pick: fn(&Resource) -> Option<T>) -> Result<T, MessageError> {
        let place = usize::try_from(index).ok().and_then(|at| self.resources.get_mut(at));
        let place = place.ok_or(MessageError::NoResource(index))?;
        let taken = place.as_ref().and_then(pick).ok_or(MessageError::NoResource(index))?;
        *place = None;
        Ok(taken)
    }

    /// Whether resources have ever been put into it.
    pub(crate) fn has_resources(&self) -> bool {
        !self.resources.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lunatic_kernel::budget::{Account, Budget, Caps, Purse};

    use super::*;

    fn payer(messages: u64) -> Account {
        let caps = Caps {
            messages: Some(messages),
            ..Caps::default()
        };
        let budget = Budget::outermost(caps, Instant::now());
        Purse::new(None, &budget).to_account()
    }

    #[test]
    fn what_a_message_takes_up_is_charged_and_given_back() {
        let payer = payer(2000);
        let used = || payer.purse().used(Counted::Messages);
        let mut message = Message::new(&payer, 5).unwrap();
        message.write(&[1; 1000]).unwrap();
        assert_eq!(message.write(&[1; 1000]), Err(MessageError::QueuesFull));
        assert_eq!(
            (message.len(), used()),
            (1000, (1000 + HEAD_SIZE + size_of::<Vec<u8>>()) as u64)
        );
        drop(message);
        assert_eq!(used(), 0);
    }

    /// However many bytes each write and each read covers, the boundaries between pieces are invisible.
    #[test]
    fn a_long_message_is_read_as_it_was_written() {
        let bytes: Vec<u8> = (0..3 * PIECE + 1000).map(|at| (at / 7) as u8).collect();
        for step in [PIECE - 1, PIECE, PIECE / 3 + 5, 2 * PIECE + 3] {
            let mut message = Message::new(&payer(1 << 30), 0).unwrap();
            bytes.chunks(step).for_each(|part| message.write(part).unwrap());
            assert_eq!(message.len(), bytes.len());
            let mut read = vec![0; bytes.len() + 1];
            let mut at = 0;
            while at < bytes.len() {
                let end = read.len().min(at + PIECE / 2 + step);
                at += message.read(&mut read[at..end]).unwrap();
            }
            assert!(read[..at] == bytes, "{step} bytes at a time");
            let room: usize = message.pieces.iter().map(Vec::capacity).sum();
            assert!(room <= bytes.len().next_multiple_of(PIECE), "{room}");
        }
    }

    #[test]
    fn reading_goes_on_where_it_stopped_and_never_behind_the_end() {
        let mut message = Message::new(&payer(2000), 0).unwrap();
        message.write(b"hello").unwrap();
        let mut bytes = [0; 3];
        assert_eq!(message.read(&mut bytes), Ok(3));
        assert_eq!(message.read(&mut bytes), Ok(2));
        assert_eq!(&bytes[..2], b"lo");
        assert_eq!(message.read(&mut bytes), Ok(0));
        message.seek(6);
        assert_eq!(message.read(&mut bytes), Err(MessageError::ReadBehindEnd));
        message.seek(u64::MAX);
        assert_eq!(message.read(&mut bytes), Err(MessageError::ReadBehindEnd));
        message.seek(4);
        assert_eq!(message.read(&mut bytes), Ok(1));
    }
}
