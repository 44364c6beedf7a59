//! The ways from a kernel to other nodes.

use std::sync::Arc;

use lunatic_kernel::address::{Id, Peer};
use lunatic_kernel::budget::Receipt;
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::delivery::{Remote, Signal};

use super::Shared;
use crate::identity::NodeId;
use crate::node;
use crate::outbox::Paid;
use crate::record::{Record, TRACED_SINCE};

/// The way to one node, in one epoch.
pub(super) struct Way {
    pub(super) shared: Arc<Shared>,
    pub(super) to: NodeId,
    pub(super) epoch: u64,
    /// The version of the wire format that both nodes speak.
    pub(super) version: u16,
}

impl Way {
    fn send_record(&self, from: Id, to: Id, signal: Signal<'_>, paid: Option<Paid>) -> Result<(), SendRefusal> {
        let signal = match signal {
            // The other node does not know of contexts.
            Signal::Message { tag, body, .. } if self.version < TRACED_SINCE => {
                Signal::Message { tag, body, trace: "" }
            }
            signal => signal,
        };
        let record = Record::Signal {
            from: from.on(Peer::HERE).raw(),
            to: to.on(Peer::HERE).raw(),
            signal,
        };
        let sent = self.shared.send_paid(self.to, self.epoch, &record, paid);
        sent.map_err(|refusal| match refusal {
            node::SendRefusal::Full => SendRefusal::Full,
            node::SendRefusal::Gone => SendRefusal::Closed,
        })
    }
}

impl Remote for Way {
    fn send(&self, from: Id, to: Id, signal: Signal<'_>) -> Result<(), SendRefusal> {
        self.send_record(from, to, signal, None)
    }

    fn send_paid(&self, from: Id, to: Id, signal: Signal<'_>, paid: Receipt) -> Result<(), SendRefusal> {
        self.send_record(from, to, signal, Some(Box::new(paid)))
    }

    fn has_room(&self) -> bool {
        // Whoever learns that there is none waits for the report of room, so the question requests that report. A sender
        // to a node that is gone must not wait: `send` refuses with `Gone`.
        let asked = self.shared.node.lock().asks_for_room(self.to, self.epoch, (0, 0));
        asked != Err(node::SendRefusal::Full)
    }

    fn has_room_for(&self, sender: Id) -> bool {
        let sender = sender.on(Peer::HERE).raw();
        self.shared.node.lock().asks_again(self.to, self.epoch, sender) != Err(node::SendRefusal::Full)
    }

    fn asks_for_room(&self) -> bool {
        self.shared
            .node
            .lock()
            .asks_for_room(self.to, self.epoch, (0, 0))
            .is_ok()
    }
}

/// Acts as a node, so that the kernel notifies it when processes end for which the cluster keeps something.
pub(super) struct Registrar(pub(super) Arc<Shared>);

impl Remote for Registrar {
    fn send(&self, from: Id, _: Id, signal: Signal<'_>) -> Result<(), SendRefusal> {
        if let Signal::Down { .. } = signal {
            let kept = self.0.kept.lock().remove(&from.raw());
            drop(kept);
            self.0.node.lock().process_ended(from.raw());
            self.0.wake();
        }
        Ok(())
    }
}
