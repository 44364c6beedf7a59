//! How connections end with their server: gracefully.
//!
//! A connection is in one group from its beginning, and in another one while it is idle. Leaving that tells whether one was
//! in it, so of a connection that begins a request and a drain that closes it, one comes first and both know which.

use std::fmt;
use std::time::{Duration, Instant};

use lunatic::channel::TryReceiveError;
use lunatic::{Channel, Process, code, registry, this_process};
use serde::{Deserialize, Serialize};

use crate::conn::Conn;
use crate::serve::Around;

/// A busy connection looks so often whether its server still runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The groups of a server's connections.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    number: u64,
}

impl Group {
    /// Those of the calling process, which serves one server at a time.
    pub(super) fn new() -> Self {
        Self {
            number: this_process().id(),
        }
    }

    fn all(self) -> registry::Group {
        registry::Group::named(format!("lunatic-http connections {}", self.number))
    }

    /// A connection begins: its process is the calling one.
    pub(super) fn enter(self) {
        // Without the right to register names, a drain does not find it, and waits in vain for its end.
        let _ = self.all().join(this_process());
    }

    fn idle(self) -> registry::Group {
        registry::Group::named(format!("lunatic-http idle {}", self.number))
    }
}

/// Closed when the acceptor has ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Running(Channel<()>);

impl Running {
    /// As long as the calling process runs.
    pub(super) fn new() -> Self {
        Self(Channel::new(1))
    }

    fn is_over(self) -> bool {
        matches!(self.0.try_receive(), Err(TryReceiveError::Closed))
    }
}

/// What a connection knows of its server.
pub(super) struct Watch {
    group: Group,
    running: Running,
    looked: Instant,
    over: bool,
    change: Change,
}

/// What a connection does when it may go on in another version, while a request has begun to come, or before it waits for one.
pub(super) type Change = Box<dyn Fn(&Conn, u64, Moment)>;

/// When a connection can go on in another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Begins,
    Waits,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(group: Group, running: Running, change: Change) -> Self {
        Self {
            group,
            running,
            looked: Instant::now(),
            over: running.is_over(),
            change,
        }
    }

    fn look(&mut self) -> bool {
        self.over = self.over || self.running.is_over();
        self.over
    }
}

impl Around for Watch {
    fn is_draining(&mut self) -> bool {
        if !self.over && self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.look();
        }
        self.over
    }

    fn idle(&mut self) -> bool {
        let _ = self.group.idle().join(this_process());
        // After joining: a drain that did not see it there has begun before this.
        !self.look()
    }

    fn begins(&mut self, conn: &Conn, served: u64) {
        (self.change)(conn, served, Moment::Begins);
    }

    fn waits(&mut self, conn: &Conn, served: u64) {
        (self.change)(conn, served, Moment::Waits);
    }

    fn leaves(&mut self) {
        code::stop_offering();
    }

    fn busy(&mut self) -> bool {
        self.group.idle().leave(this_process()) || !self.look()
    }
}

/// Ends the acceptor, and then all connections, the idle ones at once and the others when they are ready, or after
/// `patience`.
pub(super) fn drain(acceptor: Process, group: Group, patience: Duration) {
    acceptor.unlink();
    acceptor.kill();
    acceptor.join();
    let deadline = Instant::now().checked_add(patience);
    let idle = group.idle();
    for process in idle.members() {
        if idle.leave(process) {
            process.kill();
        }
    }
    let left = || {
        deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    };
    // Those that were spawned last may not have joined when the others are asked for.
    loop {
        let members = group.all().members();
        if members.is_empty() {
            return;
        }
        for process in members {
            if process.join_timeout(left()).is_err() {
                process.kill();
            }
        }
    }
}
