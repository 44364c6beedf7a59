//! The code of processes: which version each runs, and how a process that runs goes on in another one.
//!
//! docs/internals/upgrades.md says why it is done so. From the bottom up:
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | the code of one process |
//! | `order.rs` | what asks processes to change, and what became of it |
//! | `versions.rs` | the versions of a system's code |
//! | `report.rs`, `settings.rs` | the settings of an upgrade, and its report; settings as text |
//! | `candidates.rs` | which processes can change, and in which order |
//! | `round.rs` | having processes change, so many at a time |
//! | `rehearsal.rs` | finding out what a version can have, before anything changes |
//! | `watch.rs` | how those do that have changed first |
//! | `upgrade.rs` | a whole system goes over to another version, or comes back |

mod candidates;
pub(crate) mod order;
mod rehearsal;
mod report;
mod round;
mod settings;
pub(crate) mod upgrade;
pub(crate) mod versions;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lunatic_module::entries::{Entries, EntryName};
use lunatic_module::identity::CodeId;
use parking_lot::Mutex;

use self::order::Order;
pub use self::report::{Canary, UpgradeConfig, UpgradeKind, UpgradePhase, UpgradeReport};
pub use self::upgrade::{Upgrade, UpgradeError};
pub use self::versions::VersionInfo;
use crate::entry::Began;

/// What a version of a system's code is to this floor.
pub(crate) trait Module {
    /// The functions that a process can begin with, or go on at.
    fn entries(&self) -> &Entries;
    /// Which code it is.
    fn identity(&self) -> &CodeId;
}

/// The code of one process.
///
/// A process reads its own module from its instance, which has one for good; what is here is for everybody else.
pub(crate) struct Code<M> {
    /// The address of the module: tells whether two processes run the same, without a lock.
    identity: AtomicUsize,
    /// The next wait for a socket ends when a version waits.
    interrupts: AtomicBool,
    state: Mutex<State<M>>,
}

struct State<M> {
    module: Arc<M>,
    began: Began,
    offer: Option<Offer>,
    /// The order that waits for the process to come to its point of change.
    order: Option<Arc<Order<M>>>,
}

/// A point in the life of a process at which it can go on in another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The function that the other version calls, as an index of the table of its own module.
    pub(crate) entry: u32,
    pub(crate) heard: Heard,
}

/// How a process hears of a version that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It asks now and then.
    Asks,
    Mail,
    /// Its next wait for a socket ends.
    Interrupt,
}

impl<M: Module> Code<M> {
    pub(crate) fn new(module: Arc<M>, began: Began) -> Self {
        Self {
            identity: AtomicUsize::new(Arc::as_ptr(&module).addr()),
            interrupts: AtomicBool::new(false),
            state: Mutex::new(State {
                module,
                began,
                offer: None,
                order: None,
            }),
        }
    }

    /// The module whose code it runs.
    pub(crate) fn module(&self) -> Arc<M> {
        self.state.lock().module.clone()
    }

    /// The address of the module.
    pub(crate) fn identity(&self) -> usize {
        self.identity.load(Ordering::Relaxed)
    }

    /// Whether the process runs the code of this module.
    pub(crate) fn is_of(&self, module: &Arc<M>) -> bool {
        self.identity.load(Ordering::Relaxed) == Arc::as_ptr(module).addr()
    }

    /// The name of what the process began with; `None` for a function that its module's table does not have.
    pub(crate) fn entry(&self) -> Option<EntryName> {
        let state = self.state.lock();
        match &state.began {
            Began::Closure(index) => {
                let (index, module) = (*index, state.module.clone());
                drop(state);
                // Read when first asked for, which takes long.
                module.entries().name_of(index)
            }
            Began::Export(name) => Some(EntryName::Export(name.to_string())),
            Began::Former(entry) => entry.as_deref().cloned(),
        }
    }

    /// The process offers a point of change. True if an order waits.
    pub(crate) fn offer(&self, offer: Offer) -> bool {
        let mut state = self.state.lock();
        self.interrupts
            .store(offer.heard == Heard::Interrupt, Ordering::Relaxed);
        state.offer = Some(offer);
        state.order.is_some()
    }

    /// A wait for a socket begins: whether it is to end when a version [waits](Self::is_waited_for). Only the first one does.
    pub(crate) fn take_interrupts(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) && self.interrupts.swap(false, Ordering::Relaxed)
    }

    /// Whether a version waits for the process.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.state.lock().order.is_some()
    }

    /// The point that it offers.
    pub(crate) fn offered(&self) -> Option<Offer> {
        self.state.lock().offer
    }

    /// The name of the function that it offers to go on at.
    pub(crate) fn offered_name(&self) -> Option<EntryName> {
        let (offer, module) = {
            let state = self.state.lock();
            (state.offer?, state.module.clone())
        };
        module.entries().name_of(offer.entry)
    }

    /// An order waits for the process from now on, in place of a former one. The offer that it is for, if there is one.
    pub(crate) fn place(&self, order: &Arc<Order<M>>) -> Option<Offer> {
        let mut state = self.state.lock();
        let offer = state.offer?;
        state.order = Some(order.clone());
        Some(offer)
    }

    /// Takes an order back; false if it does not wait (any more).
    pub(crate) fn withdraw(&self, order: &Arc<Order<M>>) -> bool {
        let mut state = self.state.lock();
        let waits = state.order.as_ref().is_some_and(|waiting| Arc::ptr_eq(waiting, order));
        if waits {
            state.order = None;
        }
        waits
    }

    /// Takes the order that waits, and the point that it is for.
    pub(crate) fn take_order(&self) -> Option<(Arc<Order<M>>, Offer)> {
        let mut state = self.state.lock();
        let offer = state.offer?;
        Some((state.order.take()?, offer))
    }

    /// The process runs the code of this module from now on, where it went on at this function of the table: which it offers, too,
    /// until it offers another. It goes on to be known by what it began with.
    pub(crate) fn becomes(&self, module: &Arc<M>, went_on: u32) {
        let entry = self.entry();
        let mut state = self.state.lock();
        if !matches!(state.began, Began::Export(_)) {
            state.began = Began::Former(entry.map(Box::new));
        }
        state.module = module.clone();
        if let Some(offer) = &mut state.offer {
            offer.entry = went_on;
        }
        self.identity.store(Arc::as_ptr(module).addr(), Ordering::Relaxed);
    }
}
