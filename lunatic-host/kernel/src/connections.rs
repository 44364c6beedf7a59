//! Connections to other nodes: establishing one, losing one, and waiting for room in one.

use std::sync::Arc;

use crate::address::{Id, Keys, Peer};
use crate::exit::{ExitReason, Loss};
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::remote::Remote;
use crate::wait::{Wait, Waiter, block};

impl<H: Host> Kernel<H> {
    /// Connects another node; `keys` belong to the addresses of its processes. `None` if 4,095 nodes have been
    /// connected, or if this one is connected now. A node that returns with the same keys gets the same number.
    pub fn connect(&self, keys: Keys, remote: Arc<dyn Remote>) -> Option<Peer> {
        self.peers.add(keys, remote)
    }

    /// Whether a node with these keys is or was connected.
    pub fn knows_keys(&self, keys: &[u8; 20]) -> bool {
        Keys::from_bytes(keys).is_some_and(|keys| self.peers.knows(&keys))
    }

    /// Ends the connection to a node. Before this returns, all processes are notified that were linked to its
    /// processes, monitored them or called them, or that use its channels.
    pub fn disconnect(&self, peer: Peer, loss: Loss) {
        // First, so that nobody links to a process of that node after this has gone past.
        self.peers.remove(peer);
        let mut all = Vec::new();
        self.for_each_process(|process| all.push(process.clone()));
        for process in all {
            self.lose_peer(&process, peer, &ExitReason::NodeGone(loss));
        }
        self.lose_errands_of(peer);
        self.lose_channels_of(peer);
        // They will find that it is gone.
        self.has_room(peer);
        // All processes may wait for each other, which nobody has looked for while a node could wake one of them.
        self.scheduler.wake_spare();
    }

    /// Removes the relations of a process to a node that is not connected any more.
    fn lose_peer(&self, process: &Arc<Process<H>>, peer: Peer, reason: &ExitReason) {
        // Collected first, because notifying the process takes the lock of its relations again.
        let lost = process.peek(|relations| {
            let links = relations.links.keys().filter(|linked| linked.peer() == peer);
            let monitors = relations
                .monitors
                .iter()
                .filter(|(_, monitor)| monitor.is_active() && monitor.watched.peer() == peer);
            let monitors = monitors.map(|(reference, monitor)| (reference, monitor.watched));
            let callee = relations.outgoing.as_ref().and_then(|call| call.callee());
            let callee = callee.filter(|callee| callee.id.peer() == peer);
            let watched = monitors.chain(callee.map(|callee| (callee.watch, callee.id)));
            (links.collect::<Vec<_>>(), watched.collect::<Vec<_>>())
        });
        let Some((mut links, mut watched)) = lost else {
            return;
        };
        // The order of maps differs between runs of the program, and a simulation must be reproducible.
        links.sort_unstable();
        watched.sort_unstable();
        for linked in links {
            self.exit_by_link(process, linked, reason);
        }
        for (reference, watched) in watched {
            self.tell_down(process, watched, reference, reason);
        }
        // Watchers on that node will not be notified of any end.
        _ = process.relate(|relations| relations.forget_peer(peer));
    }

    /// Registers a process that waits until a node accepts messages. Returns false, and registers nothing, if the node
    /// accepts messages by now, or is gone: then the process should try again.
    pub fn wait_for_room(&self, peer: Peer, process: &Process<H>) -> bool {
        self.peers.waiting.lock().enter(peer, process.id);
        // Looked up last: whoever makes room after this finds the process here.
        let remote = self.peers.remote(peer);
        let must_wait = remote.is_some_and(|remote| !remote.has_room_for(process.id));
        if !must_wait {
            self.leave_room(peer, process);
        }
        must_wait
    }

    /// Withdraws a process that waits for [room](Self::wait_for_room).
    pub fn leave_room(&self, peer: Peer, process: &Process<H>) {
        self.peers.waiting.lock().leave(peer, process.id);
    }

    /// Wakes the processes that wait for a node, which accepts messages again, and sends the messages of channels for
    /// which its processes wait.
    pub fn has_room(&self, peer: Peer) {
        let woken = self.peers.waiting.lock().take(peer);
        for process in woken {
            if let Some(process) = self.find(process) {
                self.scheduler.wake_owned(process);
            }
        }
        self.serve_stalled(peer);
    }

    /// Returns whether a signal to the process is sent at once: always, unless too much waits for its node. A program
    /// that is made to wait then cannot end the connection by sending too many.
    pub fn may_send(&self, id: Id) -> bool {
        id.is_here() || self.peers.remote(id.peer()).is_none_or(|remote| remote.has_room())
    }

    /// Returns whether the process may be alive; for a process of another node, whether that is connected.
    pub fn may_be_alive(&self, id: Id) -> bool {
        match id.is_here() {
            true => self.is_alive(id),
            false => self.peers.remote(id.peer()).is_some(),
        }
    }
}

/// Blocks until a node accepts messages again, or is gone: then what was refused should be tried again. Returns false
/// if the time has passed first. Only processes that send to this node wait.
pub async fn until_room<H: Host>(wait: &Wait<'_, H>, peer: Peer) -> bool {
    if wait.is_late() {
        return false;
    }
    if wait.kernel.wait_for_room(peer, &wait.process) {
        let waiter = Waiter::new(wait, |_| {
            wait.kernel.leave_room(peer, &wait.process);
            None
        });
        block(wait).await;
        waiter.leave();
    }
    true
}
