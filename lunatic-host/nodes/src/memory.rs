//! A transport in memory, with virtual time and faults: many nodes in one thread, in an order that a seed decides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::fabric::{Brought, Fabric};
use crate::identity::Identity;
use crate::random::Random;

/// The faults on the way from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Nothing arrives.
    pub cut: bool,
    /// The minimum time that a frame takes.
    pub delay: Duration,
    /// One frame in this many is lost; 0 for none.
    pub loses: u64,
    /// One frame in this many arrives twice; 0 for none.
    pub doubles: u64,
    /// One frame in this many is delayed, so that later ones may overtake it; 0 for none.
    pub reorders: u64,
}

impl Faults {
    /// A line without faults.
    pub const NONE: Self = Self {
        cut: false,
        delay: Duration::from_micros(50),
        loses: 0,
        doubles: 0,
        reorders: 0,
    };
    /// A line that is cut.
    pub const CUT: Self = Self {
        cut: true,
        ..Self::NONE
    };
}

struct State {
    now: Duration,
    random: Random,
    /// What is on its way, by its time of arrival. The second number distinguishes simultaneous arrivals.
    on_way: BTreeMap<(Duration, u64), (Identity, Brought)>,
    sent: u64,
    present: BTreeSet<Identity>,
    frozen: BTreeMap<Identity, Vec<Brought>>,
    /// A number for each node, as a way is looked up for each frame.
    numbers: HashMap<Identity, u32>,
    faults: HashMap<Way, Faults>,
    /// The last arrival on each way, so that frames overtake each other only if a fault says so.
    last: HashMap<Way, Duration>,
}

/// The numbers of a sender and a receiver.
type Way = (u32, u32);

/// Connects nodes in memory.
#[derive(Clone)]
pub struct MemoryFabric(Arc<Mutex<State>>);

/// The connection of one node to a memory fabric.
pub struct Port {
    fabric: MemoryFabric,
    own: Identity,
}

impl Fabric for Port {
    fn send(&self, to: &Identity, frame: Vec<u8>) {
        self.fabric.send(&self.own, to, frame);
    }
}

impl MemoryFabric {
    /// A fabric without nodes, at time 0.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            random: Random(seed),
            on_way: BTreeMap::new(),
            sent: 0,
            present: BTreeSet::new(),
            frozen: BTreeMap::new(),
            numbers: HashMap::new(),
            faults: HashMap::new(),
            last: HashMap::new(),
        })))
    }

    /// The virtual time.
    pub fn now(&self) -> Duration {
        self.0.lock().now
    }

    /// Adds a node: it and all others see each other.
    pub fn attach(&self, node: &Identity) -> Port {
        let mut state = self.0.lock();
        let others: Vec<_> = state.present.iter().cloned().collect();
        for other in others {
            state.bring(&other, Brought::Seen(node.clone()));
            state.bring(node, Brought::Seen(other));
        }
        state.present.insert(node.clone());
        Port {
            fabric: self.clone(),
            own: node.clone(),
        }
    }

    /// Removes a node without a goodbye. If `is_noticed`, the others get [`Brought::Lost`].
    pub fn detach(&self, node: &Identity, is_noticed: bool) {
        let mut state = self.0.lock();
        state.present.remove(node);
        state.frozen.remove(node);
        if is_noticed {
            let others: Vec<_> = state.present.iter().cloned().collect();
            for other in others {
                state.bring(&other, Brought::Lost(node.clone()));
            }
        }
    }

    /// Makes a node stand still: frames for it wait.
    pub fn freeze(&self, node: &Identity) {
        self.0.lock().frozen.entry(node.clone()).or_default();
    }

    /// Makes a node go on, with everything that has come meanwhile.
    pub fn thaw(&self, node: &Identity) {
        let mut state = self.0.lock();
        for brought in state.frozen.remove(node).unwrap_or_default() {
            state.bring(node, brought);
        }
    }

    /// Whether a node stands still.
    pub fn is_frozen(&self, node: &Identity) -> bool {
        self.0.lock().frozen.contains_key(node)
    }

    /// Sets the faults from one node to another, in this direction only.
    pub fn set_faults(&self, from: &Identity, to: &Identity, faults: Faults) {
        let mut state = self.0.lock();
        let way = state.way(from, to);
        state.faults.insert(way, faults);
    }

    /// Removes all faults, and makes all nodes go on.
    pub fn heal(&self) {
        let frozen: Vec<_> = self.0.lock().frozen.keys().cloned().collect();
        for node in &frozen {
            self.thaw(node);
        }
        self.0.lock().faults.clear();
    }

    fn send(&self, from: &Identity, to: &Identity, frame: Vec<u8>) {
        let state = &mut *self.0.lock();
        let way = state.way(from, to);
        let faults = state.faults.get(&way).copied().unwrap_or(Faults::NONE);
        let random = &mut state.random;
        let mut happens = |times: u64| times > 0 && random.once_in(times);
        if faults.cut || !state.present.contains(to) || happens(faults.loses) {
            return;
        }
        let copies = if happens(faults.doubles) { 2 } else { 1 };
        for _ in 0..copies {
            let mut at = state.now + faults.delay;
            let is_late = faults.reorders > 0 && state.random.once_in(faults.reorders);
            if is_late {
                at += faults.delay * 3 + Duration::from_micros(state.random.below(1000));
            } else {
                let last = state.last.entry(way).or_default();
                at = at.max(*last);
                *last = at;
            }
            state.sent += 1;
            let brought = Brought::Frame(frame.clone());
            state.on_way.insert((at, state.sent), (to.clone(), brought));
        }
    }

    /// The time of the next arrival.
    pub fn next_due(&self) -> Option<Duration> {
        let state = self.0.lock();
        state.on_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// Advances the time to `until`, and gives everything that arrives by then to `take`.
    pub fn arrive_all(&self, until: Duration, mut take: impl FnMut(Identity, Brought)) {
        while let Some((to, brought)) = self.arrive(until) {
            take(to, brought);
        }
    }

    fn arrive(&self, until: Duration) -> Option<(Identity, Brought)> {
        let mut state = self.0.lock();
        loop {
            let next = state.on_way.first_entry().filter(|entry| entry.key().0 <= until);
            let Some(next) = next else {
                state.now = state.now.max(until);
                return None;
            };
            let ((at, _), (to, brought)) = next.remove_entry();
            state.now = state.now.max(at);
            if let Some(waiting) = state.frozen.get_mut(&to) {
                waiting.push(brought);
            } else if state.present.contains(&to) {
                return Some((to, brought));
            }
        }
    }
}

impl State {
    fn way(&mut self, from: &Identity, to: &Identity) -> Way {
        (self.number(from), self.number(to))
    }

    fn number(&mut self, node: &Identity) -> u32 {
        if let Some(number) = self.numbers.get(node) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(node.clone(), number);
        number
    }

    fn bring(&mut self, to: &Identity, brought: Brought) {
        self.sent += 1;
        self.on_way.insert((self.now, self.sent), (to.clone(), brought));
    }
}
