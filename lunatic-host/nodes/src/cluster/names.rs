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
    /// Registers a process of this node under a name, in the whole cluster, until the process ends.
    ///
    /// # Errors
    ///
    /// [`NameRefusal`] says why the name was not given.
    pub fn register(&self, name: &[u8], process: Id, priority: u8) -> Result<(), NameRefusal> {
        self.shared.node.lock().register(name, process.raw(), priority)?;
        self.hear_of_end(process);
        Ok(())
    }

    /// Takes a name back. True if a process of this node had it.
    pub fn unregister(&self, name: &[u8]) -> bool {
        let had = self.shared.node.lock().unregister(name).is_some();
        self.shared.wake();
        had
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
    pub fn join(&self, group: &[u8], process: Id) -> Result<(), NameRefusal> {
        self.shared.node.lock().join(group, process.raw())?;
        self.hear_of_end(process);
        Ok(())
    }

    /// Removes a process of this node from a group. True if it was a member.
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

    /// Asks the kernel to notify the registrar when the process ends; if it has ended, immediately.
    fn hear_of_end(&self, process: Id) {
        if self.shared.watched.lock().insert(process.raw()) {
            let reference = self.kernel.random() | REFERENCE_BIT;
            let registrar = Id::new(1, 0).on(self.registrar);
            self.kernel.receive(registrar, process, Signal::Monitor { reference });
        }
        self.shared.wake();
    }

    /// Keeps a module, which other nodes may fetch from then on. Returns its hash.
    pub fn keep_module(&self, bytes: Arc<[u8]>) -> Hash {
        self.shared.node.lock().keep_module(bytes)
    }

    /// The module with this hash, if this node has it.
    pub fn module(&self, hash: &Hash) -> Option<Arc<[u8]>> {
        self.shared.node.lock().module(hash)
    }

    /// Fetches a module from one of these nodes. [`Told::Fetched`](super::Told::Fetched) reports the result, once for
    /// all who requested it.
    pub fn fetch(&self, now: Duration, hash: Hash, holders: &[NodeId]) {
        self.shared.node.lock().fetch(now, hash, holders);
        self.shared.wake();
    }
}
