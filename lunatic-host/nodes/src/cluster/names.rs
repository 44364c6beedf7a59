//! Global names, groups and modules, for the processes of a kernel.

use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::address::{Id, Peer};
use lunatic_kernel::delivery::Signal;
use lunatic_kernel::host::Host;
use lunatic_sys::codes::REFERENCE_BIT;

use super::{Cluster, Kept, Key, Paid, Told};
use crate::identity::NodeId;
use crate::names::{Anywhere, Conflict, NameRefusal};
use crate::record::Hash;

/// How many tags a process can have for messages about nodes.
pub const MONITORS_MAX: usize = 16;
/// Their keys.
const MONITORS: std::ops::RangeFrom<Key> = Key::Monitor(0)..;

/// How many members of a group are copied at a time: meanwhile, nobody else can use the node.
const MEMBERS_AT_ONCE: usize = 256;

/// The members of a group across nodes, without those that leave before it is their turn. Those that join meanwhile may be
/// among them.
pub struct GroupMembers<'a, H: Host> {
    cluster: &'a Cluster<H>,
    group: Vec<u8>,
    copied: std::vec::IntoIter<Anywhere>,
    /// The last member that was copied.
    last: Option<Anywhere>,
    is_all: bool,
}

impl<H: Host> Iterator for GroupMembers<'_, H> {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        loop {
            if let Some(member) = self.copied.next() {
                match self.cluster.id_of(member) {
                    Some(id) => return Some(id),
                    None => continue,
                }
            }
            if self.is_all {
                return None;
            }
            let members: Vec<_> = {
                let node = self.cluster.shared.node.lock();
                node.group(&self.group, self.last).take(MEMBERS_AT_ONCE).collect()
            };
            self.is_all = members.len() < MEMBERS_AT_ONCE;
            self.last = members.last().copied();
            self.copied = members.into_iter();
        }
    }
}

impl<H: Host> Cluster<H> {
    /// Registers a process of this node under a name, in the whole cluster, until the process ends. If it loses the name
    /// to a process of another node, it gets the name as a message under `tag`, unless that is 0.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why the name was not given.
    pub fn register(&self, name: &[u8], process: Id, priority: u8, tag: u64, paid: Paid) -> Result<(), NameRefusal> {
        let _changes = self.shared.changes.lock();
        self.shared.node.lock().register(name, process.raw(), priority)?;
        self.keep(process, Key::Name(name.to_vec()), Kept { tag, _paid: paid });
        Ok(())
    }

    /// Takes a name back; if `only` is given, only from that process. True if a process of this node had it.
    pub fn unregister(&self, name: &[u8], only: Option<Id>) -> bool {
        let _changes = self.shared.changes.lock();
        let had = {
            let mut node = self.shared.node.lock();
            let own = node.id();
            let is_right = only.is_none_or(|only| {
                let process = only.raw();
                node.find(name) == Some(Anywhere { node: own, process })
            });
            is_right.then(|| node.unregister(name)).flatten()
        };
        if let Some(process) = had {
            self.let_go(process, &Key::Name(name.to_vec()));
        }
        self.shared.wake();
        had.is_some()
    }

    /// The process with this name, as far as this node knows.
    pub fn find(&self, name: &[u8]) -> Option<Id> {
        let found = self.shared.node.lock().find(name)?;
        self.id_of(found)
    }

    /// Adds a process of this node to a group, until the process ends.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why the process did not join.
    pub fn join(&self, group: &[u8], process: Id, paid: Paid) -> Result<(), NameRefusal> {
        let _changes = self.shared.changes.lock();
        self.shared.node.lock().join(group, process.raw())?;
        self.keep(process, Key::Group(group.to_vec()), Kept { tag: 0, _paid: paid });
        Ok(())
    }

    /// Removes a process of this node from a group. True if it was a member.
    pub fn leave_group(&self, group: &[u8], process: Id) -> bool {
        let _changes = self.shared.changes.lock();
        let was_member = self.shared.node.lock().leave_group(group, process.raw());
        self.let_go(process.raw(), &Key::Group(group.to_vec()));
        self.shared.wake();
        was_member
    }

    /// The members of a group, without those of nodes that are not connected.
    pub fn group(&self, group: &[u8]) -> GroupMembers<'_, H> {
        GroupMembers {
            cluster: self,
            group: group.to_vec(),
            copied: Vec::new().into_iter(),
            last: None,
            is_all: false,
        }
    }

    fn id_of(&self, process: Anywhere) -> Option<Id> {
        let peer = match process.node == self.id() {
            true => Peer::HERE,
            false => self.peer(process.node)?,
        };
        Some(Id::from_raw(process.process).on(peer))
    }

    /// Sends the process a message with this tag from now on whenever a node is connected or lost. The message holds
    /// one byte (1 for connected, 0 for lost), the number of the node (8 bytes), how it was lost (4 bytes, as in
    /// `codes::loss`), and its name. False if the process has [`MONITORS_MAX`] such tags.
    pub fn monitor_nodes(&self, process: Id, tag: u64, paid: Paid) -> bool {
        let has_room = {
            let kept = self.shared.kept.lock();
            let tags = kept.get(&process.raw()).map_or(0, |kept| kept.range(MONITORS).count());
            tags < MONITORS_MAX
        };
        if has_room {
            self.keep(process, Key::Monitor(tag), Kept { tag: 0, _paid: paid });
        }
        has_room
    }

    /// Sends the process no more messages about nodes under this tag.
    pub fn demonitor_nodes(&self, process: Id, tag: u64) {
        self.let_go(process.raw(), &Key::Monitor(tag));
    }

    /// The processes that monitor nodes, each with its tag.
    pub(super) fn monitors(&self) -> Vec<(Id, u64)> {
        let kept = self.shared.kept.lock();
        let all = kept.iter().flat_map(|(process, kept)| {
            let tags = kept.range(MONITORS).filter_map(|(key, _)| match key {
                Key::Monitor(tag) => Some(*tag),
                _ => None,
            });
            tags.map(|tag| (Id::from_raw(*process), tag))
        });
        all.collect()
    }

    /// A process of this node has lost its name to one of another node.
    pub(super) fn lost_name(&self, conflict: Conflict) {
        let tag = {
            let _changes = self.shared.changes.lock();
            let own = Anywhere {
                node: self.id(),
                process: conflict.loser,
            };
            // It may have registered the name again meanwhile, after the winner had ended.
            let has_again = self.shared.node.lock().find(&conflict.name) == Some(own);
            let key = Key::Name(conflict.name.clone());
            (!has_again).then(|| self.let_go(conflict.loser, &key)).flatten()
        };
        let loser = self.kernel.find(Id::from_raw(conflict.loser));
        if let (Some(tag @ 1..), Some(loser)) = (tag, loser) {
            // If the mailbox is full, this message is lost, as any other would be.
            _ = self.kernel.put_mail(loser, tag, &conflict.name);
        }
        self.above.told(&Told::Conflict(conflict));
    }

    /// Keeps something for a process until it ends; if it has ended, not at all.
    fn keep(&self, process: Id, key: Key, kept: Kept) {
        let is_first = {
            let all = &mut *self.shared.kept.lock();
            let is_first = !all.contains_key(&process.raw());
            all.entry(process.raw()).or_default().insert(key, kept);
            is_first
        };
        if is_first {
            // The registrar is notified of the end; if the process has ended, immediately.
            let reference = self.kernel.random() | REFERENCE_BIT;
            let registrar = Id::new(1, 0).on(self.registrar);
            self.kernel.receive(registrar, process, Signal::Monitor { reference });
        }
        self.shared.wake();
    }

    /// Returns the tag that was kept.
    fn let_go(&self, process: u64, key: &Key) -> Option<u64> {
        let mut all = self.shared.kept.lock();
        // An empty map stays: it says that the registrar is notified of the end.
        Some(all.get_mut(&process)?.remove(key)?.tag)
    }

    /// Keeps a module, which other nodes may fetch from then on. Returns its hash.
    pub fn keep_module(&self, bytes: Arc<[u8]>) -> Hash {
        let hash = crate::store::hash(&bytes);
        self.keep_hashed_module(hash, bytes);
        hash
    }

    /// [`keep_module`](Self::keep_module) for a module whose hash is known.
    pub fn keep_hashed_module(&self, hash: Hash, bytes: Arc<[u8]>) {
        self.shared.node.lock().keep_module(hash, bytes);
    }

    /// The module with this hash, if this node has it.
    pub fn module(&self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.shared.node.lock().module(hash)
    }

    /// [`fetch`](Self::fetch) at the next [`poll`](Self::poll), for threads that do not know its time.
    pub fn want(&self, hash: Hash, holders: Vec<NodeId>) {
        self.shared.wanted.lock().push((hash, holders));
        self.shared.wake();
    }

    /// Fetches a module from one of these nodes. [`Told::Fetched`] reports the result, once for
    /// all who requested it.
    pub fn fetch(&self, now: Duration, hash: Hash, holders: &[NodeId]) {
        self.shared.node.lock().fetch(now, hash, holders);
        self.shared.wake();
    }
}
