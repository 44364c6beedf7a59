//! Global names and groups: each node announces the names of its own processes, so all nodes know all names.
//!
//! A node writes only its own rows. It sends all of them to each node when an epoch begins, and later those that have
//! changed (`news.rs`). The rows of a node are removed when its epoch ends. So a look-up needs no other node.
//!
//! Two nodes may give the same name to two processes, at the same moment or while they are not connected. All nodes
//! choose the same process without exchanging anything: the one with the higher priority, then that with the smaller
//! [`NodeId`], then that with the smaller number. The node of the losing process takes the name away and notifies the
//! process.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::identity::NodeId;
use crate::news::{News, Progress, Row};
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

/// The rows of all nodes, as far as this one knows them.
pub(crate) struct Names {
    own: NodeId,
    names: BTreeMap<Vec<u8>, BTreeSet<Claim>>,
    groups: BTreeMap<Vec<u8>, BTreeSet<Anywhere>>,
    /// The rows of this node by process, so that the end of a process costs only its own rows.
    held: BTreeSet<(u64, Row, Vec<u8>)>,
    /// The rows of each other node, so that its loss costs only these. The process of a name is 0.
    foreign: BTreeMap<NodeId, BTreeSet<(Row, Vec<u8>, u64)>>,
    /// Which of this node's own rows other nodes have not been told of.
    pub(crate) news: News,
}

impl Names {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            names: BTreeMap::new(),
            groups: BTreeMap::new(),
            held: BTreeSet::new(),
            foreign: BTreeMap::new(),
            news: News::default(),
        }
    }

    /// Whether another node may have this row: it has it already, or has room for one more.
    fn has_room(&self, node: NodeId, row: Row, key: &[u8], process: u64) -> bool {
        let rows = self.foreign.get(&node);
        rows.is_none_or(|rows| rows.len() < ROWS_MAX || rows.contains(&(row, key.to_vec(), process)))
    }

    /// A node has one row more; `process` has it.
    fn add_row(&mut self, node: NodeId, row: Row, key: &[u8], process: u64) {
        if node == self.own {
            self.held.insert((process, row, key.to_vec()));
            self.news.add(row, key, named(row, process));
        } else {
            let row = (row, key.to_vec(), named(row, process));
            self.foreign.entry(node).or_default().insert(row);
        }
    }

    fn remove_row(&mut self, node: NodeId, row: Row, key: &[u8], process: u64) {
        if node == self.own {
            self.held.remove(&(process, row, key.to_vec()));
            self.news.remove(row, key, named(row, process));
        } else if let Some(rows) = self.foreign.get_mut(&node) {
            rows.remove(&(row, key.to_vec(), named(row, process)));
            if rows.is_empty() {
                self.foreign.remove(&node);
            }
        }
    }

    fn check(&self, key: &[u8]) -> Result<(), NameRefusal> {
        if !(1..=KEY_LEN_MAX).contains(&key.len()) {
            return Err(NameRefusal::Form);
        }
        (self.held.len() < ROWS_MAX).then_some(()).ok_or(NameRefusal::Full)
    }

    /// Registers a process of this node under a name.
    pub(crate) fn register(&mut self, name: &[u8], process: u64, priority: u8) -> Result<(), NameRefusal> {
        self.check(name)?;
        if let Some(holder) = self.find(name) {
            return Err(NameRefusal::Taken(holder));
        }
        self.claim(name, self.own, process, priority);
        Ok(())
    }

    /// Takes a name from a process of this node. Returns the process that had it.
    pub(crate) fn unregister(&mut self, name: &[u8]) -> Option<u64> {
        self.release(name, self.own)
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
        self.add_row(node, Row::Name, name, process);
    }

    fn release(&mut self, name: &[u8], node: NodeId) -> Option<u64> {
        let claims = self.names.get_mut(name)?;
        let claim = *claims.iter().find(|claim| claim.holder.node == node)?;
        claims.remove(&claim);
        if claims.is_empty() {
            self.names.remove(name);
        }
        let process = claim.holder.process;
        self.remove_row(node, Row::Name, name, process);
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
        if name.is_empty() || !self.has_room(node, Row::Name, name, 0) {
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
        self.add_member(group, self.own, process);
        Ok(())
    }

    /// Removes a process of this node from a group. True if it was a member.
    pub(crate) fn leave(&mut self, group: &[u8], process: u64) -> bool {
        self.remove_member(group, self.own, process)
    }

    /// The members of a group, in the order of nodes: those that come after one, or all.
    pub(crate) fn members(&self, group: &[u8], after: Option<Anywhere>) -> impl Iterator<Item = Anywhere> + '_ {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.groups.get(group);
        let members = members.map(|members| members.range((after, Bound::Unbounded)));
        members.into_iter().flatten().copied()
    }

    fn add_member(&mut self, group: &[u8], node: NodeId, process: u64) {
        let members = self.groups.entry(group.to_vec()).or_default();
        if members.insert(Anywhere { node, process }) {
            self.add_row(node, Row::Membership, group, process);
        }
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
            self.remove_row(node, Row::Membership, group, process);
        }
        was_member
    }

    /// A process of another node has joined a group. `Err` if that node has too many rows.
    pub(crate) fn joined(&mut self, node: NodeId, group: &[u8], process: u64) -> Result<(), ()> {
        if group.is_empty() || !self.has_room(node, Row::Membership, group, process) {
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
        for (row, key, process) in self.foreign.remove(&node).unwrap_or_default() {
            match row {
                Row::Name => _ = self.release(&key, node),
                Row::Membership => _ = self.remove_member(&key, node, process),
            }
        }
    }

    /// The next record to send to a node that has been told so much; `None` if it knows all rows of this node.
    pub(crate) fn next_news(&self, told: &mut Progress) -> Option<Vec<u8>> {
        let ((row, key, process), is_there) = self.news.next(told)?;
        let (key, process) = (&key[..], *process);
        let record = match (row, is_there) {
            (Row::Name, true) => {
                let claims = self.names.get(key).into_iter().flatten();
                let mut own = claims.filter(|claim| claim.holder.node == self.own);
                let claim = own.next().expect("a row that is there has a claim");
                let (process, priority) = (claim.holder.process, u8::MAX - claim.rank);
                Record::Named {
                    name: key,
                    process,
                    priority,
                }
            }
            (Row::Name, false) => Record::Unnamed { name: key },
            (Row::Membership, true) => Record::Joined { group: key, process },
            (Row::Membership, false) => Record::Left { group: key, process },
        };
        Some(record.write())
    }

    /// The number of rows of other nodes.
    pub(crate) fn foreign_rows(&self) -> usize {
        self.foreign.values().map(BTreeSet::len).sum()
    }

    /// All names, each with its process.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&[u8], Anywhere)> {
        let first = |claims: &BTreeSet<Claim>| claims.first().map(|claim| claim.holder);
        self.names
            .iter()
            .filter_map(move |(name, claims)| Some((&name[..], first(claims)?)))
    }
}

/// The process in the key of a row: a name has only one row on each node, whoever has it.
fn named(row: Row, process: u64) -> u64 {
    match row {
        Row::Name => 0,
        Row::Membership => process,
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

    impl Names {
        /// How many rows the tables have, of all nodes.
        fn all_rows(&self) -> usize {
            let names = self.names.values().map(BTreeSet::len).sum::<usize>();
            names + self.groups.values().map(BTreeSet::len).sum::<usize>()
        }
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
                let foreign = names.all_rows() - names.held.len();
                assert_eq!(names.foreign_rows(), foreign, "seed {seed}");
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
        let mut told = names.news.begin();
        let mut news = |names: &Names| std::iter::from_fn(|| names.next_news(&mut told)).count();
        assert_eq!(news(&names), ROWS_MAX);
        for process in 0..ROWS_MAX as u64 {
            assert_eq!(names.rows_of(process).len(), 1);
            names.process_ended(process);
        }
        assert_eq!(names.all().count(), 0);
        assert_eq!((names.held.len(), news(&names)), (0, ROWS_MAX));
    }

    #[test]
    fn a_node_with_as_many_rows_as_it_may_have_can_announce_one_of_them_again() {
        let (mut names, other) = (Names::new(node("own")), node("other"));
        for process in 0..ROWS_MAX as u64 - 1 {
            names.joined(other, b"group", process).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(names.named(other, b"name", 1, 0), Ok(None));
            names.joined(other, b"group", 0).unwrap();
        }
        assert_eq!(names.foreign_rows(), ROWS_MAX);
        assert_eq!(names.named(other, b"another", 1, 0), Err(()));
        assert_eq!(names.joined(other, b"another", 1), Err(()));
        names.node_lost(other);
        assert_eq!(
            (names.foreign_rows(), names.all().count(), names.groups.len()),
            (0, 0, 0)
        );
    }
}
