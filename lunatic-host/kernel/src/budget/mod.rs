//! Budgets: what a process and its descendants may use together, including the host's memory.
//!
//! A budget begins with a process that is given one, and everything that it spawns belongs to it. Use is charged to
//! every budget from the nearest to the outermost, or to none if one of them does not have enough left. Budgets can be
//! nested up to [`DEPTH_MAX`] deep, so a charge takes a limited number of steps.
//!
//! # Whatever the host keeps is paid for
//!
//! What the host keeps for a process in addition to its memory (messages, links, channels, …) is charged to its
//! [`Purse`]: to its budget, if it has one, and to the host's own budget. At a cap, whatever can be refused is refused.
//! What cannot be refused, such as a signal, is [owed](Purse::owe), and the process that owes it ends, like one that
//! exceeds Erlang's `max_heap_size`.

mod purse;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg_attr(loom, expect(unused_imports, reason = "the models use some of them"))]
pub use self::purse::{Account, Payer, Purse, Receipt};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A resource that is counted and can be capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Living processes.
    Processes,
    /// Open sockets.
    Sockets,
    /// Bytes of linear memory and of function tables.
    Memory,
    /// Bytes of processes themselves: records, rights, stacks, and the other parts of their bodies.
    Bodies,
    /// Bytes of messages and signals in mailboxes and channels.
    Messages,
    /// Bytes of links, monitors, references, names and groups.
    Relations,
    /// Bytes of open channels themselves.
    Channels,
    /// Bytes of timers and their messages.
    Timers,
    /// Bytes of results that a host call has left for the process to fetch, and of captured values.
    Buffers,
    /// Bytes of compiled code, and of compilers.
    Code,
    /// Bytes of extensions and metrics.
    Extensions,
    /// Bytes that are kept for sockets, by the operating system as well, and for TLS configurations.
    Network,
}

impl Resource {
    const COUNT: usize = 12;

    /// All resources that are counted in bytes.
    pub const BYTES: [Self; 10] = [
        Self::Memory,
        Self::Bodies,
        Self::Messages,
        Self::Relations,
        Self::Channels,
        Self::Timers,
        Self::Buffers,
        Self::Code,
        Self::Extensions,
        Self::Network,
    ];

    fn is_bytes(self) -> bool {
        !matches!(self, Self::Processes | Self::Sockets)
    }
}

/// The caps of a budget; `None` means no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Living processes: the process with the budget, and its descendants.
    pub processes: Option<u64>,
    /// Bytes of memory: of all resources that are counted in bytes, together.
    pub memory: Option<u64>,
    /// Bytes of queued messages, which also count as memory.
    pub messages: Option<u64>,
    /// Open sockets.
    pub sockets: Option<u64>,
    /// Total CPU time.
    pub cpu: Option<Duration>,
    /// The share of one core over any tenth of a second, in percent; more than 100 means more than one core.
    pub cpu_share: Option<u32>,
}

impl Caps {
    fn of(&self, resource: Resource) -> u64 {
        let cap = match resource {
            Resource::Processes => self.processes,
            Resource::Sockets => self.sockets,
            Resource::Messages => self.messages,
            _ => None,
        };
        cap.unwrap_or(u64::MAX)
    }

    /// The cap of all bytes together.
    fn of_bytes(&self) -> u64 {
        self.memory.unwrap_or(u64::MAX)
    }
}

/// A budget does not have enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// The requested resource.
    pub resource: Resource,
    /// The cap that was reached. If `resource` is counted in bytes and has no cap of its own, this is the cap of all
    /// bytes.
    pub cap: u64,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, cap } = self;
        match resource {
            Resource::Processes => write!(
                f,
                "its budget allows {cap} processes at a time, including all descendants"
            ),
            Resource::Sockets => write!(f, "its budget allows {cap} sockets, including all descendants"),
            Resource::Messages => write!(
                f,
                "its budget allows {cap} bytes of queued messages, including all descendants"
            ),
            _ => write!(f, "its budget allows {cap} bytes of memory, including all descendants"),
        }
    }
}

impl std::error::Error for Exhausted {}

/// Budgets would be nested deeper than [`DEPTH_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep;

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "budgets can be nested at most {DEPTH_MAX} deep")
    }
}

impl std::error::Error for TooDeep {}

/// The use of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Living processes.
    pub processes: u64,
    /// Bytes of memory: of all resources that are counted in bytes, together.
    pub memory: u64,
    /// Open sockets.
    pub sockets: u64,
    /// CPU time so far, including that of processes that have ended.
    pub cpu: Duration,
}

/// The deepest nesting of budgets.
pub const DEPTH_MAX: u32 = 64;

/// A limit for a process and its descendants together.
#[derive(Debug)]
pub struct Budget {
    parent: Option<Arc<Budget>>,
    /// The number of budgets around it.
    depth: u32,
    caps: Caps,
    used: [AtomicU64; Resource::COUNT],
    /// All resources that are counted in bytes, together.
    bytes: AtomicU64,
    cpu_ns: AtomicU64,
    share: Option<Mutex<Share>>,
}

/// The CPU time that may be used now.
#[derive(Debug)]
struct Share {
    /// In nanoseconds; negative after a slice that was longer than what was left.
    left: i64,
    filled: Instant,
}

/// The period over which a share is enforced.
const SHARE_PERIOD: Duration = Duration::from_millis(100);

/// Adds the amount, unless the total would exceed `cap`.
fn take(used: &AtomicU64, amount: u64, cap: u64) -> bool {
    if cap == u64::MAX {
        used.fetch_add(amount, Ordering::Relaxed);
        return true;
    }
    let grow = |used: u64| used.checked_add(amount).filter(|used| *used <= cap);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_ok()
}

impl Budget {
    /// Returns a budget within `parent`, which begins to fill its share of a core at `now`.
    ///
    /// # Errors
    ///
    /// [`TooDeep`] if `parent` is already nested as deep as possible.
    pub fn new(parent: Option<Arc<Budget>>, caps: Caps, now: Instant) -> Result<Arc<Self>, TooDeep> {
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        if depth >= DEPTH_MAX {
            return Err(TooDeep);
        }
        let share = caps.cpu_share.map(|_| Mutex::new(Share { left: 0, filled: now }));
        Ok(Arc::new(Self {
            parent,
            depth,
            caps,
            used: Default::default(),
            bytes: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            share,
        }))
    }

    /// Returns a budget within no other.
    pub fn outermost(caps: Caps, now: Instant) -> Arc<Self> {
        Self::new(None, caps, now).expect("the outermost is not deep")
    }

    fn chain(&self) -> impl Iterator<Item = &Budget> {
        std::iter::successors(Some(self), |budget| budget.parent.as_deref())
    }

    /// Charges the amount to this budget and to all around it, or to none.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] names the nearest budget that does not have enough left.
    pub fn charge(&self, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        for (depth, budget) in self.chain().enumerate() {
            if let Err(exhausted) = budget.take(resource, amount) {
                self.chain()
                    .take(depth)
                    .for_each(|budget| budget.put_back(resource, amount));
                return Err(exhausted);
            }
        }
        Ok(())
    }

    /// Charges the amount to this budget and to all around it, whatever is left.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] names the nearest budget whose cap is exceeded now. The amount is charged anyway.
    pub fn owe(&self, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        let exceeded = self.chain().map(|budget| budget.add(resource, amount));
        exceeded.fold(Ok(()), Result::and)
    }

    /// Gives back what was charged or is owed.
    pub fn give_back(&self, resource: Resource, amount: u64) {
        self.chain().for_each(|budget| budget.put_back(resource, amount));
    }

    fn take(&self, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        let cap = self.caps.of_bytes();
        if resource.is_bytes() && !take(&self.bytes, amount, cap) {
            return Err(Exhausted {
                resource: Resource::Memory,
                cap,
            });
        }
        let cap = self.caps.of(resource);
        if take(&self.used[resource as usize], amount, cap) {
            return Ok(());
        }
        if resource.is_bytes() {
            self.bytes.fetch_sub(amount, Ordering::Relaxed);
        }
        Err(Exhausted { resource, cap })
    }

    fn add(&self, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        let (cap, used) = (self.caps.of(resource), &self.used[resource as usize]);
        if used.fetch_add(amount, Ordering::Relaxed).saturating_add(amount) > cap {
            if resource.is_bytes() {
                self.bytes.fetch_add(amount, Ordering::Relaxed);
            }
            return Err(Exhausted { resource, cap });
        }
        let cap = self.caps.of_bytes();
        if resource.is_bytes() && self.bytes.fetch_add(amount, Ordering::Relaxed).saturating_add(amount) > cap {
            return Err(Exhausted {
                resource: Resource::Memory,
                cap,
            });
        }
        Ok(())
    }

    fn put_back(&self, resource: Resource, amount: u64) {
        self.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
        if resource.is_bytes() {
            self.bytes.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    /// Returns the budget around it.
    pub fn parent(&self) -> Option<&Arc<Budget>> {
        self.parent.as_ref()
    }

    /// Returns the cap of all bytes together, if there is one.
    pub fn memory_cap(&self) -> Option<u64> {
        self.caps.memory
    }

    /// Returns the use of a resource.
    pub fn used(&self, resource: Resource) -> u64 {
        self.used[resource as usize].load(Ordering::Relaxed)
    }

    /// Charges CPU time.
    pub fn spend(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for budget in self.chain() {
            budget.cpu_ns.fetch_add(ns, Ordering::Relaxed);
            if let Some(share) = &budget.share {
                share.lock().left -= ns as i64;
            }
        }
    }

    /// Returns whether the CPU time is used up.
    pub fn is_spent(&self) -> bool {
        self.chain().any(|budget| {
            budget
                .caps
                .cpu
                .is_some_and(|cap| u128::from(budget.cpu_ns.load(Ordering::Relaxed)) >= cap.as_nanos())
        })
    }

    /// Returns how long to wait until all shares of a core have something left; `None` if they have.
    pub fn must_wait(&self, now: Instant) -> Option<Duration> {
        self.chain().filter_map(|budget| budget.share_wait(now)).max()
    }

    fn share_wait(&self, now: Instant) -> Option<Duration> {
        let percent = i128::from(self.caps.cpu_share?.max(1));
        let mut share = self.share.as_ref()?.lock();
        // Their product with a percentage does not fit into 64 bits after a long sleep.
        let passed = now.saturating_duration_since(share.filled).as_nanos().cast_signed();
        let most = SHARE_PERIOD.as_nanos().cast_signed() * percent / 100;
        share.filled = share.filled.max(now);
        let left = i128::from(share.left)
            .saturating_add(passed.saturating_mul(percent) / 100)
            .min(most);
        // It fits: it is at most `most`, which is some days, and at least what it was.
        share.left = left as i64;
        // A minimum is required; otherwise a process would be woken for every nanosecond.
        let least = most / 10;
        (left < 0).then(|| {
            let wait = (least - left).saturating_mul(100) / percent;
            Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
        })
    }

    /// Returns the caps.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Returns the use.
    pub fn usage(&self) -> Usage {
        Usage {
            processes: self.used(Resource::Processes),
            memory: self.bytes.load(Ordering::Relaxed),
            sockets: self.used(Resource::Sockets),
            cpu: Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests;
