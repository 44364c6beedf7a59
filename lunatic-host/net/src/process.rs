//! Processes as owners of sockets, for any host that keeps sockets among the belongings of a process.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Budget;
use lunatic_kernel::hash::NumberSet;
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::Stock;
use lunatic_kernel::{Host, Local, Process};

use crate::handles::{Owner, Refusal};

/// The sockets of a process. Most processes have none.
#[derive(Default)]
pub struct Sockets(Option<Box<Lists>>);

#[derive(Default)]
struct Lists {
    own: NumberSet<Id>,
    /// Sockets in transit to the process: others pay for them.
    coming: NumberSet<Id>,
}

impl Sockets {
    /// Returns the number of sockets, including those in transit to the process.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |lists| lists.own.len() + lists.coming.len())
    }

    /// Adds a socket, if the process has fewer than `max`.
    fn own(&mut self, socket: Id, max: u32) -> Result<(), Refusal> {
        let lists = self.0.get_or_insert_default();
        if lists.own.contains(&socket) {
            return Ok(());
        }
        if lists.own.len() >= max as usize {
            return Err(Refusal::Process(max));
        }
        lists.coming.remove(&socket);
        lists.own.insert(socket);
        Ok(())
    }

    fn disown(&mut self, socket: Id) {
        let Some(lists) = &mut self.0 else { return };
        for list in [&mut lists.own, &mut lists.coming] {
            // The room is given back, because nobody pays for it.
            if list.remove(&socket) && list.len() < list.capacity() / 4 {
                list.shrink_to_fit();
            }
        }
    }
}

impl IntoIterator for Sockets {
    type Item = Id;
    type IntoIter = std::vec::IntoIter<Id>;

    fn into_iter(self) -> Self::IntoIter {
        let lists = self.0.map(|lists| lists.own.into_iter().chain(lists.coming));
        lists.into_iter().flatten().collect::<Vec<_>>().into_iter()
    }
}

/// A host whose processes can have sockets.
pub trait SocketHost: Host {
    /// Returns the sockets among the belongings of a process.
    fn sockets(belongings: &mut Self::Belongings) -> &mut Sockets;

    /// Returns the most sockets that a process may have.
    fn sockets_max(local: &Self::Local) -> u32;

    /// Returns the descriptors of all processes, and the group with which a process shares a part of them.
    fn descriptors(local: &Self::Local) -> (&Arc<Stock>, &Arc<Group>);
}

impl<H: SocketHost> Owner for Arc<Process<H>> {
    fn id(&self) -> Id {
        self.id
    }

    fn budget(&self) -> Option<&Arc<Budget>> {
        self.local.budget()
    }

    fn descriptors(&self) -> (&Arc<Stock>, &Arc<Group>) {
        H::descriptors(&self.local)
    }

    fn own(&self, socket: Id) -> Result<(), Refusal> {
        let max = H::sockets_max(&self.local);
        let owned = self.with_belongings(|belongings| H::sockets(belongings).own(socket, max));
        owned.unwrap_or(Err(Refusal::Ended))
    }

    fn expect(&self, socket: Id) -> Result<(), Refusal> {
        let add = |sockets: &mut Sockets| sockets.0.get_or_insert_default().coming.insert(socket);
        let added = self.with_belongings(|belongings| add(H::sockets(belongings)));
        added.map(drop).ok_or(Refusal::Ended)
    }

    fn disown(&self, socket: Id) {
        self.with_belongings(|belongings| H::sockets(belongings).disown(socket));
    }
}
