//! Global names, groups and modules, for the processes of a kernel.

use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::address::{Id, Peer};
use lunatic_kernel::delivery::Signal;
use lunatic_kernel::host::Host;
use lunatic_sys::codes::REFERENCE_BIT;

use super::Cluster;
use crate::identity::NodeId;
use crate::names::{Anywhere, NameRefusal};
use crate::record::Hash;

impl<H: Host> Cluster<H> {
    /// Gives a name to a process of this node, in the whole cluster, until the process ends.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why it was not given.
    pub fn register(&self, name: &[u8], process: Id, priority: u8) -> Result<(), NameRefusal> {
        self.shared.node.lock().register(name, process.raw(), priority)?;
        self.hear_of_end(process);
        Ok(())
    }

    /// Takes a name back; whether a process of this node had it.
    pub fn unregister(&self, name: &[u8]) -> bool {
        let had = self.shared.node.lock().unregister(name).is_some();
        self.shared.wake();
        had
    }

    /// Who has the name, as far as this node knows.
    pub fn find(&self, name: &[u8]) -> Option<Id> {
        let found = self.shared.node.lock().find(name)?;
        self.id_of(found)
    }

    /// A process of this node joins a group, until it ends.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why it did not.
    pub fn join(&self, group: &[u8], process: Id) -> Result<(), NameRefusal> {
        self.shared.node.lock().join(group, process.raw())?;
        self.hear_of_end(process);
        Ok(())
    }

    /// A process of this node leaves a group; whether it was in it.
    pub fn leave_group(&self, group: &[u8], process: Id) -> bool {
        let was_member = self.shared.node.lock().leave_group(group, process.raw());
        self.shared.wake();
        was_member
    }

    /// The members of a group.
    pub fn group(&self, group: &[u8]) -> Vec<Id> {
        let members: Vec<_> = self.shared.node.lock().group(group).collect();
        members.into_iter().filter_map(|member| self.id_of(member)).collect()
    }

    fn id_of(&self, process: Anywhere) -> Option<Id> {
        let peer = match process.node == self.id() {
            true => Peer::HERE,
            false => self.peer(process.node)?,
        };
        Some(Id::from_raw(process.process).on(peer))
    }

    /// The kernel tells the registrar when the process ends, at once if it has.
    fn hear_of_end(&self, process: Id) {
        if self.shared.watched.lock().insert(process.raw()) {
            let reference = self.kernel.random() | REFERENCE_BIT;
            let registrar = Id::new(1, 0).on(self.registrar);
            self.kernel.receive(registrar, process, Signal::Monitor { reference });
        }
        self.shared.wake();
    }

    /// Keeps a module, which other nodes may fetch then; its hash.
    pub fn keep_module(&self, bytes: Arc<[u8]>) -> Hash {
        self.shared.node.lock().keep_module(bytes)
    }

    /// The module of a hash, if it is here.
    pub fn module(&self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.shared.node.lock().module(hash)
    }

    /// Wants a module of one of these nodes: [`Told::Fetched`](super::Told::Fetched) tells of it, for all who want it.
    pub fn fetch(&self, now: Duration, hash: Hash, holders: &[NodeId]) {
        self.shared.node.lock().fetch(now, hash, holders);
        self.shared.wake();
    }
}
