//! Which process has which socket.
//!
//! A socket belongs to one process: only that one can use it, and when it ends, the socket closes. Whoever has it can hand
//! it over: the socket is then *in transit*, belongs to the one it is meant for, and is claimed by whoever receives the
//! message with its handle, which proves by its key that it was given. What is never claimed closes with the process it
//! was meant for.
//!
//! A clone is a handle of its own of the same socket, which closes with the last of them.
//!
//! # Locks
//!
//! A slot of the table may be locked while the lists of processes are (they are behind the lock that decides between alive
//! and ended), never the reverse: a process that ends gives its list away first, and closes what was in it afterwards. So
//! who adds a socket to a process's list under the lock of the slot knows that it will be closed.

use std::sync::Arc;

use lunatic_kernel::address::{Id, Keys};
use lunatic_kernel::budget::{Budget, Exhausted, Resource};
use lunatic_kernel::table::{Full, Table};

use super::readiness::Waiter;
use super::socket::Socket;

/// The most sockets that are open at once.
const SOCKETS_MAX: u32 = 16 << 20;

/// Who can have sockets: a process.
pub trait Owner: Waiter {
    /// Its id.
    fn id(&self) -> Id;

    /// What it and others may use together.
    fn budget(&self) -> Option<&Arc<Budget>>;

    /// Adds a socket to those that close at its end.
    ///
    /// # Errors
    ///
    /// When it has as many as it may, or has ended.
    fn own(&self, socket: Id) -> Result<(), Refusal>;

    /// Takes back what [`own`](Self::own) added.
    fn disown(&self, socket: Id);
}

struct Entry<W: Owner> {
    socket: Arc<Socket<W>>,
    owner: W,
    in_transit: bool,
    charge: Charge,
}

/// One socket of a budget; given back when it is dropped.
pub struct Charge(Option<Arc<Budget>>);

impl Charge {
    /// Charges the budget of a process for a socket.
    ///
    /// # Errors
    ///
    /// When the budget has none left.
    pub fn of(owner: &impl Owner) -> Result<Self, Refusal> {
        let budget = owner.budget().cloned();
        if let Some(budget) = &budget {
            budget.charge(Resource::Sockets, 1).map_err(Refusal::Budget)?;
        }
        Ok(Self(budget))
    }

    /// Whether it is the budget of this process that is charged.
    fn is_of(&self, owner: &impl Owner) -> bool {
        match (&self.0, owner.budget()) {
            (Some(own), Some(its)) => Arc::ptr_eq(own, its),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = &self.0 {
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
    /// All processes together have as many as there may be.
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
            Self::Host => write!(f, "the largest number of sockets is open"),
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
            in_transit: false,
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
        if entry.owner.id() != caller.id() || entry.in_transit {
            return Err(Refusal::NotYours);
        }
        Ok(entry.socket.clone())
    }

    /// Takes the handle away; the socket closes if it was its last.
    pub fn close(&self, worker: usize, caller: &W, id: Id) -> Result<(), Refusal> {
        self.get(caller, id)?;
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
            to.own(id)?;
            entry.owner = to.clone();
        }
        entry.in_transit = true;
        drop(entry);
        if to.is_some() {
            caller.disown(id);
        }
        Ok(())
    }

    /// Makes a socket in transit the caller's. One that is the caller's already stays so.
    pub fn claim(&self, caller: &W, id: Id) -> Result<(), Refusal> {
        let mut entry = self.table.get(id).ok_or(Refusal::NotYours)?;
        if !entry.in_transit {
            return if entry.owner.id() == caller.id() {
                Ok(())
            } else {
                Err(Refusal::NotYours)
            };
        }
        // Who gave it is charged for it up to now.
        let charge = match entry.charge.is_of(caller) {
            true => None,
            false => Some(Charge::of(caller)?),
        };
        let mut former = None;
        if entry.owner.id() != caller.id() {
            caller.own(id)?;
            former = Some(std::mem::replace(&mut entry.owner, caller.clone()));
        }
        entry.charge = charge.unwrap_or_else(|| std::mem::replace(&mut entry.charge, Charge(None)));
        entry.in_transit = false;
        drop(entry);
        if let Some(former) = former {
            former.disown(id);
        }
        Ok(())
    }
}
