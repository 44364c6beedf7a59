//! Channels of this node, as processes of other nodes use them: their errands are done here.
//!
//! A channel lives on the node of the process that made it. A process of another node sends an [`Errand`] to the channel
//! and gets an [`Answer`]. An errand that must wait leaves a waiter in the channel's list, as a process of this node
//! does, and an entry at the desk. When the waiter is woken, this node acts for the process: it takes a message and sends it,
//! or says that there is room.
//!
//! Nothing of another node's is kept here but the entry: a message for a full channel stays with its sender, and a message
//! stays in the channel while there is no room on the way to its receiver.
//!
//! # Locks
//!
//! The desk's lock is taken before that of a channel, and is not held while bytes of messages are copied. Whoever removes an
//! entry from the desk answers the errand, so each is answered once. A wake-up for an entry that is gone is passed on by
//! whoever removed it.

use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::address::{Id, Peer};
use crate::channel::{Message, ReceiveRefusal, SendRefusal, Ticket, Wake};
use crate::desk::{Desk, Purpose, Waiting};
use crate::errand::{Answer, ChannelWaiter, Errand};
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::remote::Signal;

/// A waiter to wake after a call has changed a channel.
pub type Woken<H> = Wake<ChannelWaiter<Arc<Process<H>>>>;

impl<H: Host> Kernel<H> {
    /// Wakes a waiter of a channel.
    #[inline]
    pub fn wake_waiter(&self, woken: Woken<H>) {
        if let Some(process) = self.process_to_wake(woken) {
            self.scheduler.wake_owned(process);
        }
    }

    /// Returns the process that a wake-up is for. If it is for an errand of another node, that is done; this may end in a
    /// process that can continue in turn.
    #[inline]
    pub fn process_to_wake(&self, woken: Woken<H>) -> Option<Arc<Process<H>>> {
        match woken? {
            ChannelWaiter::Process(process) => Some(process),
            ChannelWaiter::Errand(key) => self.do_all(key),
        }
    }

    #[cold]
    fn do_all(&self, mut key: u64) -> Option<Arc<Process<H>>> {
        loop {
            match self.serve(key)? {
                ChannelWaiter::Process(process) => return Some(process),
                ChannelWaiter::Errand(next) => key = next,
            }
        }
    }

    /// Does an errand that was woken, and returns who can continue because of that.
    fn serve(&self, key: u64) -> Woken<H> {
        let mut desk = self.desk.lock();
        let errand = desk.get(key)?;
        match errand.purpose {
            Purpose::Receive { waits } => self.serve_receive(desk, key, errand, waits),
            Purpose::Send if self.channels.view(errand.channel).is_none() => {
                desk.remove(key);
                drop(desk);
                self.answer_errand(&errand, Answer::Closed);
                None
            }
            // The entry stays, so that the room is offered to another if this one goes away. The first time, the next one
            // is woken as well, which may be faster: this one's node may stand still. The second time, the room is its.
            Purpose::Send => {
                drop(desk);
                self.answer_errand(&errand, Answer::Room);
                if errand.came_late { None } else { self.leave(&errand) }
            }
            Purpose::Watch => {
                desk.remove(key);
                drop(desk);
                self.answer_errand(&errand, Answer::Ready);
                // The message is still there.
                self.leave(&errand)
            }
        }
    }

    fn serve_receive(&self, mut desk: MutexGuard<'_, Desk>, key: u64, errand: Waiting, waits: bool) -> Woken<H> {
        let Some(remote) = self.peers.remote(errand.from.peer()) else {
            desk.remove(key);
            return self.leave(&errand);
        };
        if !remote.asks_for_room() {
            desk.stall(key);
            return self.leave(&errand);
        }
        loop {
            let refusal = match self.channels.try_receive(errand.channel) {
                Ok((message, trace, sender)) => {
                    desk.remove(key);
                    drop((desk, trace));
                    self.answer_errand(&errand, Answer::Message(&message));
                    return sender;
                }
                Err(refusal) => refusal,
            };
            let answer = match refusal {
                ReceiveRefusal::Closed => Answer::Closed,
                ReceiveRefusal::Empty if !waits => Answer::Empty,
                ReceiveRefusal::Empty => {
                    let waiter = ChannelWaiter::Errand(key);
                    match self.enter_receivers(errand.channel, &waiter, errand.ticket) {
                        Some(ticket) => {
                            desk.waits_at(key, ticket);
                            return None;
                        }
                        // A message has come meanwhile.
                        None => continue,
                    }
                }
            };
            desk.remove(key);
            drop(desk);
            self.answer_errand(&errand, answer);
            return None;
        }
    }

    fn enter_receivers(
        &self,
        channel: Id,
        waiter: &ChannelWaiter<Arc<Process<H>>>,
        again: Option<Ticket>,
    ) -> Option<Ticket> {
        self.channels.wait_to_receive(channel, waiter, again)
    }

    /// Withdraws the waiter of an errand that is done, or is given up. If it was woken already, the wake-up goes to the next.
    fn leave(&self, errand: &Waiting) -> Woken<H> {
        let ticket = errand.ticket?;
        match errand.purpose {
            Purpose::Send => self.channels.leave_send(errand.channel, ticket, false),
            Purpose::Receive { .. } | Purpose::Watch => self.channels.leave_receive(errand.channel, ticket, false),
        }
    }

    fn answer_errand(&self, errand: &Waiting, answer: Answer<'_>) {
        let number = errand.number;
        self.forward(errand.channel, errand.from, Signal::Answered { number, answer });
    }

    /// Takes an errand of a process of another node to a channel of this one.
    pub(crate) fn take_errand(&self, from: Id, channel: Id, number: u64, errand: Errand<'_>) {
        let waiting = |purpose| Waiting {
            from,
            number,
            channel,
            purpose,
            ticket: None,
            came_late: false,
        };
        match errand {
            Errand::Send { body, waits } => self.errand_sends(waiting(Purpose::Send), body, waits),
            Errand::Receive { waits } => self.errand_receives(waiting(Purpose::Receive { waits })),
            Errand::Watch => self.errand_watches(waiting(Purpose::Watch)),
            Errand::Withdraw => self.errand_withdraws(from, number),
            Errand::Alive => {
                let is_alive = self.is_alive(channel);
                let answer = if is_alive { Answer::Ready } else { Answer::Closed };
                self.answer_errand(&waiting(Purpose::Watch), answer);
            }
        }
    }

    fn errand_sends(&self, errand: Waiting, body: &[u8], waits: bool) {
        let former = {
            let desk = self.desk.lock();
            let former = desk.find(errand.from, errand.number).and_then(|key| desk.get(key));
            if former.is_some_and(|former| (former.channel, former.purpose) != (errand.channel, errand.purpose)) {
                // No node gives one number to two errands.
                return;
            }
            former
        };
        let answer = loop {
            let make = || Message::from_slice(body);
            let sent = self
                .channels
                .try_send_made(errand.channel, body.len(), None, self.moment(), make);
            match sent {
                Ok(receiver) => {
                    self.answer_errand(&errand, Answer::Accepted);
                    self.wake_waiter(receiver);
                    break None;
                }
                // The answer was sent.
                Err(SendRefusal::Full) if waits => match self.wait_for_room_in(&errand) {
                    Some(Answer::Full) => return,
                    Some(answer) => break Some(answer),
                    None => {}
                },
                Err(SendRefusal::Full) => break Some(Answer::Full),
                Err(SendRefusal::Closed) => break Some(Answer::Closed),
                Err(SendRefusal::Limit) => break Some(Answer::Limit),
            }
        };
        if former.is_some() {
            let mut desk = self.desk.lock();
            let removed = desk.find(errand.from, errand.number).and_then(|key| desk.remove(key));
            drop(desk);
            // There may still be room for another message.
            self.wake_waiter(removed.and_then(|removed| self.leave(&removed)));
        }
        if let Some(answer) = answer {
            self.answer_errand(&errand, answer);
        }
    }

    /// Leaves a waiter for room, and says so: under the desk's lock, so that room that comes now is reported after this.
    /// `None` if there is room by now, or the channel has closed.
    fn wait_for_room_in(&self, errand: &Waiting) -> Option<Answer<'static>> {
        let mut desk = self.desk.lock();
        let former = desk.find(errand.from, errand.number);
        let Some(key) = former.or_else(|| desk.add(*errand)) else {
            return Some(Answer::Limit);
        };
        let again = desk.get(key)?.ticket;
        let waiter = ChannelWaiter::<Arc<Process<H>>>::Errand(key);
        let Some(ticket) = self.channels.wait_to_send(errand.channel, &waiter, again) else {
            if former.is_none() {
                desk.remove(key);
            }
            return None;
        };
        desk.waits_at(key, ticket);
        self.answer_errand(errand, Answer::Full);
        Some(Answer::Full)
    }

    fn errand_receives(&self, errand: Waiting) {
        let mut desk = self.desk.lock();
        if desk.find(errand.from, errand.number).is_some() {
            // No node sends this twice.
            return;
        }
        let Some(key) = desk.add(errand) else {
            drop(desk);
            return self.answer_errand(&errand, Answer::Limit);
        };
        drop(desk);
        let woken = self.serve(key);
        self.wake_waiter(woken);
    }

    fn errand_watches(&self, errand: Waiting) {
        let mut desk = self.desk.lock();
        if desk.find(errand.from, errand.number).is_some() {
            return;
        }
        let Some(key) = desk.add(errand) else {
            drop(desk);
            // Then a receive says why.
            return self.answer_errand(&errand, Answer::Ready);
        };
        let waiter = ChannelWaiter::Errand(key);
        let answer = match self.enter_receivers(errand.channel, &waiter, None) {
            Some(ticket) => {
                desk.waits_at(key, ticket);
                Answer::NotReady
            }
            None => {
                desk.remove(key);
                Answer::Ready
            }
        };
        // Under the lock, so that a message that comes now is reported after this.
        self.answer_errand(&errand, answer);
    }

    fn errand_withdraws(&self, from: Id, number: u64) {
        let mut desk = self.desk.lock();
        let removed = desk.find(from, number).and_then(|key| desk.remove(key));
        drop(desk);
        // If it is not here, it has been answered.
        let Some(errand) = removed else { return };
        if let Purpose::Receive { .. } = errand.purpose {
            self.answer_errand(&errand, Answer::Withdrawn);
        }
        self.wake_waiter(self.leave(&errand));
    }

    /// Goes on with the errands of a node for which there was no room on the way to it.
    pub(crate) fn serve_stalled(&self, peer: Peer) {
        while self.peers.remote(peer).is_some_and(|remote| remote.asks_for_room()) {
            let stalled = self.desk.lock().take_stalled(peer);
            let Some(key) = stalled else { break };
            let woken = self.serve(key);
            self.wake_waiter(woken);
        }
    }

    /// Gives up all errands of a node that is lost.
    pub(crate) fn lose_errands_of(&self, peer: Peer) {
        let lost = self.desk.lock().remove_peer(peer);
        for errand in lost {
            self.wake_waiter(self.leave(&errand));
        }
    }

    /// Returns how many errands of a node wait at channels of this one.
    pub fn errands_of(&self, peer: Peer) -> usize {
        self.desk.lock().count(peer)
    }
}
