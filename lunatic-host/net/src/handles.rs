//! Which process has which socket.
//!
//! A socket belongs to one process: only that one can use it, and when it ends, the socket closes. Whoever has it can hand
//! it over: the socket is then *in transit*, belongs to the one it is meant for, and is claimed by whoever receives the
//! message with its handle, which proves by its key that it was given. What is never claimed closes with the process it
//! was meant for.
//!
//! A clone is a handle of its own of the same socket, which closes with the last of them.
//!
//! # Who pays
//!
//! Each handle has a [`Charge`]: one socket of a budget, one descriptor of the host, and the bytes that are kept for it
//! ([`cost`](crate::cost)). Who hands a socket over pays until it is claimed, and nothing of what the receiver may have is used up
//! meanwhile, so nobody is stopped by what others send to it.
//!
//! # Locks
//!
//! A slot of the table may be locked while the lists of processes are (they are behind the lock that decides between alive
//! and ended), never the reverse: a process that ends gives its list away first, and closes what was in it afterwards. So
//! who adds a socket to a process's list under the lock of the slot knows that it will be closed.

use std::sync::Arc;

use lunatic_kernel::address::{Id, Keys};
use lunatic_kernel::budget::{Budget, Exhausted, Payer, Receipt, Resource};
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::{Portion, Stock};
use lunatic_kernel::table::{Full, Table};

use super::readiness::Waiter;
use super::socket::Socket;

/// The most sockets that are open at once.
const SOCKETS_MAX: u32 = 16 << 20;

/// Who can have sockets: a process.
pub trait Owner: Waiter + Payer {
    /// Its id.
    fn id(&self) -> Id;

    /// What it and others may use together.
    fn budget(&self) -> Option<&Arc<Budget>>;

    /// The descriptors that there are for all, and with whom it shares its part of them.
    fn descriptors(&self) -> (&Arc<Stock>, &Arc<Group>);

    /// Adds a socket to those that close at its end, which it has from now on, if it was only on its way before.
    ///
    /// # Errors
    ///
    /// When it has as many as it may, or has ended.
    fn own(&self, socket: Id) -> Result<(), Refusal>;

    /// Adds a socket to those that close at its end, which is on its way to it.
    ///
    /// # Errors
    ///
    /// When it has ended.
    fn expect(&self, socket: Id) -> Result<(), Refusal>;

    /// Takes back what [`own`](Self::own) or [`expect`](Self::expect) added.
    fn disown(&self, socket: Id);
}

struct Entry<W: Owner> {
    socket: Arc<Socket<W>>,
    owner: W,
    /// Who has handed it over, while nobody has claimed it.
    in_transit: Option<Id>,
    charge: Charge,
}

/// What a process pays for one socket: one of its budget, one descriptor of the host, and bytes; given back when it is dropped.
///
/// Clones of one socket have one descriptor together, and each pays for one: whichever closes last has paid.
pub struct Charge {
    budget: Option<Arc<Budget>>,
    group: Arc<Group>,
    _descriptor: Portion,
    kept: Receipt,
}

impl Charge {
    /// Charges a process for a socket for which so many bytes are kept, before there is one.
    ///
    /// # Errors
    ///
    /// When its budget has none left, or the host no descriptor for it.
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

    /// Charges the process for so many bytes more.
    ///
    /// # Errors
    ///
    /// When its budget has not so many left.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.kept.grow(bytes).map_err(Refusal::Budget)
    }

    /// Whether it is taken from what this process has, alone or with others.
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

/// Why a socket cannot be opened, handed over or claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The caller does not have it, or not any more.
    NotYours,
    /// The process it is meant for has ended.
    Ended,
    /// The process has as many as it may.
    Process(u32),
    /// A budget has none left.
    Budget(Exhausted),
    /// The process, with those that share the host's descriptors with it, has as many as it may.
    Host,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotYours => write!(f, "the socket was closed or handed to another process"),
            Self::Ended => write!(f, "the process that the socket is meant for has ended"),
            Self::Process(max) => write!(
                f,
                "the process has {max} sockets open, more it may not: close some, or raise `max-files`"
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

    /// The socket, if it is the caller's.
    pub fn get(&self, caller: &W, id: Id) -> Result<Arc<Socket<W>>, Refusal> {
        let entry = self.table.get(id).ok_or(Refusal::NotYours)?;
        if entry.owner.id() != caller.id() || entry.in_transit.is_some() {
            return Err(Refusal::NotYours);
        }
        Ok(entry.socket.clone())
    }

    /// Calls `visit` with each socket and the process that has it, or that it is meant for. Those that come and go meanwhile
    /// may be missed. `visit` must be quick: the slot of the socket is locked.
    pub fn visit(&self, mut visit: impl FnMut(Id, &W, &Arc<Socket<W>>)) {
        self.table.for_each(|id, entry| visit(id, &entry.owner, &entry.socket));
    }

    /// Takes the handle away; the socket closes if it was its last. One that others have sent to the caller can
    /// be closed, too; one that it has sent itself cannot, whose message may be received yet.
    pub fn close(&self, worker: usize, caller: &W, id: Id) -> Result<(), Refusal> {
        let is_callers = |entry: &Entry<W>| entry.owner.id() == caller.id() && entry.in_transit != Some(caller.id());
        if !self.table.get(id).is_some_and(|entry| is_callers(&entry)) {
            return Err(Refusal::NotYours);
        }
        caller.disown(id);
        self.close_of(worker, caller.id(), id);
        Ok(())
    }

    /// The process has ended and leaves this one behind.
    pub fn close_of(&self, worker: usize, owner: Id, id: Id) {
        let is_owners = self.table.get(id).is_some_and(|entry| entry.owner.id() == owner);
        if is_owners {
            drop(self.table.remove(worker, id));
        }
    }

    /// Hands a socket of the caller's to another process, or, before it is known to whom, to anybody: then it stays the
    /// caller's until it is claimed. Nothing happens if it has been claimed meanwhile.
    pub fn hand_over(&self, caller: &W, id: Id, to: Option<&W>) -> Result<(), Refusal> {
        let mut entry = self.table.get(id).ok_or(Refusal::NotYours)?;
        if entry.owner.id() != caller.id() {
            return Err(Refusal::NotYours);
        }
        let to = to.filter(|to| to.id() != caller.id());
        // Under the lock of the slot, so that the receiver closes the socket even if it ends now (see above).
        if let Some(to) = to {
            to.expect(id)?;
            entry.owner = to.clone();
        }
        entry.in_transit = Some(caller.id());
        drop(entry);
        if to.is_some() {
            caller.disown(id);
        }
        Ok(())
    }

    /// Makes a socket in transit the caller's. One that is the caller's already stays so.
    pub fn claim(&self, caller: &W, id: Id) -> Result<(), Refusal> {
        let mut entry = self.table.get(id).ok_or(Refusal::NotYours)?;
        if entry.in_transit.is_none() {
            return if entry.owner.id() == caller.id() {
                Ok(())
            } else {
                Err(Refusal::NotYours)
            };
        }
        // Who gave it is charged for it up to now.
        let charge = match entry.charge.is_of(caller) {
            true => None,
            false => Some(Charge::of(caller, entry.socket.cost())?),
        };
        // If it is the caller's already, it may have been on its way to it.
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
