//! The thread that drives a cluster over a real transport.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use lunatic_kernel::host::Host;

use crate::cluster::Cluster;
use crate::fabric::{Brought, Fabric};

/// How many bytes of frames may wait for the driver. Further frames are dropped, which ends their epochs. This is more
/// than the windows of eighty nodes.
const WAITING_MAX: usize = 64 << 20;

#[derive(Default)]
struct Queue {
    brought: VecDeque<Brought>,
    bytes: usize,
    /// There is something to send.
    is_woken: bool,
    is_over: bool,
}

#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    some: Condvar,
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
        if let Brought::Frame(frame) = &brought {
            if queue.bytes + frame.len() > WAITING_MAX {
                return;
            }
            queue.bytes += frame.len();
        }
        queue.brought.push_back(brought);
        self.0.some.notify_one();
    }

    fn wake(&self) {
        self.0.queue.lock().is_woken = true;
        self.0.some.notify_one();
    }

    /// Waits until there is an event, or until the given time. `None` when the driver stops.
    fn take(&self, until: Option<Instant>) -> Option<VecDeque<Brought>> {
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
        (queue.is_woken, queue.bytes) = (false, 0);
        Some(std::mem::take(&mut queue.brought))
    }
}

/// A cluster with a thread that drives it. When this is dropped, the other nodes are notified that this one leaves.
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
    while let Some(brought) = inlet.take(due.and_then(|due| start.checked_add(due))) {
        // Events are handled before timeouts are checked: a node that stood still must not take its peers for silent.
        let now = start.elapsed();
        for brought in brought {
            cluster.handle(now, brought.event());
        }
        for (to, frame) in cluster.poll(now) {
            fabric.send(&to, frame);
        }
        due = cluster.next_due();
    }
    for (to, frame) in cluster.leave(start.elapsed()) {
        fabric.send(&to, frame);
    }
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
