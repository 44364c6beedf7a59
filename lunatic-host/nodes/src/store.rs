//! Modules by the hash of their bytes: what this node has, and how it gets what it does not have.
//!
//! A module is fetched once, however many ask for it meanwhile, from one node at a time; several of its chunks are on their
//! way together. Its bytes are hashed when they are all there. If they are wrong, or the node is lost or does not have it, the
//! next node is asked. What is kept is bounded: the module that was used least lately goes first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::identity::NodeId;
use crate::record::{CHUNK_LEN, Hash, Record};

/// The largest module that is fetched, in bytes.
pub const MODULE_LEN_MAX: usize = 64 << 20;
/// So many bytes of modules are kept in memory.
pub const KEPT_MAX: usize = 128 << 20;
/// So many modules are fetched at a time.
pub const FETCHES_MAX: usize = 8;
/// So many chunks of a module are on their way together.
const AHEAD: u32 = 8;
/// A holder that sends nothing for so long is given up.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a module was not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchRefusal {
    /// None of the nodes that were asked has it, or gave it whole.
    Nowhere,
    /// [`FETCHES_MAX`] modules are being fetched.
    Busy,
}

/// Content hash of a module.
pub fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

struct Fetch {
    /// Who may have it; the first is being asked.
    holders: VecDeque<NodeId>,
    bytes: Vec<u8>,
    /// Its length, once a chunk has come.
    total: Option<u32>,
    /// The next chunk to ask for.
    next: u32,
    /// When the last chunk came, or the holder was asked.
    since: Duration,
}

#[derive(Default)]
pub(crate) struct Store {
    kept: BTreeMap<Hash, (Arc<[u8]>, u64)>,
    kept_bytes: usize,
    uses: u64,
    fetches: BTreeMap<Hash, Fetch>,
}

/// What came of a record about modules.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Send these to the node.
    Ask(NodeId, Vec<Vec<u8>>),
    /// The module is there, or will not be.
    Done(Result<Arc<[u8]>, FetchRefusal>),
    Nothing,
}

impl Store {
    /// Keeps a module; its hash.
    pub(crate) fn keep(&mut self, bytes: Arc<[u8]>) -> Hash {
        let hash = hash(&bytes);
        self.uses += 1;
        if let Some((_, used)) = self.kept.get_mut(&hash) {
            *used = self.uses;
            return hash;
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
        hash
    }

    pub(crate) fn get(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        let (bytes, used) = self.kept.get_mut(hash)?;
        self.uses += 1;
        *used = self.uses;
        Some(bytes.clone())
    }

    /// What to answer to a node that wants a part of a module.
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

    /// Wants a module of one of these nodes.
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
            total: None,
            next: 0,
            since: now,
        };
        self.fetches.insert(hash, fetch);
        self.ask_first(now, hash)
    }

    /// Asks who is first now for the beginning.
    fn ask_first(&mut self, now: Duration, hash: Hash) -> Progress {
        let Some(fetch) = self.fetches.get_mut(&hash) else {
            return Progress::Nothing;
        };
        let Some(holder) = fetch.holders.front().copied() else {
            self.fetches.remove(&hash);
            return Progress::Done(Err(FetchRefusal::Nowhere));
        };
        fetch.bytes = Vec::new();
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

    /// A chunk has come.
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
        // Of a holder that was given up.
        if fetch.holders.front() != Some(&from) {
            return Progress::Nothing;
        }
        let is_next = offset as usize == fetch.bytes.len() && fetch.total.is_none_or(|known| known == total);
        let len = (total as usize).saturating_sub(offset as usize).min(CHUNK_LEN);
        if !is_next || total as usize > MODULE_LEN_MAX || bytes.len() != len {
            return self.ask_next(now, hash);
        }
        fetch.bytes.extend_from_slice(bytes);
        (fetch.total, fetch.since) = (Some(total), now);
        if fetch.bytes.len() < total as usize {
            let end = total.min(offset.saturating_add((AHEAD + 1) * CHUNK_LEN as u32));
            let offsets = (fetch.next..end).step_by(CHUNK_LEN);
            let asked: Vec<_> = offsets.map(|offset| Record::Get { hash, offset }.write()).collect();
            fetch.next += asked.len() as u32 * CHUNK_LEN as u32;
            return Progress::Ask(from, asked);
        }
        if self::hash(&fetch.bytes) != hash {
            return self.ask_next(now, hash);
        }
        let bytes: Arc<[u8]> = std::mem::take(&mut fetch.bytes).into();
        self.fetches.remove(&hash);
        self.keep(bytes.clone());
        Progress::Done(Ok(bytes))
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

    /// The modules whose holder is `node`, or has been silent for too long: those are asked for elsewhere.
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
