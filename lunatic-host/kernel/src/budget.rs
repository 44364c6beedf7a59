//! Budgets: what a process and all its descendants may use together.
//!
//! A budget begins with a process that was given one, and all that it spawns belong to it. What is used is charged to
//! every budget from the nearest to the outermost, or to none if one of them has not so much left. Processes without a
//! budget of their own or of an ancestor cost nothing here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What can be capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Living processes.
    Processes,
    /// Bytes of linear memory.
    Memory,
    /// Open sockets.
    Sockets,
}

impl Resource {
    const ALL: [Self; 3] = [Self::Processes, Self::Memory, Self::Sockets];
}

/// The caps of a budget; `None` is no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Living processes: the one that was given the budget, and its descendants.
    pub processes: Option<u64>,
    /// Bytes of linear memory.
    pub memory: Option<u64>,
    /// Open sockets.
    pub sockets: Option<u64>,
    /// Time on a core, in all.
    pub cpu: Option<Duration>,
    /// The share of one core over any tenth of a second, in percent; more than 100 is more than one core.
    pub cpu_share: Option<u32>,
}

impl Caps {
    fn of(&self, resource: Resource) -> u64 {
        let cap = match resource {
            Resource::Processes => self.processes,
            Resource::Memory => self.memory,
            Resource::Sockets => self.sockets,
        };
        cap.unwrap_or(u64::MAX)
    }
}

/// A budget has not so much left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// Of what.
    pub resource: Resource,
    /// The cap that stands in the way.
    pub cap: u64,
}

impl std::fmt::Display for Exhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resource, cap } = self;
        match resource {
            Resource::Processes => write!(f, "its budget is {cap} processes at once, with all descendants"),
            Resource::Memory => write!(f, "its budget is {cap} bytes of memory, with all descendants"),
            Resource::Sockets => write!(f, "its budget is {cap} sockets, with all descendants"),
        }
    }
}

/// How much is used of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Living processes.
    pub processes: u64,
    /// Bytes of linear memory.
    pub memory: u64,
    /// Open sockets.
    pub sockets: u64,
    /// Time on a core so far, of those that have ended, too.
    pub cpu: Duration,
}

/// What a process and its descendants may use together.
#[derive(Debug)]
pub struct Budget {
    parent: Option<Arc<Budget>>,
    caps: Caps,
    used: [AtomicU64; 3],
    cpu_ns: AtomicU64,
    share: Option<Mutex<Share>>,
}

/// Time on a core that is left to be used soon.
#[derive(Debug)]
struct Share {
    /// In nanoseconds; below zero after a slice was longer than what was left.
    left: i64,
    filled: Instant,
}

/// The time over which a share is met.
const SHARE_PERIOD: Duration = Duration::from_millis(100);

impl Budget {
    /// A budget within `parent`, which begins to fill its share of a core `now`.
    pub fn new(parent: Option<Arc<Budget>>, caps: Caps, now: Instant) -> Arc<Self> {
        let share = caps.cpu_share.map(|_| Mutex::new(Share { left: 0, filled: now }));
        Arc::new(Self {
            parent,
            caps,
            used: Default::default(),
            cpu_ns: AtomicU64::new(0),
            share,
        })
    }

    fn chain(&self) -> impl Iterator<Item = &Budget> {
        std::iter::successors(Some(self), |budget| budget.parent.as_deref())
    }

    /// Takes so much from this budget and from all around it, or from none.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] names the nearest that has not so much left.
    pub fn charge(&self, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        for (depth, budget) in self.chain().enumerate() {
            let cap = budget.caps.of(resource);
            let grow = |used: u64| used.checked_add(amount).filter(|used| *used <= cap);
            let used = &budget.used[resource as usize];
            if used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_err() {
                for budget in self.chain().take(depth) {
                    budget.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
                }
                return Err(Exhausted { resource, cap });
            }
        }
        Ok(())
    }

    /// Gives back what was charged.
    pub fn give_back(&self, resource: Resource, amount: u64) {
        for budget in self.chain() {
            budget.used[resource as usize].fetch_sub(amount, Ordering::Relaxed);
        }
    }

    /// Time on a core was used.
    pub fn spend(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for budget in self.chain() {
            budget.cpu_ns.fetch_add(ns, Ordering::Relaxed);
            if let Some(share) = &budget.share {
                share.lock().left -= ns as i64;
            }
        }
    }

    /// The time on a core that was given has been used up.
    pub fn is_spent(&self) -> bool {
        self.chain().any(|budget| {
            budget
                .caps
                .cpu
                .is_some_and(|cap| u128::from(budget.cpu_ns.load(Ordering::Relaxed)) >= cap.as_nanos())
        })
    }

    /// How long to wait before there is something of all shares of a core left; `None`: there is.
    pub fn must_wait(&self, now: Instant) -> Option<Duration> {
        self.chain().filter_map(|budget| budget.share_wait(now)).max()
    }

    fn share_wait(&self, now: Instant) -> Option<Duration> {
        let percent = i64::from(self.caps.cpu_share?.max(1));
        let mut share = self.share.as_ref()?.lock();
        let passed = now.saturating_duration_since(share.filled).as_nanos().min(1 << 50) as i64;
        let most = SHARE_PERIOD.as_nanos() as i64 * percent / 100;
        share.filled = share.filled.max(now);
        share.left = (share.left + passed * percent / 100).min(most);
        // Some of it must be there, or a process would be woken for each nanosecond.
        let least = most / 10;
        (share.left < 0).then(|| Duration::from_nanos(((least - share.left) * 100 / percent) as u64))
    }

    /// How much is used.
    pub fn usage(&self) -> Usage {
        let [processes, memory, sockets] = Resource::ALL.map(|r| self.used[r as usize].load(Ordering::Relaxed));
        Usage {
            processes,
            memory,
            sockets,
            cpu: Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::environment::now;

    #[test]
    fn a_charge_that_an_outer_budget_refuses_is_taken_from_none() {
        let outer = Budget::new(
            None,
            Caps {
                memory: Some(10),
                ..Caps::default()
            },
            now(),
        );
        let inner = Budget::new(
            Some(outer.clone()),
            Caps {
                memory: Some(100),
                ..Caps::default()
            },
            now(),
        );
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
        let outer = Budget::new(None, caps(10), now());
        let (one, two) = (
            Budget::new(Some(outer.clone()), caps(20), now()),
            Budget::new(Some(outer.clone()), caps(20), now()),
        );
        one.spend(Duration::from_millis(6));
        assert!(!two.is_spent() && !outer.is_spent());
        two.spend(Duration::from_millis(4));
        assert!(one.is_spent() && two.is_spent() && outer.is_spent());
    }

    #[test]
    fn a_share_is_met_over_time() {
        let budget = Budget::new(
            None,
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
                let budget = Budget::new(parent.map(|at| tree[at].0.clone()), caps, now());
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
