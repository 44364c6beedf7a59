//! The code of processes: which version each one runs, and how a running process continues in another version.
//!
//! docs/internals/upgrades.md explains the design. The files, from the bottom up:
//!
//! | file | purpose |
//! |---|---|
//! | `mod.rs` | the code of one process |
//! | `order.rs` | asks processes to change, and collects the outcomes |
//! | `versions.rs` | the versions of a system's code |
//! | `report.rs`, `settings.rs` | the settings of an upgrade and its report; settings as text |
//! | `candidates.rs` | selects the processes that can change, and their order |
//! | `round.rs` | changes processes in batches |
//! | `rehearsal.rs` | finds out which processes a version can take over, before anything changes |
//! | `watch.rs` | watches the processes that have changed first |
//! | `over.rs` | lets tasks wait for the end of an upgrade |
//! | `upgrade.rs` | an upgrade of a whole system, as others see it |
//! | `execution.rs` | carries an upgrade out, or rolls it back |

mod candidates;
mod execution;
pub(crate) mod order;
mod over;
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

/// A version of a system's code, as far as this layer knows it.
pub(crate) trait Module {
    /// The functions with which a process can begin, or at which it can continue.
    fn entries(&self) -> &Entries;
    /// The identity of the code.
    fn identity(&self) -> &CodeId;
}

/// The code of one process.
///
/// A process reads its own module from its instance, which always has the same one; this is for everyone else.
pub(crate) struct Code<M> {
    /// The address of the module. It shows without a lock whether two processes run the same code.
    identity: AtomicUsize,
    /// The next wait for a socket ends when a version is pending.
    interrupts: AtomicBool,
    state: Mutex<State<M>>,
}

struct State<M> {
    module: Arc<M>,
    began: Began,
    offer: Option<Offer>,
    /// The order that is pending until the process reaches its point of change.
    order: Option<Arc<Order<M>>>,
}

/// A point in the life of a process at which it can continue in another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The function that the other version calls, as an index into the table of the process's own module.
    pub(crate) entry: u32,
    pub(crate) heard: Heard,
}

/// How a process learns that a version is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It asks from time to time.
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

    /// The module whose code the process runs.
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

    /// The name of the function with which the process began; `None` if the table of its module has no such function.
    pub(crate) fn entry(&self) -> Option<EntryName> {
        let state = self.state.lock();
        match &state.began {
            Began::Closure(index) => {
                let (index, module) = (*index, state.module.clone());
                drop(state);
                // The names are read on first use, which takes long.
                module.entries().name_of(index)
            }
            Began::Export(name) => Some(EntryName::Export(name.to_string())),
            Began::Former(entry) => entry.as_deref().cloned(),
        }
    }

    /// Records that the process offers a point of change. Returns true if an order is pending.
    pub(crate) fn offer(&self, offer: Offer) -> bool {
        let mut state = self.state.lock();
        self.interrupts
            .store(offer.heard == Heard::Interrupt, Ordering::Relaxed);
        state.offer = Some(offer);
        state.order.is_some()
    }

    /// Records that the process offers no point of change any more. An order that is pending is dropped.
    pub(crate) fn withdraw_offer(&self) {
        let mut state = self.state.lock();
        self.interrupts.store(false, Ordering::Relaxed);
        state.offer = None;
        let order = state.order.take();
        // It may be the last to keep a module, which takes long to drop.
        drop(state);
        drop(order);
    }

    /// A wait for a socket begins: returns whether it must end when a version is [pending](Self::is_waited_for). Only
    /// the first wait after an offer must.
    pub(crate) fn take_interrupts(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) && self.interrupts.swap(false, Ordering::Relaxed)
    }

    /// Whether a version is pending for the process.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.state.lock().order.is_some()
    }

    /// Whether the SDK is asked to compare the messages of the pending version with those of this one.
    pub(crate) fn describes(&self) -> bool {
        self.state.lock().order.as_ref().is_some_and(|order| order.describes)
    }

    /// The point of change that the process offers.
    pub(crate) fn offered(&self) -> Option<Offer> {
        self.state.lock().offer
    }

    /// The name of the function at which the process offers to continue.
    pub(crate) fn offered_name(&self) -> Option<EntryName> {
        let (offer, module) = {
            let state = self.state.lock();
            (state.offer?, state.module.clone())
        };
        module.entries().name_of(offer.entry)
    }

    /// Makes an order pending for the process, in place of a former one. Returns the offer that it is for, if there is
    /// one, and the former order.
    pub(crate) fn place(&self, order: &Arc<Order<M>>) -> Option<(Offer, Option<Arc<Order<M>>>)> {
        let mut state = self.state.lock();
        let offer = state.offer?;
        Some((offer, state.order.replace(order.clone())))
    }

    /// Makes an order pending again that another has replaced, unless there is one. Returns the offer that it is for.
    pub(crate) fn place_again(&self, order: Arc<Order<M>>) -> Option<Offer> {
        let mut state = self.state.lock();
        let offer = state.offer?;
        if state.order.is_some() {
            return None;
        }
        state.order = Some(order);
        Some(offer)
    }

    /// Withdraws an order; false if it is not pending (any more).
    pub(crate) fn withdraw(&self, order: &Arc<Order<M>>) -> bool {
        let mut state = self.state.lock();
        let waits = state.order.as_ref().is_some_and(|waiting| Arc::ptr_eq(waiting, order));
        if waits {
            state.order = None;
        }
        waits
    }

    /// Takes the pending order, and the point of change that it is for.
    pub(crate) fn take_order(&self) -> Option<(Arc<Order<M>>, Offer)> {
        let mut state = self.state.lock();
        let offer = state.offer?;
        Some((state.order.take()?, offer))
    }

    /// From now on, the process runs the code of this module, where it has continued at this function of the table. It
    /// also offers that function, until it offers another. It keeps the name of the entry with which it began.
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
