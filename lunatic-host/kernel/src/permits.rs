//! Permits for a limited resource, such as threads that block: who may use it, and who waits for it.
//!
//! [`shares`](crate::shares) decides how many permits a group may have at a time: some are always left for groups that
//! have none. A returned permit goes to the waiting group with the fewest permits, and among equals to the one that has
//! waited longest for a turn. So a waiter with a thousand others of its group does not delay other groups.
//!
//! Waiting means polling [`Acquire`]; no thread waits. There is one lock, held only while the next group is looked up; no
//! waker is called or dropped under it.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::shares::{Group, Shares};
use crate::sync::Mutex;
use crate::waiting_groups::WaitingGroups;

/// A number of permits.
#[derive(Debug)]
pub struct Permits(Mutex<State>);

#[derive(Debug)]
struct State {
    shares: Shares,
    waiting: WaitingGroups,
    /// Waiters that have been granted a permit and have not taken it yet.
    granted: HashSet<u64>,
    next_ticket: u64,
}

impl Permits {
    /// Returns this many permits.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            shares: Shares::new(max as u64),
            waiting: WaitingGroups::default(),
            granted: HashSet::new(),
            next_ticket: 0,
        })))
    }

    /// Returns a permit for a member of the group, once there is one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue, or the permit if one has been granted.
    pub fn acquire(self: &Arc<Self>, group: &Arc<Group>) -> Acquire {
        Acquire {
            permits: self.clone(),
            group: group.clone(),
            ticket: None,
        }
    }

    /// Returns how many are in use.
    pub fn used(&self) -> u64 {
        self.0.lock().shares.total()
    }

    fn give_back(&self, group: &Group) {
        let wakers = {
            let mut state = self.0.lock();
            state.give_back(group)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Takes a permit, if the group may have one.
    fn take(&mut self, group: &Group) -> bool {
        let taken = self.shares.take(group, 1);
        if taken && !self.waiting.is_empty() {
            self.waiting.update(group, &self.shares);
        }
        taken
    }

    /// Gives a permit back, and grants free permits to waiters, which must be woken.
    fn give_back(&mut self, group: &Group) -> Vec<Waker> {
        self.shares.give_back(group, 1);
        let mut wakers = Vec::new();
        if self.waiting.is_empty() {
            return wakers;
        }
        self.waiting.update(group, &self.shares);
        while let Some((ticket, waker)) = self.waiting.grant(&mut self.shares) {
            self.granted.insert(ticket);
            wakers.push(waker);
        }
        wakers
    }
}

/// The future of [`Permits::acquire`].
#[derive(Debug)]
pub struct Acquire {
    permits: Arc<Permits>,
    group: Arc<Group>,
    /// Its place in the queue, while it waits.
    ticket: Option<u64>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit> {
        let this = &mut *self;
        // Dropped after the lock is released: the last waker of a process may drop a waiter.
        let _former;
        let mut guard = this.permits.0.lock();
        let state = &mut *guard;
        let has = match this.ticket {
            Some(ticket) => state.granted.remove(&ticket),
            // Groups that wait may not have one; within its own group, nobody is overtaken.
            None => !state.waiting.contains(&this.group) && state.take(&this.group),
        };
        if has {
            this.ticket = None;
            return Poll::Ready(Permit {
                permits: this.permits.clone(),
                group: this.group.clone(),
            });
        }
        let ticket = *this.ticket.get_or_insert_with(|| {
            state.next_ticket += 1;
            state.next_ticket
        });
        let waker = context.waker().clone();
        _former = state.waiting.enter(&this.group, ticket, waker, &state.shares);
        drop(guard);
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        // Dropped after the lock is released, as above.
        let _waker;
        let mut guard = self.permits.0.lock();
        let state = &mut *guard;
        if state.granted.remove(&ticket) {
            drop(guard);
            self.permits.give_back(&self.group);
            return;
        }
        _waker = state.waiting.leave(&self.group, ticket, &state.shares);
        drop(guard);
    }
}

/// The right to use one of a limited resource; given back on drop.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    group: Arc<Group>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.give_back(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn try_poll(acquire: &mut Acquire, woken: &Arc<Woken>) -> Option<Permit> {
        let waker = Waker::from(woken.clone());
        match pin!(acquire).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    fn poll(acquire: &mut Acquire) -> Option<Permit> {
        try_poll(acquire, &Arc::default())
    }

    #[test]
    fn a_flood_of_one_group_does_not_delay_another() {
        let permits = Permits::new(64);
        let (greedy, modest) = (Group::new(), Group::new());
        let mut flood: Vec<_> = (0..1000).map(|_| permits.acquire(&greedy)).collect();
        let held: Vec<_> = flood.iter_mut().filter_map(poll).collect();
        assert_eq!(held.len(), 32);
        assert!(poll(&mut permits.acquire(&modest)).is_some(), "it does not even wait");
    }

    #[test]
    fn a_permit_goes_to_who_has_the_fewest() {
        let permits = Permits::new(2);
        let [first, greedy, modest] = [Group::new(), Group::new(), Group::new()];
        let held = poll(&mut permits.acquire(&first)).unwrap();
        let _other = poll(&mut permits.acquire(&greedy)).unwrap();
        let mut flood: Vec<_> = (0..5).map(|_| permits.acquire(&greedy)).collect();
        assert!(flood.iter_mut().all(|acquire| poll(acquire).is_none()));
        let woken = Arc::new(Woken::default());
        let mut waits = permits.acquire(&modest);
        assert!(try_poll(&mut waits, &woken).is_none());
        drop(held);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "it came last, and has none");
        assert!(try_poll(&mut waits, &woken).is_some());
    }

    #[test]
    fn those_that_have_as_few_take_turns() {
        let permits = Permits::new(1);
        let (one, other) = (Group::new(), Group::new());
        let mut held = poll(&mut permits.acquire(&Group::new()));
        let mut waiting: Vec<_> = [&one, &one, &one, &other, &other]
            .map(|group| permits.acquire(group))
            .into();
        assert!(waiting.iter_mut().all(|acquire| poll(acquire).is_none()));
        let mut order = Vec::new();
        while held.take().is_some() {
            waiting.retain_mut(|acquire| {
                held = held.take().or_else(|| poll(acquire));
                let is_served = acquire.ticket.is_none();
                if is_served {
                    order.push(Arc::ptr_eq(&acquire.group, &one));
                }
                !is_served
            });
        }
        let alternates = order.windows(2).take(3).all(|pair| pair[0] != pair[1]);
        assert!(order.len() == 5 && alternates, "{order:?}");
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let permits = Permits::new(1);
        let (one, other) = (Group::new(), Group::new());
        let held = poll(&mut permits.acquire(&one)).unwrap();
        let (mut gives_up, mut late) = (permits.acquire(&other), permits.acquire(&other));
        assert!(poll(&mut gives_up).is_none() && poll(&mut late).is_none());
        drop(held);
        // It was given the permit, and never took it.
        drop(gives_up);
        let permit = poll(&mut late);
        assert!(permit.is_some());
        let mut waits = permits.acquire(&one);
        assert!(poll(&mut waits).is_none());
        drop((waits, permit, late));
        let state = permits.0.lock();
        assert!(state.waiting.is_empty() && state.granted.is_empty() && state.shares.total() == 0);
    }

    proptest! {
        /// Whatever is begun, given up and given back in whatever order: nobody waits who could go on, and all get there.
        #[test]
        fn nobody_is_forgotten(
            steps in prop::collection::vec((0_usize..4, 0_u8..3, any::<prop::sample::Index>()), 1..200),
        ) {
            let program = Group::new();
            let groups = [Group::new(), program.clone(), Group::within(&program), Group::within(&program)];
            let permits = Permits::new(5);
            let (mut waiting, mut held): (Vec<(usize, Acquire)>, Vec<Permit>) = (Vec::new(), Vec::new());
            for (group, what, at) in steps {
                match what {
                    0 => waiting.push((group, permits.acquire(&groups[group]))),
                    1 if !held.is_empty() => drop(held.swap_remove(at.index(held.len()))),
                    2 if !waiting.is_empty() => drop(waiting.swap_remove(at.index(waiting.len()))),
                    _ => {}
                }
                waiting.retain_mut(|(_, acquire)| poll(acquire).map(|permit| held.push(permit)).is_none());
                prop_assert_eq!(permits.used(), held.len() as u64);
                let state = permits.0.lock();
                for (group, _) in &waiting {
                    prop_assert!(!state.shares.fits(&groups[*group], 1), "it waits for nothing");
                }
            }
            while !waiting.is_empty() {
                prop_assert!(!held.is_empty(), "all wait and nobody has a permit");
                held.clear();
                waiting.retain_mut(|(_, acquire)| poll(acquire).map(|permit| held.push(permit)).is_none());
            }
        }
    }
}
