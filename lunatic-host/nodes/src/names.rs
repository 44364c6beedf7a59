//! Global names and groups: each node announces the names of its own processes, so all nodes know all names.
//!
//! A node writes only its own rows. It sends all of them to each node when an epoch begins, and later the changes. The
//! rows of a node are removed when its epoch ends. So a look-up needs no other node.
//!
//! Two nodes may give the same name to two processes, at the same moment or while they are not connected. All nodes
//! choose the same process without exchanging anything: the one with the higher priority, then that with the smaller
//! [`NodeId`], then that with the smaller number. The node of the losing process takes the name away and notifies the
//! process.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::NodeId;
use crate::record::{KEY_LEN_MAX, Record};

/// How many rows one node may have, names and memberships together.
pub const ROWS_MAX: usize = 1 << 16;

/// A process on any node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Anywhere {
    /// Its node.
    pub node: NodeId,
    /// Its slot and use on that node.
    pub process: u64,
}

/// Why a name was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameRefusal {
    /// This process has the name.
    Taken(Anywhere),
    /// The name is empty or longer than [`KEY_LEN_MAX`].
    Form,
    /// The node has [`ROWS_MAX`] rows.
    Full,
}

/// A process of this node has lost its name to another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The name.
    pub name: Vec<u8>,
    /// The process of this node that had it.
    pub loser: u64,
    /// The process that has it now.
    pub winner: Anywhere,
}

/// One claim to a name. The smallest one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// The priority, encoded so that the highest comes first.
    rank: u8,
    holder: Anywhere,
}

/// The kind of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Name,
    Membership,
}

/// The rows of all nodes, as far as this one knows them.
pub(crate) struct Names {
    own: NodeId,
    names: BTreeMap<Vec<u8>, BTreeSet<Claim>>,
    groups: BTreeMap<Vec<u8>, BTreeSet<Anywhere>>,
    /// The rows of this node by process, so that the end of a process costs only its own rows.
    held: BTreeSet<(u64, Row, Vec<u8>)>,
    /// The number of rows of each node.
    rows: BTreeMap<NodeId, usize>,
    /// Changes of this node's own rows that have not been sent.
    news: Vec<Vec<u8>>,
}

impl Names {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            names: BTreeMap::new(),
            groups: BTreeMap::new(),
            held: BTreeSet::new(),
            rows: BTreeMap::new(),
            news: Vec::new(),
        }
    }

    fn count(&self, node: NodeId) -> usize {
        self.rows.get(&node).copied().unwrap_or(0)
    }

    fn add_row(&mut self, node: NodeId) {
        *self.rows.entry(node).or_default() += 1;
    }

    fn remove_row(&mut self, node: NodeId) {
        if let Some(count) = self.rows.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.rows.remove(&node);
            }
        }
    }

    fn check(&self, key: &[u8]) -> Result<(), NameRefusal> {
        if !(1..=KEY_LEN_MAX).contains(&key.len()) {
            return Err(NameRefusal::Form);
        }
        (self.count(self.own) < ROWS_MAX).then_some(()).ok_or(NameRefusal::Full)
    }

    /// Registers a process of this node under a name.
    pub(crate) fn register(&mut self, name: &[u8], process: u64, priority: u8) -> Result<(), NameRefusal> {
        self.check(name)?;
        if let Some(holder) = self.find(name) {
            return Err(NameRefusal::Taken(holder));
        }
        self.claim(name, self.own, process, priority);
        let record = Record::Named {
            name,
            process,
            priority,
        };
        self.news.push(record.write());
        Ok(())
    }

    /// Takes a name from a process of this node. Returns the process that had it.
    pub(crate) fn unregister(&mut self, name: &[u8]) -> Option<u64> {
        let process = self.release(name, self.own)?;
        self.news.push(Record::Unnamed { name }.write());
        Some(process)
    }

    /// The process with this name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Anywhere> {
        Some(self.names.get(name)?.first()?.holder)
    }

    fn claim(&mut self, name: &[u8], node: NodeId, process: u64, priority: u8) {
        // A node gives a name to one process at a time: its previous claim ends.
        self.release(name, node);
        let claim = Claim {
            rank: u8::MAX - priority,
            holder: Anywhere { node, process },
        };
        self.names.entry(name.to_vec()).or_default().insert(claim);
        self.add_row(node);
        if node == self.own {
            self.held.insert((process, Row::Name, name.to_vec()));
        }
    }

    fn release(&mut self, name: &[u8], node: NodeId) -> Option<u64> {
        let claims = self.names.get_mut(name)?;
        let claim = *claims.iter().find(|claim| claim.holder.node == node)?;
        claims.remove(&claim);
        if claims.is_empty() {
            self.names.remove(name);
        }
        self.remove_row(node);
        let process = claim.holder.process;
        if node == self.own {
            self.held.remove(&(process, Row::Name, name.to_vec()));
        }
        Some(process)
    }

    /// Another node has given a name. `Err` if it has too many rows.
    pub(crate) fn named(
        &mut self,
        node: NodeId,
        name: &[u8],
        process: u64,
        priority: u8,
    ) -> Result<Option<Conflict>, ()> {
        if name.is_empty() || self.count(node) >= ROWS_MAX {
            return Err(());
        }
        self.claim(name, node, process, priority);
        let Some(winner) = self.find(name).filter(|winner| winner.node != self.own) else {
            return Ok(None);
        };
        Ok(self.unregister(name).map(|loser| Conflict {
            name: name.to_vec(),
            loser,
            winner,
        }))
    }

    /// Another node has taken a name back.
    pub(crate) fn unnamed(&mut self, node: NodeId, name: &[u8]) {
        self.release(name, node);
    }

    /// Adds a process of this node to a group.
    pub(crate) fn join(&mut self, group: &[u8], process: u64) -> Result<(), NameRefusal> {
        self.check(group)?;
        if self.add_member(group, self.own, process) {
            self.news.push(Record::Joined { group, process }.write());
        }
        Ok(())
    }

    /// Removes a process of this node from a group. True if it was a member.
    pub(crate) fn leave(&mut self, group: &[u8], process: u64) -> bool {
        let was_member = self.remove_member(group, self.own, process);
        if was_member {
            self.news.push(Record::Left { group, process }.write());
        }
        was_member
    }

    /// The members of a group, in the order of nodes.
    pub(crate) fn members(&self, group: &[u8]) -> impl Iterator<Item = Anywhere> + '_ {
        self.groups.get(group).into_iter().flatten().copied()
    }

    fn add_member(&mut self, group: &[u8], node: NodeId, process: u64) -> bool {
        let members = self.groups.entry(group.to_vec()).or_default();
        let is_new = members.insert(Anywhere { node, process });
        if is_new {
            self.add_row(node);
            if node == self.own {
                self.held.insert((process, Row::Membership, group.to_vec()));
            }
        }
        is_new
    }

    fn remove_member(&mut self, group: &[u8], node: NodeId, process: u64) -> bool {
        let Some(members) = self.groups.get_mut(group) else {
            return false;
        };
        let was_member = members.remove(&Anywhere { node, process });
        if members.is_empty() {
            self.groups.remove(group);
        }
        if was_member {
            self.remove_row(node);
            if node == self.own {
                self.held.remove(&(process, Row::Membership, group.to_vec()));
            }
        }
        was_member
    }

    /// A process of another node has joined a group. `Err` if that node has too many rows.
    pub(crate) fn joined(&mut self, node: NodeId, group: &[u8], process: u64) -> Result<(), ()> {
        if group.is_empty() || self.count(node) >= ROWS_MAX {
            return Err(());
        }
        self.add_member(group, node, process);
        Ok(())
    }

    /// A process of another node has left a group.
    pub(crate) fn left(&mut self, node: NodeId, group: &[u8], process: u64) {
        self.remove_member(group, node, process);
    }

    /// A process of this node has ended: removes its names and memberships.
    pub(crate) fn process_ended(&mut self, process: u64) {
        for (row, key) in self.rows_of(process) {
            match row {
                Row::Name => _ = self.unregister(&key),
                Row::Membership => _ = self.leave(&key, process),
            }
        }
    }

    /// The rows of a process of this node, names first.
    fn rows_of(&self, process: u64) -> Vec<(Row, Vec<u8>)> {
        let rows = self.held.range((process, Row::Name, Vec::new())..);
        rows.take_while(|(of, ..)| *of == process)
            .map(|(_, row, key)| (*row, key.clone()))
            .collect()
    }

    /// A node is gone: removes its rows.
    pub(crate) fn node_lost(&mut self, node: NodeId) {
        if self.rows.remove(&node).is_none() {
            return;
        }
        self.names.retain(|_, claims| {
            claims.retain(|claim| claim.holder.node != node);
            !claims.is_empty()
        });
        self.groups.retain(|_, members| {
            members.retain(|member| member.node != node);
            !members.is_empty()
        });
    }

    /// All rows of this node, as records for a newly connected node.
    pub(crate) fn own_rows(&self) -> Vec<Vec<u8>> {
        let own = self.own;
        let mut records = Vec::new();
        for (name, claims) in &self.names {
            for claim in claims.iter().filter(|claim| claim.holder.node == own) {
                let (process, priority) = (claim.holder.process, u8::MAX - claim.rank);
                let record = Record::Named {
                    name,
                    process,
                    priority,
                };
                records.push(record.write());
            }
        }
        for (group, members) in &self.groups {
            for member in members.iter().filter(|member| member.node == own) {
                let process = member.process;
                records.push(Record::Joined { group, process }.write());
            }
        }
        records
    }

    /// Takes the changes that must be sent to all nodes, in this order.
    pub(crate) fn take_news(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.news)
    }

    /// The number of rows of other nodes.
    pub(crate) fn foreign_rows(&self) -> usize {
        self.rows
            .iter()
            .filter(|(node, _)| **node != self.own)
            .map(|(_, rows)| rows)
            .sum()
    }

    /// All names, each with its process.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&[u8], Anywhere)> {
        let first = |claims: &BTreeSet<Claim>| claims.first().map(|claim| claim.holder);
        self.names
            .iter()
            .filter_map(move |(name, claims)| Some((&name[..], first(claims)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::random::Random;

    fn node(name: &str) -> NodeId {
        Identity::new(name, 1).unwrap().id("test")
    }

    /// The rows of this node's processes, as the tables of all nodes have them.
    fn rows_in_tables(names: &Names) -> BTreeSet<(u64, Row, Vec<u8>)> {
        let mut rows = BTreeSet::new();
        for (name, claims) in &names.names {
            let own = claims.iter().filter(|claim| claim.holder.node == names.own);
            rows.extend(own.map(|claim| (claim.holder.process, Row::Name, name.clone())));
        }
        for (group, members) in &names.groups {
            let own = members.iter().filter(|member| member.node == names.own);
            rows.extend(own.map(|member| (member.process, Row::Membership, group.clone())));
        }
        rows
    }

    #[test]
    fn a_process_that_ends_loses_its_rows_and_no_others() {
        for seed in 0..50 {
            let (own, other) = (node("own"), node("other"));
            let (mut names, mut random) = (Names::new(own), Random(seed));
            for _ in 0..200 {
                let (key, process) = ([b'a' + random.below(6) as u8], random.below(5));
                let priority = random.below(3) as u8;
                match random.below(9) {
                    0 | 1 => _ = names.register(&key, process, priority),
                    2 => _ = names.unregister(&key),
                    3 => _ = names.join(&key, process),
                    4 => _ = names.leave(&key, process),
                    5 => _ = names.named(other, &key, process, priority),
                    6 => _ = names.joined(other, &key, process),
                    7 => names.node_lost(other),
                    _ => {
                        let others: Vec<_> = names.held.iter().filter(|(of, ..)| *of != process).cloned().collect();
                        names.process_ended(process);
                        assert_eq!(Vec::from_iter(names.held.clone()), others, "seed {seed}");
                    }
                }
                assert_eq!(names.held, rows_in_tables(&names), "seed {seed}");
            }
        }
    }

    /// If each end looked at all names, this would look at two billion.
    #[test]
    fn as_many_names_as_there_may_be_end_with_their_processes() {
        let mut names = Names::new(node("own"));
        for process in 0..ROWS_MAX as u64 {
            names.register(&process.to_le_bytes(), process, 0).unwrap();
        }
        assert_eq!(names.register(b"one more", 0, 0), Err(NameRefusal::Full));
        names.take_news();
        for process in 0..ROWS_MAX as u64 {
            assert_eq!(names.rows_of(process).len(), 1);
            names.process_ended(process);
        }
        assert_eq!(names.all().count(), 0);
        assert_eq!((names.held.len(), names.take_news().len()), (0, ROWS_MAX));
    }
}
