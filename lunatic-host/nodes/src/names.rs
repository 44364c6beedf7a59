//! Global names and groups: each node says what its own processes are called, and everybody knows it.
//!
//! A node writes only its own rows, and sends them to each node it is connected to; all of them when an epoch begins, then
//! what changes. The rows of a node go when its epoch ends. So a look-up asks nobody.
//!
//! Two nodes may have given one name to two processes, at the same moment or while they did not see each other. All nodes choose
//! the same one without talking about it: the higher priority, then the smaller [`NodeId`], then the smaller process. The node of
//! the other takes the name away and tells the process.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::NodeId;
use crate::record::{KEY_LEN_MAX, Record};

/// So many rows may one node have, names and memberships together.
pub const ROWS_MAX: usize = 1 << 16;

/// A process anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Anywhere {
    /// Its node.
    pub node: NodeId,
    /// Its slot and use there.
    pub process: u64,
}

/// Why a name was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameRefusal {
    /// This process has it.
    Taken(Anywhere),
    /// It is longer than [`KEY_LEN_MAX`], or empty.
    Form,
    /// The node has [`ROWS_MAX`] rows.
    Full,
}

/// A process of this node has lost its name to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The name.
    pub name: Vec<u8>,
    /// Who had it here.
    pub loser: u64,
    /// Who has it now.
    pub winner: Anywhere,
}

/// One claim to a name. The first one in order wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// The priority, such that the highest comes first.
    rank: u8,
    holder: Anywhere,
}

/// The rows of all nodes, as this one knows them.
pub(crate) struct Names {
    own: NodeId,
    names: BTreeMap<Vec<u8>, BTreeSet<Claim>>,
    groups: BTreeMap<Vec<u8>, BTreeSet<Anywhere>>,
    /// How many rows each node has.
    rows: BTreeMap<NodeId, usize>,
    /// What has changed of this node's own rows and must be sent to all.
    news: Vec<Vec<u8>>,
}

impl Names {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            names: BTreeMap::new(),
            groups: BTreeMap::new(),
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

    /// Gives a name to a process of this node.
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

    /// Takes a name from the process of this node that has it; which one.
    pub(crate) fn unregister(&mut self, name: &[u8]) -> Option<u64> {
        let process = self.release(name, self.own)?;
        self.news.push(Record::Unnamed { name }.write());
        Some(process)
    }

    /// Who has the name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Anywhere> {
        Some(self.names.get(name)?.first()?.holder)
    }

    fn claim(&mut self, name: &[u8], node: NodeId, process: u64, priority: u8) {
        // A node gives a name to one process at a time: its former claim, if there is one, is over.
        self.release(name, node);
        let claim = Claim {
            rank: u8::MAX - priority,
            holder: Anywhere { node, process },
        };
        self.names.entry(name.to_vec()).or_default().insert(claim);
        self.add_row(node);
    }

    fn release(&mut self, name: &[u8], node: NodeId) -> Option<u64> {
        let claims = self.names.get_mut(name)?;
        let claim = *claims.iter().find(|claim| claim.holder.node == node)?;
        claims.remove(&claim);
        if claims.is_empty() {
            self.names.remove(name);
        }
        self.remove_row(node);
        Some(claim.holder.process)
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

    /// A process of this node joins a group.
    pub(crate) fn join(&mut self, group: &[u8], process: u64) -> Result<(), NameRefusal> {
        self.check(group)?;
        if self.add_member(group, self.own, process) {
            self.news.push(Record::Joined { group, process }.write());
        }
        Ok(())
    }

    /// A process of this node leaves a group; whether it was in it.
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

    /// A process of this node has ended: its names and memberships fall.
    pub(crate) fn process_ended(&mut self, process: u64) {
        let own = Anywhere {
            node: self.own,
            process,
        };
        let has = |claims: &BTreeSet<Claim>| claims.iter().any(|claim| claim.holder == own);
        let names = self.names.iter().filter(|(_, claims)| has(claims));
        let names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
        let groups = self.groups.iter().filter(|(_, members)| members.contains(&own));
        let groups: Vec<_> = groups.map(|(group, _)| group.clone()).collect();
        for name in names {
            self.unregister(&name);
        }
        for group in groups {
            self.leave(&group, process);
        }
    }

    /// A node is gone, and its rows with it.
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

    /// All rows of this node, as records for a node that is new.
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

    /// What must be sent to all nodes, in this order.
    pub(crate) fn take_news(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.news)
    }

    /// How many rows there are of other nodes.
    pub(crate) fn foreign_rows(&self) -> usize {
        self.rows
            .iter()
            .filter(|(node, _)| **node != self.own)
            .map(|(_, rows)| rows)
            .sum()
    }

    /// All names and who has them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&[u8], Anywhere)> {
        let first = |claims: &BTreeSet<Claim>| claims.first().map(|claim| claim.holder);
        self.names
            .iter()
            .filter_map(move |(name, claims)| Some((&name[..], first(claims)?)))
    }
}
