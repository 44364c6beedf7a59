//! The thread that drives a cluster over a real transport.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use lunatic_kernel::host::Host;

use crate::cluster::Cluster;
use crate::fabric::{Brought, Fabric};
use crate::frame::{FRAME_LEN_MIN, is_hello};

/// How long frames are handled before something is sent. Otherwise a node that many send to would not answer.
const HANDLING_MAX: Duration = Duration::from_millis(100);
/// How many events the driver takes at a time.
const TAKEN_MAX: usize = 256;
/// How many hellos may wait for the driver. Everybody who reaches this node can send some, and they take long to judge.
const HELLOS_MAX: usize = 256;
/// How many reports of nodes that come and go may wait for the driver. They are only hints.
const HINTS_MAX: usize = 4096;
/// How many bytes of frames may wait for the driver. Further frames are dropped, which ends their epochs. This is more
/// than the windows of eighty nodes.
const WAITING_MAX: usize = 64 << 20;
/// What a frame takes up besides its bytes, approximately.
const FRAME_COST: usize = size_of::<Come>() + 32;
/// How many bytes of frames of one [`Lane`] may wait, approximately: more than the window of a node, so that only a node
/// that ignores its window waits for this.
pub(crate) const LANE_MAX: usize = 4 << 20;
/// How often a lane that waits looks whether its connection has ended.
const LOOK: Duration = Duration::from_millis(100);

/// An event that waits.
struct Come {
    at: Instant,
    brought: Brought,
    /// The bytes that wait in its lane.
    lane: Option<Arc<AtomicUsize>>,
}

#[derive(Default)]
struct Queue {
    brought: VecDeque<Come>,
    bytes: usize,
    hellos: usize,
    hints: usize,
    /// There is something to send.
    is_woken: bool,
    is_over: bool,
}

#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    some: Condvar,
    /// Something was taken.
    room: Condvar,
}

/// Where a transport puts its events, from any thread. Never waits.
#[derive(Clone, Default)]
pub struct Inlet(Arc<Waiting>);

impl Inlet {
    /// An inlet without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event. Frames of one node must be added in their order.
    pub fn bring(&self, brought: Brought) {
        let mut queue = self.0.queue.lock();
        self.add(&mut queue, brought, None);
    }

    fn add(&self, queue: &mut Queue, brought: Brought, lane: Option<&Arc<AtomicUsize>>) {
        let come = Come {
            at: Instant::now(),
            brought,
            lane: lane.cloned(),
        };
        if queue.enters(&come) {
            queue.brought.push_back(come);
            self.0.some.notify_one();
        }
    }

    /// A lane for the frames of one connection.
    pub(crate) fn lane(&self) -> Lane {
        Lane {
            inlet: self.clone(),
            held: Arc::default(),
        }
    }

    fn wake(&self) {
        self.0.queue.lock().is_woken = true;
        self.0.some.notify_one();
    }

    /// Waits until there is an event, or until the given time. Takes some events, and says when the first one came that
    /// is left. `None` when the driver stops.
    pub fn take(&self, until: Option<Instant>) -> Option<(Vec<Brought>, Option<Instant>)> {
        let mut queue = self.0.queue.lock();
        while queue.brought.is_empty() && !queue.is_woken && !queue.is_over {
            match until {
                Some(until) if self.0.some.wait_until(&mut queue, until).timed_out() => break,
                Some(_) => {}
                None => self.0.some.wait(&mut queue),
            }
        }
        if queue.is_over {
            return None;
        }
        queue.is_woken = false;
        let count = queue.brought.len().min(TAKEN_MAX);
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let Some(come) = queue.brought.pop_front() else { break };
            queue.leaves(&come);
            taken.push(come.brought);
        }
        self.0.room.notify_all();
        Some((taken, queue.brought.front().map(|come| come.at)))
    }
}

/// What a frame counts.
fn cost(frame: &[u8]) -> usize {
    frame.len() + FRAME_COST
}

impl Queue {
    /// Counts an event; false if it is not kept.
    fn enters(&mut self, come: &Come) -> bool {
        let Brought::Frame(frame) = &come.brought else {
            let has_room = self.hints < HINTS_MAX;
            self.hints += usize::from(has_room);
            return has_room;
        };
        let is_hello = is_hello(frame);
        // What is shorter is no frame of any kind.
        let has_room = frame.len() >= FRAME_LEN_MIN
            && self.bytes + cost(frame) <= WAITING_MAX
            && !(is_hello && self.hellos == HELLOS_MAX);
        if has_room {
            self.bytes += cost(frame);
            self.hellos += usize::from(is_hello);
            if let Some(lane) = &come.lane {
                lane.fetch_add(cost(frame), Ordering::Relaxed);
            }
        }
        has_room
    }

    fn leaves(&mut self, come: &Come) {
        match &come.brought {
            Brought::Frame(frame) => {
                self.bytes -= cost(frame);
                self.hellos -= usize::from(is_hello(frame));
                if let Some(lane) = &come.lane {
                    lane.fetch_sub(cost(frame), Ordering::Relaxed);
                }
            }
            Brought::Seen(_) | Brought::Lost(_) => self.hints -= 1,
        }
    }
}

/// Brings the frames of one connection. It waits where an [`Inlet`] would drop a frame, so a peer that sends too much
/// takes no room from others, and its own connection slows it down.
pub(crate) struct Lane {
    inlet: Inlet,
    /// How many bytes of this lane wait; changes under the lock of the queue.
    held: Arc<AtomicUsize>,
}

impl Lane {
    /// Adds an event, for which it may wait. False if `is_over`, or if the driver has stopped.
    pub(crate) fn bring(&self, brought: Brought, is_over: impl Fn() -> bool) -> bool {
        let waiting = &*self.inlet.0;
        let mut queue = waiting.queue.lock();
        if let Brought::Frame(frame) = &brought {
            while self.held.load(Ordering::Relaxed) > LANE_MAX || queue.bytes + cost(frame) > WAITING_MAX {
                if queue.is_over || is_over() {
                    return false;
                }
                waiting.room.wait_for(&mut queue, LOOK);
            }
        }
        self.inlet.add(&mut queue, brought, Some(&self.held));
        true
    }
}

/// A cluster with a thread that drives it. When this is dropped, the other nodes are notified that this one leaves, and
/// the processes of this node that they are lost.
pub struct Driver {
    inlet: Inlet,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If the system cannot start another thread.
    pub fn start<H: Host>(cluster: Arc<Cluster<H>>, fabric: Arc<dyn Fabric>, inlet: Inlet) -> io::Result<Self> {
        let woken = inlet.clone();
        cluster.on_wake(move || woken.wake());
        let taken = inlet.clone();
        let thread = std::thread::Builder::new().name("lunatic-nodes".into());
        let thread = thread.spawn(move || run(&cluster, &*fabric, &taken))?;
        let thread = Some(thread);
        Ok(Self { inlet, thread })
    }
}

fn run<H: Host>(cluster: &Cluster<H>, fabric: &dyn Fabric, inlet: &Inlet) {
    let start = Instant::now();
    let mut due = Some(Duration::ZERO);
    // Everything that came until then has been handled. This goes on even if something always waits: otherwise the loss
    // of a node would not be noticed for as long as others send much.
    let mut heard = Duration::ZERO;
    'all: loop {
        let mut begun = None;
        let mut until = due.and_then(|due| start.checked_add(due));
        loop {
            let Some((brought, left)) = inlet.take(until) else {
                break 'all;
            };
            // Events are handled before timeouts are checked: a node that stood still must not take its peers for
            // silent.
            let now = start.elapsed();
            for brought in brought {
                cluster.handle(now, brought.event());
            }
            heard = left.map_or(now, |came| came.saturating_duration_since(start).max(heard));
            if left.is_none() {
                break;
            }
            if start.elapsed() > *begun.get_or_insert(now) + HANDLING_MAX {
                break;
            }
            until = Some(start);
        }
        let now = start.elapsed();
        for (to, frame) in cluster.poll_behind(now, heard) {
            fabric.send(&to, frame);
        }
        due = cluster.next_due();
    }
    for (to, frame) in cluster.leave(start.elapsed()) {
        fabric.send(&to, frame);
    }
    cluster.close(start.elapsed());
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.inlet.0.queue.lock().is_over = true;
        self.inlet.0.some.notify_one();
        if let Some(thread) = self.thread.take() {
            // If the thread has panicked, there is nobody left to notify.
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Hello, Route, State, VERSIONS};
    use crate::identity::{Identity, NodeId};

    #[test]
    fn a_flood_of_hellos_leaves_room_for_what_nodes_say() {
        let route = Route {
            from: NodeId(1),
            to: NodeId(2),
            mine: 3,
            theirs: 4,
        };
        let hello = Hello {
            versions: VERSIONS,
            asks: true,
            window: 1 << 20,
            cluster: "c".into(),
            identity: Identity::new("a", 1).unwrap(),
            proof: Vec::new(),
        };
        let (hello, data) = (
            route.hello(&hello, |_| Vec::new()),
            route.data(1, State::default(), &[0]),
        );
        let inlet = Inlet::new();
        for _ in 0..10 * HELLOS_MAX {
            inlet.bring(Brought::Frame(hello.clone()));
        }
        inlet.bring(Brought::Frame(data.clone()));
        let (first, left) = inlet.take(None).unwrap();
        assert_eq!((first.len(), left.is_some()), (HELLOS_MAX, true));
        assert_eq!(inlet.take(None), Some((vec![Brought::Frame(data)], None)));
        inlet.bring(Brought::Frame(hello.clone()));
        assert_eq!(inlet.take(None), Some((vec![Brought::Frame(hello)], None)));
        let queue = inlet.0.queue.lock();
        assert_eq!((queue.bytes, queue.hellos), (0, 0));
    }

    #[test]
    fn no_flood_makes_more_wait_than_there_is_room_for() {
        let inlet = Inlet::new();
        let stranger = Identity::new("stranger", 1).unwrap();
        for _ in 0..10 * HINTS_MAX {
            inlet.bring(Brought::Frame(Vec::new()));
            inlet.bring(Brought::Frame(vec![2; FRAME_LEN_MIN - 1]));
            inlet.bring(Brought::Seen(stranger.clone()));
            inlet.bring(Brought::Lost(stranger.clone()));
        }
        assert_eq!(inlet.0.queue.lock().brought.len(), HINTS_MAX);
        let short = WAITING_MAX / FRAME_LEN_MIN;
        for _ in 0..short {
            inlet.bring(Brought::Frame(vec![2; FRAME_LEN_MIN]));
        }
        let count = inlet.0.queue.lock().brought.len() - HINTS_MAX;
        assert_eq!(count, WAITING_MAX / (FRAME_LEN_MIN + FRAME_COST));
        while !inlet.0.queue.lock().brought.is_empty() {
            inlet.take(None).unwrap();
        }
        let queue = inlet.0.queue.lock();
        assert_eq!((queue.bytes, queue.hellos, queue.hints), (0, 0, 0));
    }

    #[test]
    fn what_has_been_handled_goes_on_even_if_something_always_waits() {
        let inlet = Inlet::new();
        let (mut before, frame) = (Instant::now(), vec![2; FRAME_LEN_MIN]);
        for _ in 0..2 * TAKEN_MAX {
            inlet.bring(Brought::Frame(frame.clone()));
        }
        for _ in 0..10 {
            for _ in 0..TAKEN_MAX {
                inlet.bring(Brought::Frame(frame.clone()));
            }
            let (_, left) = inlet.take(None).unwrap();
            let left = left.expect("more waits than is taken");
            assert!(left > before, "the first that is left came later than those before");
            before = left;
        }
    }
}
