//! The only place that decides where a message or signal goes.
//!
//! An [`Id`] names a process and says where it lives. A sender asks [`Kernel::reach`], which returns the process
//! itself, the information that it is gone, or the [`Remote`] of its node. What another node sends arrives through
//! [`Kernel::receive`]. So links, monitors, exits and messages work the same between nodes, whatever connects them; the
//! kernel does not know networks.

use std::sync::Arc;

use lunatic_sys::layout::RawHandle;
use lunatic_sys::trace::Context;

use crate::address::Id;
use crate::budget::{Payer, Receipt, Resource};
use crate::channel::SendRefusal;
use crate::exit::{ExitReason, Loss};
use crate::host::Host;
use crate::kernel::Kernel;
use crate::mail::Content;
use crate::process::Process;
use crate::remote::UNPAID_MAX;
use crate::trace::Trace;

pub use crate::remote::{Remote, Signal};

/// The location of a process.
pub enum Destination<H: Host> {
    /// Alive, in this kernel.
    Here(Arc<Process<H>>),
    /// It has ended, or its node is not connected.
    Gone,
    /// On another node.
    Elsewhere(Arc<dyn Remote>),
}

impl<H: Host> Kernel<H> {
    /// Returns the location of the process.
    pub fn reach(&self, id: Id) -> Destination<H> {
        if id.is_here() {
            return self.find(id).map_or(Destination::Gone, Destination::Here);
        }
        let remote = self.peers.remote(id.peer());
        remote.map_or(Destination::Gone, Destination::Elsewhere)
    }

    /// Returns the id of the process with this address; `None` for an address that neither this node nor one that is or
    /// was connected has given out.
    pub fn process_named(&self, address: RawHandle) -> Option<Id> {
        let own = self.process_keys.check(address.id, address.key);
        own.or_else(|| self.peers.check(address))
    }

    /// Returns the id of the channel with this address; `None` for an address that neither this node nor one that is or
    /// was connected has given out.
    pub fn channel_named(&self, address: RawHandle) -> Option<Id> {
        let own = self.channel_keys.check(address.id, address.key);
        own.or_else(|| self.peers.check_channel(address))
    }

    /// Returns the address of a process.
    pub fn process_address(&self, id: Id) -> RawHandle {
        if id.is_here() {
            return self.process_keys.handle(id);
        }
        self.peers.address(id).unwrap_or_default()
    }

    /// Delivers a signal from another node: `from` is on the peer that sent it, `to` is in this kernel. The sender of an
    /// answer is a channel, and so is the receiver of an errand. Must not run
    /// while that peer is [disconnected](Self::disconnect).
    pub fn receive(&self, from: Id, to: Id, signal: Signal<'_>) {
        // The receiver of this is a channel.
        if let Signal::Errand { number, errand } = signal {
            return self.take_errand(from, to, number, errand);
        }
        let to = match self.find(to) {
            Some(process) => process,
            None => return self.answer_for_ended(from, to, &signal),
        };
        match signal {
            Signal::Message { tag, body, trace } => {
                // A peer may have sent a context that is none.
                let trace = Context::from_text(trace).map(Arc::new);
                // The sender learns of a full mailbox only as it would learn of a lost connection.
                let _ = self.put_mail(to, tag, Content::from(body).sent_by(from).traced(trace));
            }
            Signal::Exit { reason, sent: true } => self.exit_by_signal(&to, from, &reason),
            Signal::Exit { reason, sent: false } => self.exit_by_link(&to, from, &reason),
            Signal::Link if !to.is_doomed() && to.be_linked_elsewhere(from) => {
                self.wake_doomed(&to);
                // If the node was lost meanwhile, the search for links to it may have missed this one.
                if self.peers.remote(from.peer()).is_none() {
                    self.exit_by_link(&to, from, &ExitReason::NodeGone(Loss::Closed));
                }
            }
            Signal::Link => self.answer_for_ended(from, to.id, &signal),
            Signal::Unlink => {
                _ = to.relate(|relations| relations.unlink(from));
                self.forward(to.id, from, Signal::Unlinked);
            }
            Signal::Unlinked => _ = to.relate(|relations| relations.unlinked(from)),
            Signal::Monitor { reference } => {
                if let Err(reason) = to.be_watched_elsewhere(from, reference) {
                    self.forward(to.id, from, Signal::Down { reference, reason });
                }
            }
            Signal::Demonitor { reference } => to.be_watched_no_more(from, reference),
            // A node can report only the end of its own process.
            Signal::Down { reference, reason } if to.watches(from, reference) => {
                self.tell_down(&to, from, reference, &reason);
            }
            Signal::Answered { number, answer } => self.take_answer(from, to, number, answer),
            // An errand was taken above.
            Signal::Down { .. } | Signal::Errand { .. } => {}
        }
    }

    /// Handles a signal for a process that has ended.
    pub(crate) fn answer_for_ended(&self, from: Id, ended: Id, signal: &Signal<'_>) {
        match signal {
            Signal::Link => {
                let reason = ExitReason::NoProcess;
                self.forward(ended, from, Signal::Exit { reason, sent: false });
            }
            Signal::Unlink => self.forward(ended, from, Signal::Unlinked),
            Signal::Monitor { reference } => {
                let (reference, reason) = (*reference, self.exits.of(ended));
                self.forward(ended, from, Signal::Down { reference, reason });
            }
            _ => {}
        }
    }

    /// Sends a message to a process of another node. A long one is charged to the sender until it has been sent.
    pub(crate) fn send_elsewhere(
        &self,
        remote: &dyn Remote,
        (from, to): (Id, Id),
        tag: u64,
        body: &[u8],
        trace: &Trace,
    ) -> Result<(), SendRefusal> {
        let trace = trace.as_ref().map(|context| context.to_text()).unwrap_or_default();
        let message = Signal::Message {
            tag,
            body,
            trace: &trace,
        };
        let sender = (body.len() > UNPAID_MAX).then(|| self.find(from)).flatten();
        let Some(sender) = sender else {
            return remote.send(from, to, message);
        };
        let mut paid = Receipt::new(sender.purse().to_account(), Resource::Messages);
        paid.grow(body.len()).map_err(|_| SendRefusal::Limit)?;
        remote.send_paid(from, to, message, paid)
    }

    /// Sends a signal to a process of another node, if that is connected.
    pub(crate) fn forward(&self, from: Id, to: Id, signal: Signal<'_>) {
        if let Some(remote) = self.peers.remote(to.peer()) {
            // Only messages can be refused.
            let _ = remote.send(from, to, signal);
        }
    }
}

impl<H: Host> Process<H> {
    /// Adds a link from a process of another node; false if this process has ended, or the node has added too many
    /// relations.
    fn be_linked_elsewhere(&self, from: Id) -> bool {
        self.relate(|relations| relations.be_linked_elsewhere(from)) == Ok(true)
    }

    /// Adds a monitor from a process of another node.
    fn be_watched_elsewhere(&self, from: Id, reference: u64) -> Result<(), ExitReason> {
        let watched = self.relate_paid(|relations| relations.be_watched_elsewhere(from, reference))?;
        watched.then_some(()).ok_or(ExitReason::NoProcess)
    }

    fn be_watched_no_more(&self, from: Id, reference: u64) {
        _ = self.relate_paid(|relations| relations.be_watched_no_more(from, reference));
    }

    /// Whether it monitors or calls this process of another node under the reference.
    fn watches(&self, watched: Id, reference: u64) -> bool {
        let watches = self.peek(|relations| {
            let monitored = relations.monitors.get(reference).map(|monitor| monitor.watched);
            let called = relations.outgoing.as_ref().and_then(|call| call.callee());
            let called = called
                .filter(|callee| callee.watch == reference)
                .map(|callee| callee.id);
            monitored == Some(watched) || called == Some(watched)
        });
        watches.unwrap_or(false)
    }
}
