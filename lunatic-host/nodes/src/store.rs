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
/// How many chunks of a module may be on their way.
const AHEAD: u32 = 8;
/// After this time without a chunk, the next holder is asked.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a module was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchRefusal {
    /// None of the nodes that were asked has it, or has sent it whole.
    Nowhere,
    /// [`FETCHES_MAX`] modules are already being fetched.
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
    /// When the last chunk came, or when the holder was first asked.
    since: Duration,
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
        if self.fetches.contains_key(&hash) {
            return Progress::Nothing;
        }
        if self.fetches.len() >= FETCHES_MAX {
            return Progress::Done(Err(FetchRefusal::Busy));
        }
        let fetch = Fetch {
            holders: holders.iter().copied().collect(),
            bytes: Vec::new(),
            hasher: blake3::Hasher::new(),
            total: None,
            next: 0,
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
        (fetch.total, fetch.since) = (None, now);
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

    /// Asks the next holder for the modules whose holder is `node` or has been silent for too long.
    pub(crate) fn give_up(&mut self, now: Duration, node: Option<NodeId>) -> Vec<(Hash, Progress)> {
        let is_over = |fetch: &Fetch| match node {
            Some(node) => fetch.holders.front() == Some(&node),
            None => now >= fetch.since + CHUNK_TIMEOUT,
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
        self.fetches.values().map(|fetch| fetch.since + CHUNK_TIMEOUT).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
