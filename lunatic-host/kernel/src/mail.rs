//! Messages to mailboxes, and what their owners take out.

use std::sync::Arc;

use lunatic_sys::codes::MESSAGE_LEN_MAX;

use crate::address::Id;
use crate::channel::SendRefusal;
use crate::delivery::{Destination, Signal};
use crate::events::Event;
use crate::host::{Host, Local};
use crate::kernel::Kernel;
use crate::process::Process;
use crate::quota::Exhausted;
use crate::relations::Relations;
use crate::relations::mailbox::{Body, Kind, Mail, Pushed};

pub(crate) fn new_mail(tag: u64, bytes: &[u8]) -> Result<Mail, SendRefusal> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(SendRefusal::Limit);
    }
    Ok(Mail {
        kind: Kind::Message,
        tag,
        body: Body::from_slice(bytes),
    })
}

impl<H: Host> Kernel<H> {
    /// Sends a message from one process to the mailbox of another.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not taken. That the receiver has ended is known only of processes of this node.
    pub fn send_mail(&self, from: Id, to: Id, tag: u64, bytes: &[u8]) -> Result<(), SendRefusal> {
        self.events.tell(|| Event::Sent {
            from,
            to,
            tag,
            len: bytes.len(),
        });
        match self.reach(to) {
            Destination::Here(to) => self.put_mail(to, tag, bytes),
            Destination::Gone => Err(SendRefusal::Closed),
            Destination::Elsewhere(remote) if bytes.len() <= MESSAGE_LEN_MAX => {
                remote.send(from, to, Signal::Message { tag, body: bytes })
            }
            Destination::Elsewhere(_) => Err(SendRefusal::Limit),
        }
    }

    /// Puts a message into the mailbox of a process of this node. This is also how a thread of the host's own sends to a
    /// process.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not taken.
    pub fn put_mail(&self, to: Arc<Process<H>>, tag: u64, bytes: &[u8]) -> Result<(), SendRefusal> {
        let mail = new_mail(tag, bytes)?;
        let pushed = to.relate(|relations| self.queue(&to, relations, mail));
        if pushed.unwrap_or(Err(SendRefusal::Closed))? {
            self.scheduler.wake_owned(to);
        }
        Ok(())
    }

    /// Puts a message into a mailbox that is not full; true if its owner must be woken. There is always room for the answer
    /// to a call. A message to a process that was told to end is dropped.
    pub(crate) fn queue(&self, to: &Process<H>, relations: &mut Relations, mail: Mail) -> Result<bool, SendRefusal> {
        // A process that has an intake gets no messages of this kind: they are dropped. And what comes after an exit signal
        // of the same sender must not be received before the process ends by the signal.
        if relations.has_intake() || to.is_doomed() {
            return Ok(false);
        }
        let is_full = relations.mailbox.len() >= to.local.mailbox_max();
        if is_full && !relations.outgoing.as_ref().is_some_and(|call| call.is_for(mail.tag)) {
            return Err(SendRefusal::Full);
        }
        match relations.push(mail, |bytes| self.queued.charge(bytes)) {
            Ok(Pushed::Queued { wake }) => Ok(wake),
            Ok(Pushed::Dropped) => Ok(false),
            Err(Exhausted) => Err(SendRefusal::Limit),
        }
    }

    /// Takes from what was sent to a process, or moves it, and gives back the bytes of what was taken.
    pub(crate) fn free<T>(&self, relations: &mut Relations, take: impl FnOnce(&mut Relations) -> T) -> T {
        let before = relations.size();
        let taken = take(relations);
        match relations.size() {
            after if after < before => self.queued.give_back(before - after),
            after if after > before => self.queued.charge_anyway(after - before),
            _ => {}
        }
        taken
    }

    /// Takes an entry out of the mailbox of the process that runs, or leaves it waiting for one.
    pub fn take_mail(&self, process: &Process<H>, tags: &[u64], wait: bool) -> Option<Mail> {
        let mail = process.relate_self(|relations| {
            self.free(relations, |Relations { mailbox, .. }| {
                let mail = mailbox.take(tags);
                match &mail {
                    Some(mail) => {
                        if let Kind::Down(_, reference) = mail.kind {
                            // If it was the monitor's own, it has done its work.
                            mailbox.close(reference);
                        }
                    }
                    None if wait => mailbox.wait_to_take(tags),
                    None => mailbox.wait_no_more(),
                }
                mail
            })
        });
        if let Some(mail) = &mail {
            self.events.tell(|| Event::Received {
                id: process.id,
                tag: mail.tag,
                len: mail.body.len(),
            });
        }
        mail
    }

    /// The process that runs is to be woken by mail with one of these tags; or no more.
    pub fn wait_for_mail(&self, process: &Process<H>, tags: Option<&[u64]>) {
        process.relate_self(|relations| {
            self.free(relations, |Relations { mailbox, .. }| match tags {
                Some(tags) => mailbox.wait_for(tags),
                None => mailbox.wait_no_more(),
            });
        });
    }

    /// Opens a fresh reference of the process that runs.
    pub fn open_reference(&self, process: &Process<H>) -> u64 {
        process.relate_self(|relations| relations.open_reference(|| self.random()))
    }

    /// Closes a reference of the process that runs.
    pub fn close_reference(&self, process: &Process<H>, reference: u64) {
        process.relate_self(|relations| self.free(relations, |relations| relations.close(reference)));
    }
}
