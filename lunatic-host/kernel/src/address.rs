//! Names of processes and channels: ids inside the kernel, addresses outside, and why an address cannot be forged.
//!
//! An [`Id`] names a process or channel inside this kernel. It consists of the slot of a
//! [`Table`](crate::table::Table), the number of the slot's *use*, and the peer on which it lives, which is 0 for this
//! kernel. Slots are reused, but uses are not: a slot whose 2²⁶ uses are spent is retired, so an id always names the
//! same thing.
//!
//! An *address* ([`RawHandle`]) is what programs hold, store in memory and send in messages: 128 bits that mean the
//! same on every node.
//!
//! ```text
//!   id   bits  0..26  slot          key  bits  0..56  keyed hash of `id`
//!        bits 26..52  use                bits 56..64  node, upper 8 bits
//!        bits 52..64  node, lower 12 bits
//! ```
//!
//! A [`Node`] is a number of 20 bits that a runtime draws at its start: it stands for the node *and* its incarnation.
//! The key is SipHash-2-4 under a secret that is drawn at the same time, cut to 56 bits. A program has the key of an
//! address only if it was given the address, by a spawn or in a message. A node that shares its secret lets others
//! check its addresses. Keys need no memory, so even an old address of something that has ended can be told from a
//! forged one. `docs/internals/addresses.md` explains the widths.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use lunatic_sys::layout::RawHandle;
use siphasher::sip::SipHasher24;

/// The number of bits for the slot in an id.
pub const SLOT_BITS: u32 = RawHandle::SLOT_BITS;
/// The number of bits for the slot's use in an id.
pub const USE_BITS: u32 = RawHandle::USE_BITS;
/// The number of bits for the node in an address.
pub const NODE_BITS: u32 = 20;
/// How many bits of the node are in the first word of an address; the rest is at the top of the second.
const NODE_LOW_BITS: u32 = u64::BITS - SLOT_BITS - USE_BITS;
const KEY_BITS: u32 = RawHandle::KEY_BITS;

/// Names one use of a slot of a [`Table`](crate::table::Table), here or on a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u64);

/// A node that this kernel knows, by a number that only this kernel uses; 0 is this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(u16);

impl Peer {
    /// This kernel.
    pub const HERE: Self = Self(0);
    /// The largest number of peers.
    pub const MAX: u16 = (1 << NODE_LOW_BITS) - 1;

    /// Returns the peer with this number; `None` above [`MAX`](Self::MAX).
    pub fn new(number: u16) -> Option<Self> {
        (number <= Self::MAX).then_some(Self(number))
    }

    /// Returns its number.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl Id {
    /// No process or channel: slot 0 is never used.
    pub const NONE: Self = Self(0);

    /// Returns the id of a use of a slot of this kernel.
    ///
    /// # Panics
    ///
    /// In debug builds, if a number has more bits than there is room for.
    pub fn new(slot: u32, number: u32) -> Self {
        debug_assert!(slot >> SLOT_BITS == 0 && number >> USE_BITS == 0);
        Self(u64::from(number) << SLOT_BITS | u64::from(slot))
    }

    /// Returns the id from which [`raw`](Self::raw) returned the number.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Returns the id as one number.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// Returns the slot of the table.
    pub fn slot(self) -> u32 {
        self.0 as u32 & ((1 << SLOT_BITS) - 1)
    }

    /// Returns the number of the slot's use, counted from 0.
    pub fn number(self) -> u32 {
        (self.0 >> SLOT_BITS) as u32 & ((1 << USE_BITS) - 1)
    }

    /// Returns the peer on which it lives.
    pub fn peer(self) -> Peer {
        Peer((self.0 >> (SLOT_BITS + USE_BITS)) as u16)
    }

    /// Returns whether it lives in this kernel.
    pub fn is_here(self) -> bool {
        self.peer() == Peer::HERE
    }

    /// Returns the id with the same slot and use on a peer.
    #[must_use]
    pub fn on(self, peer: Peer) -> Self {
        Self(self.local() | u64::from(peer.0) << (SLOT_BITS + USE_BITS))
    }

    fn local(self) -> u64 {
        self.0 & ((1 << (SLOT_BITS + USE_BITS)) - 1)
    }
}

/// Formats the id as `#17`, or `#17.2` for the third use of slot 17; `#17.2@5` on peer 5.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.slot())?;
        match self.number() {
            0 => {}
            number => write!(f, ".{number}")?,
        }
        match self.peer() {
            Peer::HERE => Ok(()),
            Peer(peer) => write!(f, "@{peer}"),
        }
    }
}

/// Parses an id in the same format, with or without the `#`.
impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let text = text.strip_prefix('#').unwrap_or(text);
            let (text, peer) = match text.split_once('@') {
                Some((text, peer)) => (text, Peer::new(peer.parse().ok()?)?),
                None => (text, Peer::HERE),
            };
            let (slot, number) = text.split_once('.').unwrap_or((text, "0"));
            let (slot, number): (u32, u32) = (slot.parse().ok()?, number.parse().ok()?);
            let fits = slot >> SLOT_BITS == 0 && number >> USE_BITS == 0;
            fits.then(|| Self::new(slot, number).on(peer))
        };
        read().ok_or("an id is a number, or two as in 17.2")
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node and its incarnation, as in addresses; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node(u32);

impl Node {
    /// Derives a node from a random number.
    pub fn draw(random: u64) -> Self {
        // Multiplied instead of cut, so that every number but 0 is equally likely.
        let count = (1 << NODE_BITS) - 1;
        Self(((u128::from(random) * count) >> 64) as u32 + 1)
    }

    /// Returns the node in an address.
    pub fn of(address: RawHandle) -> Self {
        let low = address.id >> (SLOT_BITS + USE_BITS);
        Self((address.key >> KEY_BITS << NODE_LOW_BITS | low) as u32)
    }

    fn low(self) -> u64 {
        u64::from(self.0) << (SLOT_BITS + USE_BITS)
    }

    fn high(self) -> u64 {
        u64::from(self.0 >> NODE_LOW_BITS) << KEY_BITS
    }
}

/// Formats the node as five hexadecimal digits.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05x}", self.0)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}

/// Caches valid addresses that a process has used recently, so that they need not be hashed again. They stay valid
/// forever. Addresses of other nodes are not cached: a node that reconnects has another number.
#[derive(Debug, Default)]
pub struct Checked([Option<(RawHandle, Id)>; 2]);

impl Checked {
    /// Returns the id of an address. For an uncached address it calls `check`, which must return the same result each
    /// time.
    pub fn check(&mut self, address: RawHandle, check: impl FnOnce(RawHandle) -> Option<Id>) -> Option<Id> {
        let has = |place: &Option<(RawHandle, Id)>| place.is_some_and(|(known, _)| known == address);
        if !has(&self.0[0]) {
            if !has(&self.0[1]) {
                let id = check(address)?;
                if !id.is_here() {
                    return Some(id);
                }
                self.0[1] = Some((address, id));
            }
            self.0.swap(0, 1);
        }
        self.0[0].map(|(_, id)| id)
    }
}

/// Makes and checks the addresses of one kind of thing: processes, channels or sockets.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    node: Node,
    secret: [u8; 16],
}

impl Keys {
    /// Returns the keys of a node, with a secret of random numbers.
    pub fn new(node: Node, mut random: impl FnMut() -> u64) -> Self {
        let mut secret = [0; 16];
        secret[..8].copy_from_slice(&random().to_le_bytes());
        secret[8..].copy_from_slice(&random().to_le_bytes());
        Self { node, secret }
    }

    /// Returns the keys of the addresses of channels of the same node; these are the keys of its processes. So whoever
    /// knows the keys of the processes knows both.
    #[must_use]
    pub fn of_channels(&self) -> Self {
        let word = |label: &[u8]| {
            let mut hasher = SipHasher24::new_with_key(&self.secret);
            // Longer than the words that are hashed for addresses, so it is the hash of none of them.
            hasher.write(label);
            hasher.finish()
        };
        let words = [word(b"keys of channels 1"), word(b"keys of channels 2")].map(u64::to_le_bytes);
        let mut secret = [0; 16];
        secret.copy_from_slice(words.as_flattened());
        Self {
            node: self.node,
            secret,
        }
    }

    /// Returns the keys as bytes, for a node that is to check addresses of this one. That node can then also forge
    /// them.
    pub fn to_bytes(&self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.node.0.to_le_bytes());
        bytes[4..].copy_from_slice(&self.secret);
        bytes
    }

    /// Returns the keys from which [`to_bytes`](Self::to_bytes) returned the bytes on another node; `None` if the
    /// number of the node is invalid.
    pub fn from_bytes(bytes: &[u8; 20]) -> Option<Self> {
        let (node, secret) = bytes.split_first_chunk()?;
        let node = u32::from_le_bytes(*node);
        let secret = secret.try_into().ok()?;
        (1..1 << NODE_BITS).contains(&node).then_some(Self {
            node: Node(node),
            secret,
        })
    }

    /// Returns the node whose addresses these are.
    pub fn node(&self) -> Node {
        self.node
    }

    /// Returns the address of an id of this kernel.
    pub fn handle(&self, id: Id) -> RawHandle {
        let word = id.local() | self.node.low();
        RawHandle {
            id: word,
            key: self.key(word),
        }
    }

    /// Returns the id of an address that this node has given out; `None` for any other.
    pub fn check(&self, id: u64, key: u64) -> Option<Id> {
        (self.key(id) == key && Node::of(RawHandle { id, key }) == self.node).then(|| Id(Id(id).local()))
    }

    /// The second word of an address: its key, and the rest of its node.
    fn key(&self, word: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write_u64(word);
        hasher.finish() >> (u64::BITS - KEY_BITS) | self.node.high()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        let mut number = 0;
        Keys::new(Node::draw(rand::random()), || {
            number += 1;
            rand::random::<u64>().wrapping_add(number)
        })
    }

    #[test]
    fn an_id_shows_its_use_and_its_peer_only_if_there_is_something_to_show() {
        assert_eq!(Id::new(17, 0).to_string(), "#17");
        assert_eq!(Id::new(17, 2).to_string(), "#17.2");
        assert_eq!(Id::new(17, 2).on(Peer(5)).to_string(), "#17.2@5");
        assert_eq!(Id::new(17, 0).on(Peer(5)).to_string(), "#17@5");
    }

    #[test]
    fn an_address_of_a_channel_names_no_process_and_the_other_way_round() {
        let keys = keys();
        let id = Id::new(5, 1);
        let (process, channel) = (keys.handle(id), keys.of_channels().handle(id));
        assert_eq!(keys.check(channel.id, channel.key), None);
        assert_eq!(keys.of_channels().check(process.id, process.key), None);
        // Another node gets to the same.
        let elsewhere = Keys::from_bytes(&keys.to_bytes()).unwrap();
        assert_eq!(elsewhere.of_channels().check(channel.id, channel.key), Some(id));
    }

    #[test]
    fn what_was_checked_is_remembered_and_nothing_else() {
        let keys = keys();
        let mut checked = Checked::default();
        let mut check = |id, key| checked.check(RawHandle { id, key }, |address| keys.check(address.id, address.key));
        assert_eq!(check(0, 0), None);
        for round in 0..3 {
            for slot in [1, 2, 1, 3, 3, 2, 2] {
                let handle = keys.handle(Id::new(slot, 0));
                assert_eq!(check(handle.id, handle.key ^ 1), None, "round {round}");
                assert_eq!(check(handle.id ^ 8, handle.key), None);
                assert_eq!(check(handle.id, handle.key), Some(Id::new(slot, 0)));
            }
        }
    }

    /// The node of the address is connected again, as another peer.
    #[test]
    fn an_address_of_another_node_is_looked_up_each_time() {
        let mut checked = Checked::default();
        let address = keys().handle(Id::new(5, 0));
        for number in [1, 2, 3] {
            let id = Id::new(5, 0).on(Peer(number));
            assert_eq!(checked.check(address, |_| Some(id)), Some(id));
        }
    }

    #[test]
    fn a_key_fits_one_id_of_one_runtime() {
        let (keys, others) = (keys(), keys());
        let handle = keys.handle(Id::new(1, 0));
        assert_eq!(keys.check(handle.id, handle.key), Some(Id::new(1, 0)));
        assert_eq!(keys.check(handle.id + 1, handle.key), None);
        assert_eq!(others.check(handle.id, handle.key), None);
        for bit in 0..u64::BITS {
            assert_eq!(
                keys.check(handle.id, handle.key ^ 1 << bit),
                None,
                "bit {bit} of the key"
            );
            assert_eq!(
                keys.check(handle.id ^ 1 << bit, handle.key),
                None,
                "bit {bit} of the id"
            );
        }
    }

    #[test]
    fn nodes_have_all_numbers_but_0() {
        let last = (1 << NODE_BITS) - 1;
        assert_eq!((Node::draw(0), Node::draw(u64::MAX)), (Node(1), Node(last)));
    }

    #[test]
    fn what_is_no_id_is_not_read() {
        for text in [
            "",
            "#",
            "x",
            "-1",
            "1.",
            "1.2.3",
            "1@",
            "1@5000",
            "67108864",
            "1.67108864",
        ] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    proptest! {
        /// Whoever holds an address can read from it where it leads, and the keys of that node find the id.
        #[test]
        fn an_address_tells_its_node_and_its_id(slot in 0..1_u32 << SLOT_BITS, number in 0..1_u32 << USE_BITS, random: u64) {
            let keys = Keys::new(Node::draw(random), || 7);
            let id = Id::new(slot, number);
            let address = keys.handle(id);
            prop_assert_eq!(Node::of(address), keys.node());
            prop_assert!(keys.handle(Id::new(1, 0)).is_of_node_of(address));
            let other = Keys::new(Node::draw(!random), || 7);
            prop_assert_eq!(other.handle(id).is_of_node_of(address), other.node() == keys.node());
            prop_assert_eq!(keys.check(address.id, address.key), Some(id));
            prop_assert_eq!((id.slot(), id.number(), id.peer()), (slot, number, Peer::HERE));
            let there = id.on(Peer(3));
            prop_assert_eq!((there.slot(), there.number(), there.peer()), (slot, number, Peer(3)));
        }

        #[test]
        fn an_id_is_read_as_it_is_shown(slot in 0..1_u32 << SLOT_BITS, number in 0..1_u32 << USE_BITS, peer in 0..=Peer::MAX) {
            let id = Id::new(slot, number).on(Peer(peer));
            let shown = id.to_string();
            prop_assert_eq!(shown.parse(), Ok(id));
            prop_assert_eq!(shown[1..].parse(), Ok(id));
        }
    }
}
