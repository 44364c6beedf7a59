//! What the side above asks of a node.

use std::sync::Arc;
use std::time::Duration;

use super::{Event, Node, SendRefusal};
use crate::identity::NodeId;
use crate::names::{Anywhere, NameRefusal};
use crate::outbox::Pair;
use crate::record::{Hash, Record};
use crate::store::Progress;
use lunatic_kernel::delivery::Signal;

impl Node {
    /// Sends a record to a node. Only messages and spawns can be refused for want of room.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not taken.
    pub fn send(&mut self, to: NodeId, record: &Record<'_>) -> Result<(), SendRefusal> {
        let can_wait = matches!(
            record,
            Record::Spawn { .. }
                | Record::Signal {
                    signal: Signal::Message { .. },
                    ..
                }
        );
        // Before the bytes of a long message are copied.
        if can_wait && self.is_up(to) && !self.has_room(to) {
            return self.push(to, (0, 0), Vec::new(), true);
        }
        self.push(to, record.pair(), record.write(), can_wait)
    }

    pub(super) fn push(&mut self, to: NodeId, pair: Pair, record: Vec<u8>, can_wait: bool) -> Result<(), SendRefusal> {
        let known = self.lines.get_mut(&to).filter(|known| known.is_up);
        let traffic = known.and_then(|known| known.line.traffic.as_mut());
        let taken = traffic.ok_or(SendRefusal::Gone)?.push(pair, record, can_wait);
        taken.then_some(()).ok_or(SendRefusal::Full)
    }

    /// Whether the node is connected.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.lines.get(&node).is_some_and(|known| known.is_up)
    }

    /// Whether a message to the node would be taken.
    pub fn has_room(&self, node: NodeId) -> bool {
        let traffic = self.lines.get(&node).and_then(|known| known.line.traffic.as_ref());
        traffic.is_some_and(|traffic| traffic.has_room())
    }

    /// Tells all nodes that this one leaves, once its frames have been sent.
    pub fn leave(&mut self, now: Duration) {
        self.poll(now);
        for known in self.lines.values().filter(|known| known.line.traffic.is_some()) {
            self.frames
                .push((known.line.identity.clone(), known.line.route().bye()));
        }
    }

    /// Gives a name to a process of this node, in the whole cluster. Of two nodes that give the same name at once, the one with
    /// the higher `priority` wins.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why it was not given.
    pub fn register(&mut self, name: &[u8], process: u64, priority: u8) -> Result<(), NameRefusal> {
        self.names.register(name, process, priority)
    }

    /// Takes a name back that a process of this node has; which process.
    pub fn unregister(&mut self, name: &[u8]) -> Option<u64> {
        self.names.unregister(name)
    }

    /// Who has the name, as far as this node knows.
    pub fn find(&self, name: &[u8]) -> Option<Anywhere> {
        self.names.find(name)
    }

    /// All names, and who has them.
    pub fn names(&self) -> impl Iterator<Item = (&[u8], Anywhere)> {
        self.names.all()
    }

    /// A process of this node joins a group.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why it did not.
    pub fn join(&mut self, group: &[u8], process: u64) -> Result<(), NameRefusal> {
        self.names.join(group, process)
    }

    /// A process of this node leaves a group; whether it was in it.
    pub fn leave_group(&mut self, group: &[u8], process: u64) -> bool {
        self.names.leave(group, process)
    }

    /// The members of a group, by nodes.
    pub fn group(&self, group: &[u8]) -> impl Iterator<Item = Anywhere> + '_ {
        self.names.members(group)
    }

    /// A process of this node has ended: its names and memberships fall.
    pub fn process_ended(&mut self, process: u64) {
        self.names.process_ended(process);
    }

    /// Keeps a module, which others may fetch from here then; its hash.
    pub fn keep_module(&mut self, bytes: Arc<[u8]>) -> Hash {
        self.store.keep(bytes)
    }

    /// The module of a hash, if it is here.
    pub fn module(&mut self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.store.get(hash)
    }

    /// Wants a module, of one of these nodes: an [`Event::Fetched`] comes.
    pub fn fetch(&mut self, now: Duration, hash: Hash, holders: &[NodeId]) {
        let progress = self.store.fetch(now, hash, holders);
        self.go_on_fetching(now, hash, progress);
    }

    pub(super) fn go_on_fetching(&mut self, now: Duration, hash: Hash, progress: Progress) {
        match progress {
            Progress::Nothing => {}
            Progress::Done(result) => self.events.push_back(Event::Fetched { hash, result }),
            Progress::Ask(node, records) => {
                let pair = (u64::MAX, hash[0].into());
                let mut sent = records.into_iter().map(|record| self.push(node, pair, record, false));
                if sent.any(|sent| sent.is_err()) {
                    drop(sent);
                    // Not connected: the next one is asked. There are fewer holders each time.
                    let missing = self.store.on_missing(now, node, hash);
                    self.go_on_fetching(now, hash, missing);
                }
            }
        }
    }
}
