//! Processes as owners of sockets: for any host that keeps sockets among what belongs to a process.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Budget;
use lunatic_kernel::hash::NumberSet;
use lunatic_kernel::{Host, Local, Process};

use crate::handles::{Owner, Refusal};

/// The sockets of one process. Most have none.
#[derive(Default)]
pub struct Sockets(Option<Box<NumberSet<Id>>>);

impl Sockets {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |sockets| sockets.len())
    }
}

impl IntoIterator for Sockets {
    type Item = Id;
    type IntoIter = std::iter::Flatten<std::option::IntoIter<NumberSet<Id>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.map(|sockets| *sockets).into_iter().flatten()
    }
}

/// A host whose processes can have sockets.
pub trait SocketHost: Host {
    /// The sockets among what belongs to a process.
    fn sockets(belongings: &mut Self::Belongings) -> &mut Sockets;

    /// The most sockets that a process may have.
    fn sockets_max(local: &Self::Local) -> u32;
}

impl<H: SocketHost> Owner for Arc<Process<H>> {
    fn id(&self) -> Id {
        self.id
    }

    fn budget(&self) -> Option<&Arc<Budget>> {
        self.local.budget()
    }

    fn own(&self, socket: Id) -> Result<(), Refusal> {
        let max = H::sockets_max(&self.local);
        let owned = self.with_belongings(|belongings| {
            let Sockets(sockets) = H::sockets(belongings);
            let sockets = sockets.get_or_insert_default();
            if sockets.len() >= max as usize {
                return Err(Refusal::Process(max));
            }
            sockets.insert(socket);
            Ok(())
        });
        owned.unwrap_or(Err(Refusal::Ended))
    }

    fn disown(&self, socket: Id) {
        self.with_belongings(|belongings| {
            let Sockets(sockets) = H::sockets(belongings);
            sockets.as_mut().map(|sockets| sockets.remove(&socket))
        });
    }
}
