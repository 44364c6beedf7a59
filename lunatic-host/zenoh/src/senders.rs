//! A thread for each node to which frames are sent: publishing blocks while Zenoh's queue to that node is full.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use zenoh::qos::CongestionControl;
use zenoh::{Session, Wait};

use lunatic_nodes::Identity;

use crate::keys;

/// The most bytes that may wait for a thread; beyond that, frames are dropped, which ends the epoch. A node whose peer
/// accepts nothing never sends more than a window.
const WAITING_MAX: usize = 8 << 20;
/// A thread ends when nothing has been sent for this time.
const IDLE: Duration = Duration::from_secs(30);

struct Line {
    frames: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

/// The threads, by node.
pub(crate) struct Senders {
    session: Session,
    cluster: String,
    lines: Mutex<HashMap<Identity, Line>>,
}

impl Senders {
    pub(crate) fn new(session: Session, cluster: String) -> Arc<Self> {
        Arc::new(Self {
            session,
            cluster,
            lines: Mutex::default(),
        })
    }

    /// Passes a frame to the thread of its node. Does not block.
    pub(crate) fn send(self: &Arc<Self>, to: &Identity, frame: Vec<u8>) {
        let mut lines = self.lines.lock();
        if !lines.contains_key(to) {
            let Some(line) = self.start(to) else { return };
            lines.insert(to.clone(), line);
        }
        let line = &lines[to];
        if line.waiting.fetch_add(frame.len(), Ordering::Relaxed) > WAITING_MAX {
            line.waiting.fetch_sub(frame.len(), Ordering::Relaxed);
            return;
        }
        // Its thread leaves the map, under the lock, before it ends.
        _ = line.frames.send(frame);
    }

    /// `None` if the machine has no thread left: the frame is lost, and the epoch ends.
    fn start(self: &Arc<Self>, to: &Identity) -> Option<Line> {
        let (frames, taken) = channel();
        let waiting = Arc::<AtomicUsize>::default();
        let line = Line {
            frames,
            waiting: waiting.clone(),
        };
        let (senders, to) = (Arc::downgrade(self), to.clone());
        let (session, key) = (self.session.clone(), keys::inbox(&self.cluster, to.id(&self.cluster)));
        let run = move || {
            let publisher = session.declare_publisher(key);
            let publisher = publisher.congestion_control(CongestionControl::Block).wait();
            let Ok(publisher) = publisher else {
                // The next frame tries again.
                if let Some(senders) = senders.upgrade() {
                    senders.lines.lock().remove(&to);
                }
                return;
            };
            while let Some(frame) = next(&taken, || senders.upgrade().is_none_or(|senders| senders.leave(&to))) {
                let len = frame.len();
                // Success means little here, and a loss is detected by the numbers of frames.
                _ = publisher.put(frame).wait();
                waiting.fetch_sub(len, Ordering::Relaxed);
            }
        };
        let thread = std::thread::Builder::new().name("lunatic-zenoh".into());
        thread.spawn(run).ok().map(|_| line)
    }

    /// Called by an idle thread: removes it, unless a frame has arrived meanwhile.
    fn leave(&self, to: &Identity) -> bool {
        let mut lines = self.lines.lock();
        let waiting = lines.get(to).map(|line| line.waiting.load(Ordering::Relaxed));
        let is_idle = waiting.is_none_or(|waiting| waiting == 0);
        if is_idle {
            lines.remove(to);
        }
        is_idle
    }
}

/// The next frame; `None` if the thread must end.
fn next(taken: &Receiver<Vec<u8>>, leaves: impl Fn() -> bool) -> Option<Vec<u8>> {
    loop {
        match taken.recv_timeout(IDLE) {
            Ok(frame) => return Some(frame),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if leaves() => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
