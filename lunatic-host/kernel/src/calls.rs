//! Calls: a request, and the wait for its answer or for the end of the callee.

use std::sync::Arc;

use crate::address::Id;
use crate::arrivals::Moment;
use crate::channel::SendRefusal;
use crate::events::Event;
use crate::exit::{ExitReason, Loss};
use crate::host::Host;
use crate::kernel::Kernel;
use crate::mail::{Content, new_mail};
use crate::process::Process;
use crate::relations::Relations;
use crate::relations::mailbox::Mail;
use crate::relations::outgoing::{Callee, Outgoing};
use crate::trace::Trace;

/// Why a call was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallRefusal {
    /// It cannot be answered.
    Unanswered(Unanswered),
    /// The reference is not open.
    NotOpen,
}

/// Why a call is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// The request was not accepted.
    Refused(SendRefusal),
    /// The callee has ended.
    Gone(ExitReason),
}

impl<H: Host> Kernel<H> {
    /// Sends a request. The callee is monitored under the reference, and the process waits for whatever arrives under
    /// it, until [`end_call`](Self::end_call). Returns false if something has already arrived. Takes one lock of each
    /// process.
    ///
    /// # Errors
    ///
    /// [`CallRefusal`] says why the call was not started.
    pub fn begin_call<'a>(
        &self,
        process: &Process<H>,
        callee: Arc<Process<H>>,
        reference: u64,
        tag: u64,
        request: impl Into<Content<'a>>,
    ) -> Result<bool, CallRefusal> {
        let request = request.into();
        self.events.tell(|| {
            let (from, to, len) = (process.id, callee.id, request.len());
            (process.system.main(), Event::Sent { from, to, tag, len })
        });
        let mail = new_mail(tag, request.sent_by(process.id))
            .map_err(|refusal| CallRefusal::Unanswered(Unanswered::Refused(refusal)))?;
        let begun = process.relate_messages(|relations| {
            let call = relations.outgoing(reference)?;
            Some((call.begin(callee.id), call.wait()))
        });
        let Some((is_another, waits)) = begun else {
            return Err(CallRefusal::NotOpen);
        };
        // The last callee stays watched in case it is called again; now there is another one.
        if let Some((Some(last), _)) = is_another {
            self.watch_no_more(process.id, last);
        }
        // The watch and the request are under one lock: the callee cannot end in between and leave the caller waiting.
        let queued = callee.relate_paid(|relations| {
            if let Some((_, this)) = is_another {
                relations.watchers.get_or_insert(this.watch, process.id);
            }
            self.queue(&callee, relations, mail)
        });
        match queued {
            Ok(Ok(wake)) => {
                if wake {
                    self.scheduler.wake_owned(callee);
                }
                Ok(waits)
            }
            Ok(Err(refusal)) => Err(CallRefusal::Unanswered(Unanswered::Refused(refusal))),
            Err(reason) => Err(self.gone_before(process, reason)),
        }
    }

    /// [`begin_call`](Self::begin_call) for a process of another node. If the node has no room for the request, it is
    /// refused as [`Full`](SendRefusal::Full); the caller can then wait for [room](Self::wait_for_room) and try again.
    ///
    /// # Errors
    ///
    /// [`CallRefusal`] says why the call was not started.
    pub fn begin_call_elsewhere(
        &self,
        process: &Process<H>,
        callee: Id,
        reference: u64,
        tag: u64,
        (request, trace): (&[u8], &Trace),
    ) -> Result<bool, CallRefusal> {
        // Before the callee is watched: signals are never refused, so a program that calls others in turn could send too
        // many.
        if !self.may_send(callee) {
            return Err(CallRefusal::Unanswered(Unanswered::Refused(SendRefusal::Full)));
        }
        let begun = process.relate_messages(|relations| {
            let call = relations.outgoing(reference)?;
            Some((call.begin(callee), call.wait()))
        });
        let Some((is_another, waits)) = begun else {
            return Err(CallRefusal::NotOpen);
        };
        if let Some((last, this)) = is_another {
            if let Some(last) = last {
                self.watch_no_more(process.id, last);
            }
            // Recorded first: if the node is lost after this, the callee is found and its end reported.
            if let Err(reason) = self.watch(process.id, callee, this.watch) {
                return Err(self.gone_before(process, reason));
            }
        }
        // After the monitor, so that the end of the callee is reported if it has ended.
        let request = Content::from(request).traced(trace.clone());
        match self.send_mail(process.id, callee, tag, request) {
            Ok(()) => Ok(waits),
            // A callee that was called before is watched, but its node has just been lost.
            Err(SendRefusal::Closed) => Err(self.gone_before(process, ExitReason::NodeGone(Loss::Unconnected))),
            Err(refusal) => Err(CallRefusal::Unanswered(Unanswered::Refused(refusal))),
        }
    }

    /// The callee had ended before it was watched or got the request, so no end will be reported.
    fn gone_before(&self, process: &Process<H>, reason: ExitReason) -> CallRefusal {
        process.relate_self(|relations| {
            if let Some(call) = &mut relations.outgoing {
                call.forget_callee();
            }
        });
        CallRefusal::Unanswered(Unanswered::Gone(reason))
    }

    /// Returns the answer to a call, if it has arrived: the reference is closed, and a fresh one is opened for the next
    /// call. If there is no answer, this happens only if the process `gives_up`; otherwise returns `None`, and the wait
    /// continues. Also returns `None` if the reference is not open.
    pub fn end_call(&self, process: &Process<H>, reference: u64, gives_up: bool) -> Option<(Option<Mail>, u64)> {
        let ended = process.relate_messages(|relations| {
            let call = relations.outgoing(reference)?;
            if !gives_up && call.wait() {
                return None;
            }
            let answer = call.end();
            let next = relations.unused_reference(|| self.random());
            if let Some(call) = &mut relations.outgoing {
                call.open(next, None);
            }
            Some((answer, next))
        });
        if let Some((Some(mail), _)) = &ended {
            self.events.tell(|| {
                let (id, tag, len) = (process.id, mail.tag, mail.body.len());
                (process.system.main(), Event::Received { id, tag, len })
            });
        }
        ended
    }

    /// Stops watching a process that was called.
    pub(crate) fn watch_no_more(&self, caller: Id, callee: Callee) {
        self.unwatch(caller, callee.id, callee.watch);
    }
}

impl Relations {
    /// Prepares a call under this reference; if it is not the expected one, it must be open in the mailbox. `None` if
    /// it is not.
    fn outgoing(&mut self, reference: u64) -> Option<&mut Outgoing> {
        let call = self.outgoing.get_or_insert_default();
        if !call.is_for(reference) {
            if !self.mailbox.is_open(reference) {
                return None;
            }
            let answer = self.mailbox.take(&[reference]);
            self.mailbox.close(reference);
            // Only one reference has its place in the call. The former one returns to the mailbox.
            let (other, its_answer) = call.open(reference, answer);
            if other != 0 {
                self.mailbox.open(other);
            }
            if let Some(mail) = its_answer {
                let _ = self.mailbox.push(mail, Moment::default(), |_| Ok(()));
            }
        }
        Some(call)
    }
}
