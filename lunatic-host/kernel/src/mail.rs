//! Sends messages to mailboxes, and takes mail out of them.

use std::sync::Arc;

use lunatic_sys::codes::{CHANGE_TAG, MESSAGE_LEN_MAX};
use smallvec::{Array, SmallVec};

use crate::address::Id;
use crate::budget::Payer;
use crate::channel::SendRefusal;
use crate::delivery::Destination;
use crate::events::Event;
use crate::host::{Host, Local};
use crate::kernel::Kernel;
use crate::process::Process;
use crate::relations::Relations;
use crate::relations::mailbox::{Body, Kind, Mail, Pushed};
use crate::trace::Trace;

/// A message that is being sent.
#[derive(Debug)]
pub struct Content<'a> {
    bytes: Bytes<'a>,
    trace: Trace,
    from: Id,
}

#[derive(Debug)]
enum Bytes<'a> {
    /// Borrowed bytes, which the receiver copies.
    Slice(&'a [u8]),
    /// A copy, which the receiver takes over: for long messages, because copying one takes too long for one step.
    Copied(Vec<u8>),
}

impl Content<'_> {
    /// Adds the trace of the message.
    #[inline]
    #[must_use]
    pub fn traced(self, trace: Trace) -> Self {
        Self { trace, ..self }
    }

    /// Adds the process that sends the message.
    #[inline]
    #[must_use]
    pub fn sent_by(self, from: Id) -> Self {
        Self { from, ..self }
    }

    /// Returns the trace of the message.
    #[inline]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Slice(bytes) => bytes,
            Bytes::Copied(bytes) => bytes,
        }
    }

    /// Returns the number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Returns the bytes as they are stored in a queue.
    pub fn into_queued<A: Array<Item = u8>>(self) -> SmallVec<A> {
        match self.bytes {
            Bytes::Slice(bytes) => SmallVec::from_slice(bytes),
            Bytes::Copied(bytes) => SmallVec::from_vec(bytes),
        }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Content<'a> {
    fn from(bytes: &'a T) -> Self {
        Self {
            bytes: Bytes::Slice(bytes.as_ref()),
            trace: None,
            from: Id::NONE,
        }
    }
}

impl From<Vec<u8>> for Content<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Bytes::Copied(bytes),
            trace: None,
            from: Id::NONE,
        }
    }
}

pub(crate) fn new_mail(tag: u64, mut content: Content<'_>) -> Result<Mail, SendRefusal> {
    if content.len() > MESSAGE_LEN_MAX {
        return Err(SendRefusal::Limit);
    }
    Ok(Mail {
        kind: Kind::of_message(content.from, content.trace.take()),
        tag,
        body: content.into_queued(),
    })
}

impl<H: Host> Kernel<H> {
    /// Sends a message from one process to the mailbox of another.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not accepted. Only for a process of this node, this includes that the receiver
    /// has ended.
    pub fn send_mail<'a>(
        &self,
        from: Id,
        to: Id,
        tag: u64,
        content: impl Into<Content<'a>>,
    ) -> Result<(), SendRefusal> {
        let content = content.into();
        let destination = self.reach(to);
        self.events.tell(|| {
            let system = match &destination {
                Destination::Here(to) => to.system.main(),
                _ => None,
            };
            let len = content.len();
            (system, Event::Sent { from, to, tag, len })
        });
        match destination {
            Destination::Here(to) => self.put_mail(to, tag, content.sent_by(from)),
            Destination::Gone => Err(SendRefusal::Closed),
            Destination::Elsewhere(remote) if content.len() <= MESSAGE_LEN_MAX => {
                self.send_elsewhere(&*remote, (from, to), tag, content.as_slice(), content.trace())
            }
            Destination::Elsewhere(_) => Err(SendRefusal::Limit),
        }
    }

    /// Puts a message into the mailbox of a process of this node. Threads of the host use this, too.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not accepted.
    pub fn put_mail<'a>(
        &self,
        to: Arc<Process<H>>,
        tag: u64,
        content: impl Into<Content<'a>>,
    ) -> Result<(), SendRefusal> {
        let mail = new_mail(tag, content.into())?;
        let pushed = to.relate_paid(|relations| self.queue(&to, relations, mail));
        if pushed.unwrap_or(Err(SendRefusal::Closed))? {
            self.scheduler.wake_owned(to);
        }
        Ok(())
    }

    /// Puts a message into a mailbox that is not full; returns true if its owner must be woken. There is always room
    /// for the answer to a call. A message to a process that must end is dropped.
    pub(crate) fn queue(&self, to: &Process<H>, relations: &mut Relations, mail: Mail) -> Result<bool, SendRefusal> {
        // A process with an intake gets no messages of this kind: they are dropped. And a message that comes after an
        // exit signal of the same sender must not be received before the process ends by the signal.
        if relations.has_intake() || to.is_doomed() {
            return Ok(false);
        }
        if self.has_no_room(to, relations, mail.tag) {
            return Err(SendRefusal::Full);
        }
        let pushed = relations
            .push(mail, self.moment(), to.purse())
            .map_err(|_| SendRefusal::Limit)?;
        // A new tag also needs a list.
        if let Err(exhausted) = relations.settle_messages(to.purse()) {
            to.run_out(relations, exhausted);
            return Ok(true);
        }
        match pushed {
            Pushed::Queued { wake } => Ok(wake),
            Pushed::Dropped => Ok(false),
            Pushed::Full => Err(SendRefusal::Full),
        }
    }

    /// Whether the mailbox has as many entries as the process may have. There is always room for the answer to a call.
    pub(crate) fn has_no_room(&self, to: &Process<H>, relations: &Relations, tag: u64) -> bool {
        let is_full = relations.mailbox.len() >= to.local.mailbox_max();
        is_full && !relations.outgoing.as_ref().is_some_and(|call| call.is_for(tag))
    }

    /// Notifies a process that another version of its code is pending, before everything else in its mailbox. It is not
    /// notified if it cannot pay for the entry.
    pub fn tell_of_change(&self, to: &Arc<Process<H>>) {
        let change = Mail {
            kind: Kind::Change,
            tag: CHANGE_TAG,
            body: Body::new(),
        };
        let pushed = to.relate_paid(|relations| relations.push_first(change, to.purse()));
        if let Ok(Ok(true)) = pushed {
            self.scheduler.wake(to);
        }
    }

    /// Takes an entry from the mailbox of the running process, or makes it wait for one.
    pub fn take_mail(&self, process: &Process<H>, tags: &[u64], wait: bool) -> Option<Mail> {
        let mail = process.relate_messages(|relations| {
            let mail = relations.mailbox.take(tags);
            match mail.as_ref().map(|mail| &mail.kind) {
                Some(Kind::Down(_, reference)) => relations.down_taken(*reference),
                Some(Kind::Exit(from)) => relations.exit_taken(*from),
                Some(Kind::Message(_) | Kind::Traced(..) | Kind::Change) => {}
                None if wait => relations.mailbox.wait_to_take(tags),
                None => relations.mailbox.wait_no_more(),
            }
            mail
        });
        if let Some(mail) = &mail {
            self.events.tell(|| {
                let (id, tag, len) = (process.id, mail.tag, mail.body.len());
                (process.system.main(), Event::Received { id, tag, len })
            });
        }
        mail
    }

    /// From now on, mail with one of these tags wakes the running process; with `None`, none does.
    pub fn wait_for_mail(&self, process: &Process<H>, tags: Option<&[u64]>) {
        process.relate_messages(|Relations { mailbox, .. }| match tags {
            Some(tags) => mailbox.wait_for(tags),
            None => mailbox.wait_no_more(),
        });
    }

    /// Whether the running process has mail with one of these tags. If not, such mail wakes it from now on, in addition to
    /// what it waits for already.
    pub fn has_mail_or_waits(&self, process: &Process<H>, tags: &[u64]) -> bool {
        process.relate_messages(|Relations { mailbox, .. }| {
            let has = mailbox.has(tags);
            if !has {
                mailbox.wait_also_for(tags);
            }
            has
        })
    }

    /// Opens a fresh reference for the running process.
    pub fn open_reference(&self, process: &Process<H>) -> u64 {
        process.relate_self(|relations| {
            // A process that cannot pay for it ends soon, so it does not matter what it does with this reference.
            if process.has_room(relations) {
                relations.open_reference(|| self.random())
            } else {
                relations.unused_reference(|| self.random())
            }
        })
    }

    /// Closes a reference of the running process.
    pub fn close_reference(&self, process: &Process<H>, reference: u64) {
        process.relate_self(|relations| relations.close(reference));
    }
}
