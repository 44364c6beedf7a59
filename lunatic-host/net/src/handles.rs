//! Ownership of sockets.
//!
//! A socket belongs to one process: only that process can use it, and the socket closes when the process ends. The
//! owner can hand it over. The socket is then *in transit*, and belongs to the intended receiver. The process that
//! receives the message with its handle claims it; the key of the handle proves that the handle was given out. A socket
//! that is never claimed closes with the intended receiver.
//!
//! A clone is a separate handle of the same socket, which closes with the last handle.
//!
//! # Who pays
//!
//! Each handle has a [`Charge`]: one socket of a budget, one descriptor of the host, and the bytes that are kept for it
//! ([`cost`](crate::cost)). A process that hands a socket over pays until it is claimed; meanwhile, nothing of the
//! receiver's limits is used up, so no process can be stopped by what others send to it.
//!
//! # Locks
//!
//! A slot of the table may be locked while the lists of a process are locked (they are behind the lock that decides
//! whether the process is alive), never the reverse: a process that ends gives its list away first, and closes its
//! sockets afterwards. So a socket that is added to a process's list under the lock of the slot is certain to be
//! closed.

use std::sync::Arc;

use lunatic_kernel::address::{Id, Keys};
use lunatic_kernel::budget::{Budget, Exhausted, Payer, Receipt, Resource};
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::{Portion, Stock};
use lunatic_kernel::table::{Full, Table};

use super::readiness::Waiter;
use super::socket::Socket;

/// The most sockets that are open at a time.
const SOCKETS_MAX: u32 = 16 << 20;

/// The owner of sockets: a process.
pub trait Owner: Waiter + Payer {
    /// Returns its id.
    fn id(&self) -> Id;

    /// Returns the budget that it shares with others.
    fn budget(&self) -> Option<&Arc<Budget>>;

    /// Returns the descriptors of all processes, and the group with which it shares a part of them.
    fn descriptors(&self) -> (&Arc<Stock>, &Arc<Group>);

    /// Adds a socket to those that close when it ends. It may have been in transit to this owner before, and belongs to
    /// it from now on.
    ///
    /// # Errors
    ///
    /// If it has reached its limit, or has ended.
    fn own(&self, socket: Id) -> Result<(), Refusal>;

    /// Adds a socket in transit to those that close when it ends.
    ///
    /// # Errors
    ///
    /// If it has ended.
    fn expect(&self, socket: Id) -> Result<(), Refusal>;

    /// Undoes [`own`](Self::own) or [`expect`](Self::expect).
    fn disown(&self, socket: Id);
}

struct Entry<W: Owner> {
    socket: Arc<Socket<W>>,
    owner: W,
    /// The process that has handed it over, until it is claimed.
    in_transit: Option<Id>,
    /// It was handed over to whoever claims it first, not to the process that owns it.
    is_for_anyone: bool,
    charge: Charge,
}

/// The charge for one socket: one socket of the budget, one descriptor of the host, and bytes. Given back on drop.
///
/// Clones of a socket share one descriptor, and each pays for one: the last one to close must have paid.
pub struct Charge {
    budget: Option<Arc<Budget>>,
    group: Arc<Group>,
    _descriptor: Portion,
    kept: Receipt,
}

impl Charge {
    /// Charges a process for a socket for which this many bytes are kept, before the socket exists.
    ///
    /// # Errors
    ///
    /// If its budget has none left, or the host has no descriptor for it.
    pub fn of(owner: &impl Owner, bytes: usize) -> Result<Self, Refusal> {
        let (stock, group) = owner.descriptors();
        let descriptor = Portion::take(stock, group, 1).ok_or(Refusal::Host)?;
        let mut kept = Receipt::new(owner.purse().to_account(), Resource::Network);
        kept.grow(bytes).map_err(Refusal::Budget)?;
        let budget = owner.budget().cloned();
        if let Some(budget) = &budget {
            budget.charge(Resource::Sockets, 1).map_err(Refusal::Budget)?;
        }
        Ok(Self {
            budget,
            group: group.clone(),
            _descriptor: descriptor,
            kept,
        })
    }

    /// Charges the process for this many further bytes.
    ///
    /// # Errors
    ///
    /// If its budget does not have enough left.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.kept.grow(bytes).map_err(Refusal::Budget)
    }

    /// Gives back this many bytes, which were not needed after all.
    pub fn shrink(&mut self, bytes: usize) {
        self.kept.shrink(bytes);
    }

    /// Whether it is charged to this process, alone or with others.
    fn is_of(&self, owner: &impl Owner) -> bool {
        let is_of_budget = match (&self.budget, owner.budget()) {
            (Some(own), Some(its)) => Arc::ptr_eq(own, its),
            (None, None) => true,
            _ => false,
        };
        is_of_budget && Arc::ptr_eq(&self.group, owner.descriptors().1)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(Resource::Sockets, 1);
        }
    }
}

/// To whom a socket is handed over.
pub enum Receiver<'a, W> {
    /// This process.
    Process(&'a W),
    /// Whoever claims it first: the receiver is not known yet. Until then, it belongs to this process, or to the caller.
    Anyone(Option<&'a W>),
}

/// Why a socket cannot be opened, handed over or claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The caller does not own it, or no longer does.
    NotYours,
    /// The intended receiver has ended.
    Ended,
    /// The process has reached its limit of sockets.
    Process(u32),
    /// A budget has none left.
    Budget(Exhausted),
    /// The process, and the group with which it shares the host's descriptors, have reached their limit.
    Host,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotYours => write!(f, "the socket was closed or handed to another process"),
            Self::Ended => write!(f, "the process that the socket is meant for has ended"),
            Self::Process(max) => write!(
                f,
                "the process cannot open another socket: the limit is {max}; close some, or raise `max-files`"
            ),
            Self::Budget(exhausted) => exhausted.fmt(f),
            Self::Host => write!(
                f,
                "the host has no descriptor left for the process, as all that share them have many files and sockets open: \
                 close some, or raise the limit of the system (`ulimit -n`)"
            ),
        }
    }
}

pub struct Handles<W: Owner> {
    table: Table<Entry<W>>,
    pub keys: Keys,
}

impl<W: Owner> Handles<W> {
    pub fn new(keys: Keys) -> Self {
        Self {
            table: Table::new(SOCKETS_MAX),
            keys,
        }
    }

    /// Gives a new socket to a process.
    pub fn open(&self, worker: usize, owner: &W, socket: Arc<Socket<W>>, charge: Charge) -> Result<Id, Refusal> {
        let entry = Entry {
            socket,
            owner: owner.clone(),
            in_transit: None,
            is_for_anyone: false,
            charge,
        };
        let id = self.table.insert(worker, |_| entry).map_err(|Full| Refusal::Host)?;
        match owner.own(id) {
            Ok(()) => Ok(id),
            Err(refusal) => {
                self.table.remove(worker, id);
                Err(refusal)
            }
        }
    }

    /// Returns the socket, if it belongs to the caller.
    pub fn get(&self, caller: &W, id: Id) -> Result<Arc<Socket<W>>, Refusal> {
        let entry = self.table.get(id).ok_or(Refusal::NotYours)?;
        if entry.owner.id() != caller.id() || entry.in_transit.is_some() {
            return Err(Refusal::NotYours);
        }
        Ok(entry.socket.clone())
    }

    /// Calls `visit` with each socket and its owner or intended receiver. Sockets that are opened or closed meanwhile
    /// may be missed. `visit` must be quick: the slot of the socket is locked.
    pub fn visit(&self, mut visit: impl FnMut(Id, &W, &Arc<Socket<W>>)) {
        self.table.for_each(|id, entry| visit(id, &entry.owner, &entry.socket));
    }

    /// Removes the handle; the socket closes if it was the last. A socket in transit to the caller can be closed, too;
    /// one that the caller has sent cannot, because its message may still be received.
    pub fn close(&self, worker: usize, caller: &W, id: Id) -> Result<(), Refusal> {
        let is_callers = |entry: &Entry<W>| entry.owner.id() == caller.id() && entry.in_transit != Some(caller.id());
        if !self.table.get(id).is_some_and(|entry| is_callers(&entry)) {
            return Err(Refusal::NotYours);
        }
        caller.disown(id);
        self.close_of(worker, caller.id(), id);
        Ok(())
    }

    /// Closes a socket of a process that has ended.
    pub fn close_of(&self, worker: usize, owner: Id, id: Id) {
        // Under one lock: its sender may be claiming it back.
        drop(self.table.remove_if(worker, id, |entry| entry.owner.id() == owner));
    }

    /// Hands a socket of the caller over. Does nothing if it has been claimed meanwhile.
    pub fn hand_over(&self, caller: &W, id: Id, to: Receiver<'_, W>) -> Result<(), Refusal> {
        let mut entry = self.table.get(id).ok_or(Refusal::NotYours)?;
        if entry.owner.id() != caller.id() {
            return Err(Refusal::NotYours);
        }
        let (to, is_for_anyone) = match to {
            Receiver::Process(to) => (Some(to), false),
            Receiver::Anyone(keeper) => (keeper, true),
        };
        let to = to.filter(|to| to.id() != caller.id());
        // Under the lock of the slot, so that the receiver closes the socket even if it ends now (see above).
        if let Some(to) = to {
            to.expect(id)?;
            entry.owner = to.clone();
        }
        entry.in_transit = Some(caller.id());
        entry.is_for_anyone = is_for_anyone;
        drop(entry);
        if to.is_some() {
            caller.disown(id);
        }
        Ok(())
    }

    /// Returns whether a socket is the caller's, and not in transit.
    pub fn is_owned(&self, caller: &W, id: Id) -> bool {
        let entry = self.table.get(id);
        entry.is_some_and(|entry| entry.in_transit.is_none() && entry.owner.id() == caller.id())
    }

    /// Makes a socket in transit the caller's. A socket that already is stays so.
    pub fn claim(&self, caller: &W, id: Id) -> Result<(), Refusal> {
        let mut entry = self.table.get(id).ok_or(Refusal::NotYours)?;
        if entry.in_transit.is_none() {
            return if entry.owner.id() == caller.id() {
                Ok(())
            } else {
                Err(Refusal::NotYours)
            };
        }
        // Otherwise a former owner, which knows the handle, could take it before the receiver does.
        let is_asked = entry.owner.id() == caller.id() || entry.in_transit == Some(caller.id());
        if !is_asked && !entry.is_for_anyone {
            return Err(Refusal::NotYours);
        }
        // The sender has been charged for it until now.
        let charge = match entry.charge.is_of(caller) {
            true => None,
            false => Some(Charge::of(caller, entry.socket.cost())?),
        };
        // If it already belongs to the caller, it may have been in transit to the caller.
        caller.own(id)?;
        let former = std::mem::replace(&mut entry.owner, caller.clone());
        let paid = charge.map(|charge| std::mem::replace(&mut entry.charge, charge));
        entry.in_transit = None;
        drop(entry);
        drop(paid);
        if former.id() != caller.id() {
            former.disown(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Instant;

    use lunatic_kernel::address::Node;
    use lunatic_kernel::budget::{Caps, Purse};
    use parking_lot::Mutex;

    use super::*;
    use crate::reactor::Reactor;
    use crate::unix;

    /// A process that is only a number and its sockets.
    #[derive(Clone)]
    struct Someone(Arc<Inner>);

    struct Inner {
        id: Id,
        host: Arc<Budget>,
        stock: Arc<Stock>,
        group: Arc<Group>,
        own: Mutex<HashSet<Id>>,
    }

    impl Payer for Someone {
        fn purse(&self) -> Purse<'_> {
            Purse::new(None, &self.0.host)
        }
    }

    impl Owner for Someone {
        fn id(&self) -> Id {
            self.0.id
        }

        fn budget(&self) -> Option<&Arc<Budget>> {
            None
        }

        fn descriptors(&self) -> (&Arc<Stock>, &Arc<Group>) {
            (&self.0.stock, &self.0.group)
        }

        fn own(&self, socket: Id) -> Result<(), Refusal> {
            self.0.own.lock().insert(socket);
            Ok(())
        }

        fn expect(&self, socket: Id) -> Result<(), Refusal> {
            self.own(socket)
        }

        fn disown(&self, socket: Id) {
            self.0.own.lock().remove(&socket);
        }
    }

    #[test]
    fn only_who_is_meant_and_who_sends_can_claim() {
        let host = Budget::outermost(Caps::default(), Instant::now());
        let (stock, group) = (Stock::new(100), Group::new());
        let [first, second, third, stranger] = [1, 2, 3, 4].map(|slot| {
            Someone(Arc::new(Inner {
                id: Id::new(slot, 0),
                host: host.clone(),
                stock: stock.clone(),
                group: group.clone(),
                own: Mutex::default(),
            }))
        });
        let reactor = Arc::new(Reactor::new().unwrap());
        let handles = Handles::new(Keys::new(Node::draw(1), || 7));
        let [socket, _other] = unix::pair(&reactor).unwrap();
        let charge = Charge::of(&first, 0).unwrap();
        let id = handles.open(0, &first, socket, charge).unwrap();

        handles.hand_over(&first, id, Receiver::Process(&second)).unwrap();
        assert_eq!(handles.claim(&stranger, id), Err(Refusal::NotYours));
        handles.claim(&second, id).unwrap();
        handles.hand_over(&second, id, Receiver::Process(&third)).unwrap();
        // The former owner still knows the handle.
        assert_eq!(handles.claim(&first, id), Err(Refusal::NotYours));
        // The sender takes it back, and sends it to whoever comes first.
        handles.claim(&second, id).unwrap();
        assert!(handles.is_owned(&second, id));
        handles.hand_over(&second, id, Receiver::Anyone(Some(&first))).unwrap();
        handles.claim(&third, id).unwrap();
        assert!(handles.is_owned(&third, id));
        assert!(first.0.own.lock().is_empty() && second.0.own.lock().is_empty());
    }
}
