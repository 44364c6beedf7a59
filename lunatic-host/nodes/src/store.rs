//! Modules by the hash of their bytes: those that this node has, and how it gets others.
//!
//! A module is fetched once, regardless of how many request it meanwhile, and from one node at a time; several of its
//! chunks may be on their way. Its bytes are hashed when all have arrived. If the hash is wrong, or if the node is lost
//! or does not have the module, the next node is asked. The total size is bounded: the least recently used module is
//! removed first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::identity::NodeId;
use crate::record::{CHUNK_LEN, Hash, Record};

/// The maximum length of a module that is fetched, in bytes.
pub const MODULE_LEN_MAX: usize = 64 << 20;
/// How many bytes of modules are kept in memory.
pub const KEPT_MAX: usize = 128 << 20;
/// How many modules are fetched at a time.
pub const FETCHES_MAX: usize = 8;
/// How many modules are fetched from one node at a time, so that a slow one leaves room for others.
pub const FETCHES_OF_ONE_MAX: usize = 3;
/// How many nodes are asked for a module, one after the other.
const HOLDERS_MAX: usize = 64;
/// How many chunks of a module may be on their way.
const AHEAD: u32 = 8;
/// After this time without a chunk, the next holder is asked.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes a second a holder must send on average, once [`CHUNK_TIMEOUT`] has passed. Otherwise the next one is
/// asked.
const PACE: u64 = 128 << 10;

/// Why a module was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchRefusal {
    /// None of the nodes that were asked has it, or has sent it whole.
    Nowhere,
    /// [`FETCHES_MAX`] modules are already being fetched, or [`FETCHES_OF_ONE_MAX`] from this node.
    Busy,
}

/// The content hash of a module.
pub fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

struct Fetch {
    /// The nodes that may have it; the first one is being asked.
    holders: VecDeque<NodeId>,
    bytes: Vec<u8>,
    /// Hashes the chunks as they come: all at once would take too long.
    hasher: blake3::Hasher,
    /// Its length, known after the first chunk.
    total: Option<u32>,
    /// The next chunk to request.
    next: u32,
    /// When the holder was first asked.
    begun: Duration,
    /// When the last chunk came, or when the holder was first asked.
    since: Duration,
}

impl Fetch {
    /// When the holder is given up if it sends nothing before.
    fn due(&self) -> Duration {
        let pace = Duration::from_millis(self.bytes.len() as u64 * 1000 / PACE);
        (self.since + CHUNK_TIMEOUT).min(self.begun + CHUNK_TIMEOUT + pace)
    }
}

#[derive(Default)]
pub(crate) struct Store {
    kept: BTreeMap<Hash, (Arc<[u8]>, u64)>,
    kept_bytes: usize,
    uses: u64,
    fetches: BTreeMap<Hash, Fetch>,
}

/// The effect of a record about modules.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Send these records to the node.
    Ask(NodeId, Vec<Vec<u8>>),
    /// The module has been fetched, or cannot be fetched.
    Done(Result<Arc<[u8]>, FetchRefusal>),
    /// All bytes of the module have come, and have its hash; they are not kept yet.
    Arrived(Vec<u8>),
    Nothing,
}

impl Store {
    /// Keeps a module with this hash.
    pub(crate) fn keep(&mut self, hash: Hash, bytes: Arc<[u8]>) {
        self.uses += 1;
        if let Some((_, used)) = self.kept.get_mut(&hash) {
            *used = self.uses;
            return;
        }
        // No other node takes it, and it would drive out all others.
        if bytes.len() > MODULE_LEN_MAX {
            return;
        }
        self.kept_bytes += bytes.len();
        self.kept.insert(hash, (bytes, self.uses));
        while self.kept_bytes > KEPT_MAX {
            let oldest = self.kept.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(hash, _)| *hash).expect("something is kept");
            if let Some((bytes, _)) = self.kept.remove(&oldest) {
                self.kept_bytes -= bytes.len();
            }
        }
    }

    pub(crate) fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        let (bytes, used) = self.kept.get_mut(hash)?;
        self.uses += 1;
        *used = self.uses;
        Some(bytes.clone())
    }

    /// The answer to a node that requests a part of a module.
    pub(crate) fn serve(&mut self, hash: Hash, offset: u32) -> Vec<u8> {
        let module = self.get(&hash);
        let part = module.as_ref().and_then(|bytes| {
            let (total, at) = (u32::try_from(bytes.len()).ok()?, offset as usize);
            let part = bytes.get(at..bytes.len().min(at.checked_add(CHUNK_LEN)?))?;
            Some((total, part))
        });
        match part {
            Some((total, bytes)) => Record::Chunk {
                hash,
                offset,
                total,
                bytes,
            }
            .write(),
            None => Record::Missing { hash }.write(),
        }
    }

    /// Fetches a module from one of these nodes.
    pub(crate) fn fetch(&mut self, now: Duration, hash: Hash, holders: &[NodeId]) -> Progress {
        if let Some(bytes) = self.get(&hash) {
            return Progress::Done(Ok(bytes));
        }
        if let Some(fetch) = self.fetches.get_mut(&hash) {
            // If the holders so far do not send it, these may.
            for holder in holders {
                if fetch.holders.len() < HOLDERS_MAX && !fetch.holders.contains(holder) {
                    fetch.holders.push_back(*holder);
                }
            }
            return Progress::Nothing;
        }
        let first = holders.first();
        let of_first = self.fetches.values().filter(|fetch| fetch.holders.front() == first);
        if self.fetches.len() >= FETCHES_MAX || of_first.count() >= FETCHES_OF_ONE_MAX {
            return Progress::Done(Err(FetchRefusal::Busy));
        }
        let fetch = Fetch {
            holders: holders.iter().copied().take(HOLDERS_MAX).collect(),
            bytes: Vec::new(),
            hasher: blake3::Hasher::new(),
            total: None,
            next: 0,
            begun: now,
            since: now,
        };
        self.fetches.insert(hash, fetch);
        self.ask_first(now, hash)
    }

    /// Requests the beginning from the node that is now the first holder.
    fn ask_first(&mut self, now: Duration, hash: Hash) -> Progress {
        let Some(fetch) = self.fetches.get_mut(&hash) else {
            return Progress::Nothing;
        };
        let Some(holder) = fetch.holders.front().copied() else {
            self.fetches.remove(&hash);
            return Progress::Done(Err(FetchRefusal::Nowhere));
        };
        fetch.bytes = Vec::new();
        fetch.hasher.reset();
        (fetch.total, fetch.begun, fetch.since) = (None, now, now);
        fetch.next = CHUNK_LEN as u32;
        Progress::Ask(holder, vec![Record::Get { hash, offset: 0 }.write()])
    }

    fn ask_next(&mut self, now: Duration, hash: Hash) -> Progress {
        if let Some(fetch) = self.fetches.get_mut(&hash) {
            fetch.holders.pop_front();
        }
        self.ask_first(now, hash)
    }

    /// Takes a chunk.
    pub(crate) fn on_chunk(
        &mut self,
        now: Duration,
        from: NodeId,
        hash: Hash,
        (offset, total): (u32, u32),
        bytes: &[u8],
    ) -> Progress {
        let Some(fetch) = self.fetches.get_mut(&hash) else {
            return Progress::Nothing;
        };
        // From a holder that was given up.
        if fetch.holders.front() != Some(&from) {
            return Progress::Nothing;
        }
        let is_next = offset as usize == fetch.bytes.len() && fetch.total.is_none_or(|known| known == total);
        let len = (total as usize).saturating_sub(offset as usize).min(CHUNK_LEN);
        if !is_next || total as usize > MODULE_LEN_MAX || bytes.len() != len {
            return self.ask_next(now, hash);
        }
        fetch.bytes.extend_from_slice(bytes);
        fetch.hasher.update(bytes);
        (fetch.total, fetch.since) = (Some(total), now);
        if fetch.bytes.len() < total as usize {
            let end = total.min(offset.saturating_add((AHEAD + 1) * CHUNK_LEN as u32));
            let offsets = (fetch.next..end).step_by(CHUNK_LEN);
            let asked: Vec<_> = offsets.map(|offset| Record::Get { hash, offset }.write()).collect();
            fetch.next += asked.len() as u32 * CHUNK_LEN as u32;
            return Progress::Ask(from, asked);
        }
        if *fetch.hasher.finalize().as_bytes() != hash {
            return self.ask_next(now, hash);
        }
        let bytes = std::mem::take(&mut fetch.bytes);
        self.fetches.remove(&hash);
        Progress::Arrived(bytes)
    }

    /// A node does not have a module.
    pub(crate) fn on_missing(&mut self, now: Duration, from: NodeId, hash: Hash) -> Progress {
        let is_asked = self
            .fetches
            .get(&hash)
            .is_some_and(|fetch| fetch.holders.front() == Some(&from));
        match is_asked {
            true => self.ask_next(now, hash),
            false => Progress::Nothing,
        }
    }

    /// Asks the next holder for the modules whose holder is `node`, or has been silent or slow for too long.
    pub(crate) fn give_up(&mut self, now: Duration, node: Option<NodeId>) -> Vec<(Hash, Progress)> {
        let is_over = |fetch: &Fetch| match node {
            Some(node) => fetch.holders.front() == Some(&node),
            None => now >= fetch.due(),
        };
        let over: Vec<_> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| is_over(fetch))
            .map(|(hash, _)| *hash)
            .collect();
        over.into_iter().map(|hash| (hash, self.ask_next(now, hash))).collect()
    }

    /// How many modules are being fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.len()
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.fetches.values().map(Fetch::due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HASH: Hash = [7; 32];

    fn asked(progress: Progress) -> NodeId {
        match progress {
            Progress::Ask(node, _) => node,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_holder_that_sends_a_little_now_and_then_is_given_up() {
        let (mut store, [slow, good]) = (Store::default(), [NodeId(1), NodeId(2)]);
        assert_eq!(asked(store.fetch(SECOND, HASH, &[slow])), slow);
        // Whoever needs it meanwhile knows another holder.
        assert_eq!(store.fetch(SECOND, HASH, &[good]), Progress::Nothing);
        assert_eq!(store.fetch(SECOND, HASH, &[good]), Progress::Nothing);
        let (chunk, total) = (vec![0; CHUNK_LEN], MODULE_LEN_MAX as u32);
        let mut now = SECOND;
        let next = loop {
            let sent = store.fetches[&HASH].bytes.len() as u32;
            assert_eq!(asked(store.on_chunk(now, slow, HASH, (sent, total), &chunk)), slow);
            now += 9 * SECOND;
            if let Some((_, progress)) = store.give_up(now, None).pop() {
                break asked(progress);
            }
        };
        assert!(now < 30 * SECOND, "{now:?}");
        assert_eq!(next, good);
        // One that sends as fast as it must is not given up, and nobody else is left after it.
        for second in 0..60 {
            let now = now + second * SECOND;
            assert!(store.give_up(now, None).is_empty());
            for _ in 0..3 {
                let sent = store.fetches[&HASH].bytes.len() as u32;
                assert_eq!(asked(store.on_chunk(now, good, HASH, (sent, total), &chunk)), good);
            }
        }
        let over = store.give_up(now, Some(good));
        assert_eq!(over, [(HASH, Progress::Done(Err(FetchRefusal::Nowhere)))]);
    }

    #[test]
    fn one_node_leaves_room_for_the_modules_of_others() {
        let mut store = Store::default();
        let mut fetch = |number: u8, node| store.fetch(SECOND, [number; 32], &[NodeId(node)]);
        for number in 0..FETCHES_OF_ONE_MAX as u8 {
            assert_eq!(asked(fetch(number, 1)), NodeId(1));
        }
        assert_eq!(fetch(50, 1), Progress::Done(Err(FetchRefusal::Busy)));
        assert_eq!(asked(fetch(51, 2)), NodeId(2));
    }

    #[test]
    fn a_module_that_is_too_long_drives_out_no_others() {
        let mut store = Store::default();
        store.keep([1; 32], vec![1; 100].into());
        store.keep([2; 32], vec![0; MODULE_LEN_MAX + 1].into());
        assert!(store.get(&[1; 32]).is_some() && store.get(&[2; 32]).is_none());
    }

    #[test]
    fn the_modules_that_are_kept_have_so_many_bytes_together() {
        let mut store = Store::default();
        // The same bytes count once for each name.
        let bytes: Arc<[u8]> = vec![0; KEPT_MAX / 4].into();
        for number in 0..4 {
            store.keep([number; 32], bytes.clone());
        }
        assert!(store.get(&[0; 32]).is_some());
        store.keep([4; 32], bytes.clone());
        // The one that was not used for the longest time.
        let kept = [0, 1, 2, 3, 4].map(|number| store.get(&[number; 32]).is_some());
        assert_eq!(kept, [true, false, true, true, true]);
        assert_eq!(store.kept_bytes, KEPT_MAX / 4 * 4);
    }
}
