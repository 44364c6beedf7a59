//! What the embedder can request of a node.

use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::exit::Loss;

use super::{Event, Node, SendRefusal};
use crate::attributes::Attributes;
use crate::identity::NodeId;
use crate::names::{Anywhere, NameRefusal};
use crate::outbox::{MODULES, Paid, Pair};
use crate::record::{Hash, Record};
use crate::store::Progress;
use crate::traffic::{Pressure, Traffic};

impl Node {
    /// Sends a record to a node. Only messages, spawns and errands are refused for lack of room.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why the record was not taken.
    pub fn send(&mut self, to: NodeId, record: &Record<'_>) -> Result<(), SendRefusal> {
        let pressure = match record.can_wait() {
            true => Pressure::Waits,
            false => Pressure::Passes,
        };
        self.push(to, record.pair(), record.write(), pressure)
    }

    /// Whether a record of this sender and length that can wait would be taken in this epoch. If there is no room, an
    /// [`Event::Room`] comes when there is.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it would not be taken.
    pub(crate) fn asks_for_room(
        &mut self,
        to: NodeId,
        epoch: u64,
        (sender, len): (u64, usize),
    ) -> Result<(), SendRefusal> {
        let traffic = self.traffic_of(to, epoch).ok_or(SendRefusal::Gone)?;
        let has_room = traffic.asks_for_room(sender, len);
        has_room.then_some(()).ok_or(SendRefusal::Full)
    }

    /// [`asks_for_room`](Self::asks_for_room) for whatever was last refused to this sender.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it would not be taken.
    pub(crate) fn asks_again(&mut self, to: NodeId, epoch: u64, sender: u64) -> Result<(), SendRefusal> {
        let traffic = self.traffic_of(to, epoch).ok_or(SendRefusal::Gone)?;
        traffic.asks_again(sender).then_some(()).ok_or(SendRefusal::Full)
    }

    /// Sends a record that its sender has encoded, within this epoch and no later one. What the sender pays is dropped
    /// when all of it has been sent.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why the record was not taken.
    pub(crate) fn send_encoded(
        &mut self,
        to: NodeId,
        epoch: u64,
        (pair, record): (Pair, Vec<u8>),
        pressure: Pressure,
        paid: Option<Paid>,
    ) -> Result<(), SendRefusal> {
        let taken = self.traffic_of(to, epoch).ok_or(SendRefusal::Gone)?;
        let taken = taken.push_paid(pair, record, pressure, paid);
        taken.then_some(()).ok_or(SendRefusal::Full)
    }

    fn traffic_of(&mut self, node: NodeId, epoch: u64) -> Option<&mut Traffic> {
        let known = self.lines.get_mut(&node)?;
        let is_right = known.is_up && known.line.session() == epoch;
        known.line.traffic.as_mut().filter(|_| is_right)
    }

    pub(super) fn push(
        &mut self,
        to: NodeId,
        pair: Pair,
        record: Vec<u8>,
        pressure: Pressure,
    ) -> Result<(), SendRefusal> {
        let known = self.lines.get_mut(&to).filter(|known| known.is_up);
        let traffic = known.and_then(|known| known.line.traffic.as_mut());
        let taken = traffic.ok_or(SendRefusal::Gone)?.push(pair, record, pressure);
        taken.then_some(()).ok_or(SendRefusal::Full)
    }

    /// Whether the node is connected.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.lines.get(&node).is_some_and(|known| known.is_up)
    }

    /// The attributes of a node that is connected.
    pub fn attributes(&self, node: NodeId) -> Option<Attributes> {
        let known = self.lines.get(&node).filter(|known| known.is_up)?;
        Some(known.attributes.clone())
    }

    /// Whether a message to the node would be taken.
    pub fn has_room(&self, node: NodeId) -> bool {
        let traffic = self.lines.get(&node).and_then(|known| known.line.traffic.as_ref());
        traffic.is_some_and(|traffic| traffic.has_room())
    }

    /// Notifies all nodes that this one leaves, as soon as its frames have been sent.
    pub fn leave(&mut self, now: Duration) {
        self.poll(now);
        while self.lines.values().any(|known| known.line.has_more()) {
            self.poll(now);
        }
        for known in self.lines.values().filter(|known| known.line.traffic.is_some()) {
            self.frames
                .push((known.line.identity.clone(), known.line.route().bye()));
        }
    }

    /// Ends all epochs, and takes nothing any more.
    pub(crate) fn close(&mut self, now: Duration) {
        let nodes: Vec<_> = self.lines.keys().copied().collect();
        for node in nodes {
            self.lose(now, node, Loss::Closed);
        }
        self.lines.clear();
        self.is_over = true;
    }

    /// Registers a process of this node under a name, in the whole cluster. If two nodes give the same name at the same
    /// time, the one with the higher `priority` wins.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why the name was not given.
    pub fn register(&mut self, name: &[u8], process: u64, priority: u8) -> Result<(), NameRefusal> {
        self.names.register(name, process, priority)
    }

    /// Takes a name back from a process of this node. Returns the process that had it.
    pub fn unregister(&mut self, name: &[u8]) -> Option<u64> {
        self.names.unregister(name)
    }

    /// The process with this name, as far as this node knows.
    pub fn find(&self, name: &[u8]) -> Option<Anywhere> {
        self.names.find(name)
    }

    /// All names, each with its process.
    pub fn names(&self) -> impl Iterator<Item = (&[u8], Anywhere)> {
        self.names.all()
    }

    /// Adds a process of this node to a group.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why the process did not join.
    pub fn join(&mut self, group: &[u8], process: u64) -> Result<(), NameRefusal> {
        self.names.join(group, process)
    }

    /// Removes a process of this node from a group. True if it was a member.
    pub fn leave_group(&mut self, group: &[u8], process: u64) -> bool {
        self.names.leave(group, process)
    }

    /// The members of a group, in the order of nodes: those that come after one, or all.
    pub fn group(&self, group: &[u8], after: Option<Anywhere>) -> impl Iterator<Item = Anywhere> + '_ {
        self.names.members(group, after)
    }

    /// Removes the names and memberships of a process of this node that has ended.
    pub fn process_ended(&mut self, process: u64) {
        self.names.process_ended(process);
    }

    /// Keeps a module with this [hash](crate::store::hash), which other nodes may fetch from then on.
    pub fn keep_module(&mut self, hash: Hash, bytes: Arc<[u8]>) {
        self.store.keep(hash, bytes);
    }

    /// The module with this hash, if this node has it.
    pub fn module(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.store.get(hash)
    }

    /// Fetches a module from one of these nodes. An [`Event::Fetched`] reports the result.
    pub fn fetch(&mut self, now: Duration, hash: Hash, holders: &[NodeId]) {
        let progress = self.store.fetch(now, hash, holders);
        self.go_on_fetching(now, hash, progress);
    }

    pub(super) fn go_on_fetching(&mut self, now: Duration, hash: Hash, progress: Progress) {
        match progress {
            Progress::Nothing => {}
            Progress::Arrived(bytes) => self.events.push_back(Event::Arrived { hash, bytes }),
            Progress::Done(result) => self.events.push_back(Event::Fetched { hash, result }),
            Progress::Ask(node, records) => {
                let pair = (MODULES, hash[0].into());
                let mut sent = records
                    .into_iter()
                    .map(|record| self.push(node, pair, record, Pressure::Passes));
                if sent.any(|sent| sent.is_err()) {
                    drop(sent);
                    // Not connected: asks the next one. There are fewer holders each time.
                    let missing = self.store.on_missing(now, node, hash);
                    self.go_on_fetching(now, hash, missing);
                }
            }
        }
    }
}
