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

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Pays for what the host keeps for a process: its budget with all around it, if it has one, and the host.
#[derive(Debug, Clone, Copy)]
pub struct Purse<'a> {
    budget: Option<&'a Arc<Budget>>,
    host: &'a Arc<Budget>,
}

impl<'a> Purse<'a> {
    /// Returns the purse of a process with this budget.
    pub fn new(budget: Option<&'a Arc<Budget>>, host: &'a Arc<Budget>) -> Self {
        Self { budget, host }
    }

    /// Takes this many bytes, or none.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget does not have enough left.
    pub fn charge(self, resource: Resource, bytes: usize) -> Result<(), Exhausted> {
        let bytes = bytes as u64;
        if let Some(budget) = self.budget {
            budget.charge(resource, bytes)?;
        }
        self.host.charge(resource, bytes).inspect_err(|_| {
            if let Some(budget) = self.budget {
                budget.give_back(resource, bytes);
            }
        })
    }

    /// Takes this many bytes for something that cannot be refused.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget did not have enough left, and now owes it: the process must end.
    pub fn owe(self, resource: Resource, bytes: usize) -> Result<(), Exhausted> {
        let budget = self.budget.map_or(Ok(()), |budget| budget.owe(resource, bytes as u64));
        let host = self.host.owe(resource, bytes as u64);
        budget.and(host)
    }

    /// Gives back what was charged or is owed.
    pub fn give_back(self, resource: Resource, bytes: usize) {
        if let Some(budget) = self.budget {
            budget.give_back(resource, bytes as u64);
        }
        self.host.give_back(resource, bytes as u64);
    }

    /// Changes the charge from `before` to `now` bytes. An increase is owed.
    ///
    /// # Errors
    ///
    /// As for [`owe`](Self::owe).
    pub fn settle(self, resource: Resource, before: usize, now: usize) -> Result<(), Exhausted> {
        if now > before {
            return self.owe(resource, now - before);
        }
        if now < before {
            self.give_back(resource, before - now);
        }
        Ok(())
    }

    /// Checks whether this many bytes could be taken, before they are needed.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget does not have enough left.
    pub fn check(self, resource: Resource, bytes: usize) -> Result<(), Exhausted> {
        if bytes == 0 {
            return Ok(());
        }
        self.charge(resource, bytes)?;
        self.give_back(resource, bytes);
        Ok(())
    }

    /// Returns the bytes that are charged to the budget; without a budget, those that all processes have taken from the
    /// host.
    pub fn used(self, resource: Resource) -> u64 {
        self.budget.unwrap_or(self.host).used(resource)
    }

    /// Returns the purse in a form that can be kept.
    pub fn to_account(self) -> Account {
        Account {
            budget: self.budget.cloned(),
            host: self.host.clone(),
        }
    }
}

/// Has a purse.
pub trait Payer {
    /// Returns the purse.
    fn purse(&self) -> Purse<'_>;
}

/// A [`Purse`] that outlives a borrow of the process.
#[derive(Debug, Clone)]
pub struct Account {
    budget: Option<Arc<Budget>>,
    host: Arc<Budget>,
}

impl Payer for Account {
    fn purse(&self) -> Purse<'_> {
        Purse::new(self.budget.as_ref(), &self.host)
    }
}

/// Bytes that are taken from a purse for as long as this value lives.
#[derive(Debug)]
pub struct Receipt {
    account: Account,
    resource: Resource,
    bytes: usize,
}

impl Receipt {
    /// Returns a receipt for nothing yet.
    pub fn new(account: Account, resource: Resource) -> Self {
        Self {
            account,
            resource,
            bytes: 0,
        }
    }

    /// Takes this many further bytes.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget does not have enough left. Then nothing is taken.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.account.purse().charge(self.resource, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back this many bytes, or all if there are fewer.
    pub fn shrink(&mut self, bytes: usize) {
        // A decrease is never refused.
        let _ = self.settle(self.bytes.saturating_sub(bytes));
    }

    /// Changes the charge to this many bytes. An increase is owed.
    ///
    /// # Errors
    ///
    /// As for [`Purse::owe`].
    pub fn settle(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.account.purse().settle(self.resource, before, bytes)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.account.purse().give_back(self.resource, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::environment::now;

    #[test]
    fn a_charge_that_an_outer_budget_refuses_is_taken_from_none() {
        let outer = Budget::outermost(
            Caps {
                memory: Some(10),
                ..Caps::default()
            },
            now(),
        );
        let caps = Caps {
            memory: Some(100),
            ..Caps::default()
        };
        let inner = Budget::new(Some(outer.clone()), caps, now()).unwrap();
        inner.charge(Resource::Memory, 7).unwrap();
        let refused = inner.charge(Resource::Memory, 4).unwrap_err();
        assert_eq!((refused.resource, refused.cap), (Resource::Memory, 10));
        assert_eq!((inner.usage().memory, outer.usage().memory), (7, 7));
        inner.charge(Resource::Memory, 3).unwrap();
        inner.give_back(Resource::Memory, 10);
        assert_eq!((inner.usage().memory, outer.usage().memory), (0, 0));
        assert!(inner.charge(Resource::Memory, u64::MAX).is_err());
    }

    #[test]
    fn time_that_a_descendant_uses_is_used_for_all() {
        let caps = |ms| Caps {
            cpu: Some(Duration::from_millis(ms)),
            ..Caps::default()
        };
        let outer = Budget::outermost(caps(10), now());
        let (one, two) = (
            Budget::new(Some(outer.clone()), caps(20), now()).unwrap(),
            Budget::new(Some(outer.clone()), caps(20), now()).unwrap(),
        );
        one.spend(Duration::from_millis(6));
        assert!(!two.is_spent() && !outer.is_spent());
        two.spend(Duration::from_millis(4));
        assert!(one.is_spent() && two.is_spent() && outer.is_spent());
    }

    #[test]
    fn a_share_is_met_over_time() {
        let budget = Budget::outermost(
            Caps {
                cpu_share: Some(25),
                ..Caps::default()
            },
            now(),
        );
        let (start, slice) = (now(), Duration::from_millis(1));
        let (mut now, mut ran) = (start, Duration::ZERO);
        while now < start + Duration::from_secs(10) {
            match budget.must_wait(now) {
                Some(wait) => now += wait,
                None => {
                    budget.spend(slice);
                    (now, ran) = (now + slice, ran + slice);
                }
            }
        }
        let percent = ran.as_millis() * 100 / (now - start).as_millis();
        assert!((24..=26).contains(&percent), "{percent} %");
    }

    #[test]
    fn a_share_holds_after_any_sleep() {
        for percent in [1, 25, 8_192, 1_000_000, u32::MAX] {
            let caps = Caps {
                cpu_share: Some(percent),
                ..Caps::default()
            };
            let mut now = now();
            let budget = Budget::outermost(caps, now);
            for days in [1, 30, 3650] {
                now += Duration::from_secs(days * 24 * 60 * 60);
                assert_eq!(budget.must_wait(now), None, "{percent} %, {days} days");
                // Never more than the share of a tenth of a second.
                let most = Duration::from_millis(1).saturating_mul(percent);
                budget.spend(most);
                assert_eq!(budget.must_wait(now), None);
                budget.spend(most);
                let wait = budget.must_wait(now).expect("it has used up twice as much");
                // Until a tenth of that is left.
                let expected = Duration::from_millis(110);
                assert!(
                    wait.abs_diff(expected) < Duration::from_micros(1),
                    "{percent} %: {wait:?}"
                );
            }
        }
    }

    #[test]
    fn all_bytes_count_as_memory_and_messages_have_a_cap_of_their_own() {
        let caps = Caps {
            memory: Some(100),
            messages: Some(60),
            ..Caps::default()
        };
        let budget = Budget::outermost(caps, now());
        budget.charge(Resource::Memory, 30).unwrap();
        budget.charge(Resource::Messages, 50).unwrap();
        let refused = budget.charge(Resource::Messages, 11).unwrap_err();
        assert_eq!((refused.resource, refused.cap), (Resource::Messages, 60));
        let refused = budget.charge(Resource::Channels, 21).unwrap_err();
        assert_eq!((refused.resource, refused.cap), (Resource::Memory, 100));
        budget.charge(Resource::Channels, 20).unwrap();
        assert_eq!((budget.usage().memory, budget.used(Resource::Messages)), (100, 50));
        budget.give_back(Resource::Messages, 50);
        budget.give_back(Resource::Channels, 20);
        assert_eq!(budget.usage().memory, 30);
    }

    #[test]
    fn what_is_owed_is_charged_and_said_to_be_too_much() {
        let host = Budget::outermost(
            Caps {
                memory: Some(1000),
                ..Caps::default()
            },
            now(),
        );
        let budget = Budget::outermost(
            Caps {
                memory: Some(100),
                ..Caps::default()
            },
            now(),
        );
        let purse = Purse::new(Some(&budget), &host);
        assert_eq!(purse.owe(Resource::Messages, 90), Ok(()));
        assert_eq!(
            purse.owe(Resource::Messages, 20).map_err(|exhausted| exhausted.cap),
            Err(100)
        );
        assert_eq!(
            purse.charge(Resource::Messages, 1).map_err(|exhausted| exhausted.cap),
            Err(100)
        );
        assert_eq!((budget.usage().memory, host.usage().memory), (110, 110));
        assert_eq!(purse.settle(Resource::Messages, 110, 0), Ok(()));
        let mut receipt = Receipt::new(Purse::new(None, &host).to_account(), Resource::Buffers);
        receipt.grow(700).unwrap();
        assert!(receipt.grow(301).is_err());
        receipt.settle(400).unwrap();
        assert_eq!((budget.usage().memory, host.usage().memory), (0, 400));
        drop(receipt);
        assert_eq!(host.usage().memory, 0);
    }

    #[test]
    fn budgets_lie_within_each_other_only_so_deep() {
        let mut innermost = Budget::outermost(Caps::default(), now());
        for _ in 1..DEPTH_MAX {
            innermost = Budget::new(Some(innermost), Caps::default(), now()).unwrap();
        }
        assert_eq!(
            Budget::new(Some(innermost), Caps::default(), now()).err(),
            Some(TooDeep)
        );
    }

    proptest! {
        /// Charges and returns over a random tree of budgets, against sums over the tree.
        #[test]
        fn a_tree_never_holds_more_than_any_cap(
            parents in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(0_u64..50)), 1..8),
            charges in prop::collection::vec((any::<prop::sample::Index>(), 1_u64..20), 1..60),
        ) {
            let mut tree: Vec<(Arc<Budget>, Option<usize>, u64)> = Vec::new();
            for (parent, cap) in parents {
                let parent = (!tree.is_empty()).then(|| parent.index(tree.len()));
                let caps = Caps { processes: cap, ..Caps::default() };
                let budget = Budget::new(parent.map(|at| tree[at].0.clone()), caps, now()).unwrap();
                tree.push((budget, parent, cap.unwrap_or(u64::MAX)));
            }
            let mut held = vec![0_u64; tree.len()];
            let around = |at: usize| std::iter::successors(Some(at), |at| tree[*at].1);
            for (at, amount) in charges {
                let at = at.index(tree.len());
                let fits = around(at).all(|at| held[at] + amount <= tree[at].2);
                prop_assert_eq!(tree[at].0.charge(Resource::Processes, amount).is_ok(), fits);
                if fits {
                    around(at).for_each(|at| held[at] += amount);
                }
                for (budget, held) in tree.iter().zip(&held) {
                    prop_assert_eq!(budget.0.usage().processes, *held);
                }
            }
        }
    }
}
