//! Channels: queues of messages that processes share by handle.
//!
//! A channel knows no processes: who waits on one is a `W`, which it gives back to be woken. The one who made it is a `W` too,
//! and pays for it and for what lies in it.
//!
//! A channel belongs to the process that made it and is removed when that process ends; whoever waits on it then is
//! woken and finds it closed. Any process that was given the handle may send and receive. Messages keep the order in
//! which they were sent; each is received once.
//!
//! # Waiting
//!
//! A process that must wait leaves a waiter in the channel's list, with a ticket, and looks again when it is woken. Waking
//! takes the waiter off the list. If somebody was faster, the process waits on, before all others. A waiter that goes away
//! (it was killed) after it was woken and before it looked passes the wake-up on, so none is lost.

use std::collections::VecDeque;

use lunatic_sys::codes::MESSAGE_LEN_MAX;
use smallvec::SmallVec;

use crate::address::Id;
use crate::budget::{Exhausted, Payer, Resource};
use crate::room;
use crate::table::{Full, Table};
use crate::trace::{self, Trace, Traces};

/// The bytes of one message; short ones need no allocation of their own.
pub type Message = SmallVec<[u8; 24]>;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefusal {
    /// The queue holds as many messages as it may.
    Full,
    /// Its owner has ended.
    Closed,
    /// The message is longer than [`MESSAGE_LEN_MAX`], or the receiver, or the host, has not so much memory left.
    Limit,
}

impl std::fmt::Display for SendRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full",
            Self::Closed => "the receiver has ended",
            Self::Limit => "the message is too long, or there is not so much memory left for it",
        })
    }
}

impl std::error::Error for SendRefusal {}

/// Why no message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveRefusal {
    /// There is no message.
    Empty,
    /// Its owner has ended.
    Closed,
}

/// What came of trying to receive.
pub enum Received<W> {
    /// A message, the trace that it belongs to, and a sender to be woken.
    Message(Message, Trace, Wake<W>),
    /// The channel is closed.
    Closed,
    /// There is nothing; whoever sends next wakes the process.
    Waits(Ticket),
}

struct Channel<W> {
    queue: VecDeque<Message>,
    /// The traces of the messages; nothing if none of them belongs to one.
    traces: Option<Box<Traces>>,
    /// 0 is no bound.
    bound: usize,
    owner: Id,
    payer: W,
    receivers: Waiters<W>,
    senders: Waiters<W>,
    /// Bytes of the queue itself, and of messages outside of it, that are charged.
    charged: usize,
    outside: usize,
}

/// What a channel leaves.
pub struct Closed<I> {
    /// Who waited on it.
    pub waiters: I,
    /// What nobody receives any more: to drop many, or long ones, takes a while.
    pub messages: VecDeque<Message>,
    /// Their traces.
    pub(crate) traces: Option<Box<Traces>>,
    /// The bytes that they hold outside of the queue.
    pub outside: usize,
}

/// Why no channel was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenRefusal {
    /// As many are open as may be.
    Full,
    /// Its owner has not so much memory left.
    Budget(Exhausted),
}

impl std::fmt::Display for OpenRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the largest number of channels is open"),
            Self::Budget(exhausted) => exhausted.fmt(f),
        }
    }
}

impl std::error::Error for OpenRefusal {}

/// All channels of a runtime.
pub struct Channels<W> {
    table: Table<Channel<W>>,
}

/// A place in a list of waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

struct Waiters<W> {
    list: VecDeque<(Ticket, W)>,
    /// The number of the next ticket. Each list counts for itself: all workers would write to the cache line of one counter.
    next_ticket: u64,
}

impl<W> Waiters<W> {
    fn none() -> Self {
        Self {
            list: VecDeque::new(),
            next_ticket: 0,
        }
    }

    /// Adds a waiter behind all others; before them if it waits `again`, with the ticket that it had.
    fn enter(&mut self, waiter: W, again: Option<Ticket>) -> Ticket {
        if let Some(ticket) = again {
            self.remove(ticket);
            self.list.push_front((ticket, waiter));
            return ticket;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.list.push_back((ticket, waiter));
        ticket
    }

    fn pop(&mut self) -> Option<W> {
        let (_, waiter) = self.list.pop_front()?;
        self.give_room_back();
        Some(waiter)
    }

    /// True if the ticket was still in the list.
    fn remove(&mut self, ticket: Ticket) -> bool {
        if self.list.is_empty() {
            return false;
        }
        let place = self.list.iter().position(|(other, _)| *other == ticket);
        let was_there = place.is_some_and(|place| self.list.remove(place).is_some());
        self.give_room_back();
        was_there
    }

    /// Nobody pays for the room of those that waited once.
    fn give_room_back(&mut self) {
        if room::is_roomy(self.list.len(), self.list.capacity()) {
            self.list.shrink_to(2 * self.list.len());
        }
    }
}

/// Who must be woken now that a call has changed a channel.
pub type Wake<W> = Option<W>;

/// What a report says of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelView {
    /// The process that made it.
    pub owner: Id,
    /// The messages that wait in it.
    pub len: usize,
    /// The bytes that it holds: those of the messages, and the room of its queue.
    pub bytes: usize,
    /// How many it holds at most; 0 for any number.
    pub bound: usize,
    /// How many processes wait for a message.
    pub receivers: usize,
    /// How many processes wait for room.
    pub senders: usize,
}

/// What a message takes up in a queue.
const MESSAGE_SIZE: usize = size_of::<Message>();

/// What a channel takes up: its slot, which has a lock and a number too, and its place in the list of its owner.
const fn channel_size<W>() -> usize {
    size_of::<Channel<W>>() + 32
}

impl<W: Clone + Payer> Channels<W> {
    /// An empty queue keeps room for this many messages and gives the rest back.
    const KEPT_CAPACITY: usize = 1024;

    /// At most so many channels.
    pub fn new(len_max: u32) -> Self {
        Self {
            table: Table::new(len_max),
        }
    }

    /// Makes a channel. A `bound` of 0 is none.
    ///
    /// # Errors
    ///
    /// [`OpenRefusal`] says why there is none.
    pub fn open(&self, worker: usize, owner: Id, payer: &W, bound: usize) -> Result<Id, OpenRefusal> {
        payer
            .purse()
            .charge(Resource::Channels, channel_size::<W>())
            .map_err(OpenRefusal::Budget)?;
        let channel = Channel {
            queue: VecDeque::new(),
            traces: None,
            bound,
            owner,
            payer: payer.clone(),
            receivers: Waiters::none(),
            senders: Waiters::none(),
            charged: 0,
            outside: 0,
        };
        self.table.insert(worker, |_| channel).map_err(|Full| {
            payer.purse().give_back(Resource::Channels, channel_size::<W>());
            OpenRefusal::Full
        })
    }

    /// Removes a channel; all who waited must be woken. `None` if it was removed before.
    pub fn close(&self, worker: usize, id: Id) -> Option<Closed<impl Iterator<Item = W> + use<W>>> {
        let channel = self.table.remove(worker, id)?;
        let purse = channel.payer.purse();
        purse.give_back(Resource::Messages, channel.outside + channel.charged);
        purse.give_back(Resource::Channels, channel_size::<W>());
        let waiters = channel.receivers.list.into_iter().chain(channel.senders.list);
        Some(Closed {
            waiters: waiters.map(|(_, waiter)| waiter),
            messages: channel.queue,
            traces: channel.traces,
            outside: channel.outside,
        })
    }

    /// Appends a message, and tells which receiver is to be woken.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not taken.
    pub fn try_send(&self, id: Id, bytes: &[u8]) -> Result<Wake<W>, SendRefusal> {
        self.try_send_made(id, bytes.len(), None, || Message::from_slice(bytes))
    }

    /// As [`try_send`](Self::try_send), for a message of `len` bytes that `make` makes, under the lock of the channel, and that may belong to a trace. It is
    /// asked only if the channel is open and has room, so what refuses leaves the message where it is.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not taken.
    pub fn try_send_made(
        &self,
        id: Id,
        len: usize,
        trace: Trace,
        make: impl FnOnce() -> Message,
    ) -> Result<Wake<W>, SendRefusal> {
        if len > MESSAGE_LEN_MAX {
            return Err(SendRefusal::Limit);
        }
        let mut channel = self.table.get(id).ok_or(SendRefusal::Closed)?;
        if channel.is_full() {
            return Err(SendRefusal::Full);
        }
        let message = make();
        let outside = size_outside(&message) + trace::size(&trace);
        let mut size = outside;
        if channel.queue.len() == channel.queue.capacity() {
            // The queue is not left to grow by itself, so that its growth can be refused.
            let growth = channel.queue.capacity().max(4);
            size += growth * MESSAGE_SIZE;
            channel.charge(size)?;
            channel.charged += growth * MESSAGE_SIZE;
            channel.queue.reserve_exact(growth);
        } else if size > 0 {
            channel.charge(size)?;
        }
        channel.outside += outside;
        if let Some(context) = trace {
            let before = channel.queue.len();
            channel.traces.get_or_insert_default().push(before, context);
        }
        channel.queue.push_back(message);
        Ok(channel.receivers.pop())
    }

    /// Takes the oldest message, with the trace that it belongs to, and tells which sender is to be woken.
    ///
    /// # Errors
    ///
    /// [`ReceiveRefusal`] says why there is none.
    pub fn try_receive(&self, id: Id) -> Result<(Message, Trace, Wake<W>), ReceiveRefusal> {
        let mut channel = self.table.get(id).ok_or(ReceiveRefusal::Closed)?;
        self.pop(&mut channel).ok_or(ReceiveRefusal::Empty)
    }

    fn pop(&self, channel: &mut Channel<W>) -> Option<(Message, Trace, Wake<W>)> {
        let message = channel.queue.pop_front()?;
        let trace = match &channel.traces {
            None => None,
            Some(_) => channel.pop_trace(),
        };
        let mut freed = size_outside(&message) + trace::size(&trace);
        channel.outside -= freed;
        // A queue that was long once would else hold its room for as long as the channel is open.
        if channel.queue.is_empty() && channel.queue.capacity() > Self::KEPT_CAPACITY {
            channel.queue = VecDeque::new();
            freed += std::mem::take(&mut channel.charged);
        }
        if freed > 0 {
            channel.payer.purse().give_back(Resource::Messages, freed);
        }
        Some((message, trace, channel.senders.pop()))
    }

    /// Takes the oldest message, or leaves a waiter for one, with the ticket of the former time if there was one: a process
    /// that was woken and came too late waits before all others.
    pub fn receive(&self, id: Id, waiter: &W, former: Option<Ticket>) -> Received<W> {
        let Some(mut channel) = self.table.get(id) else {
            return Received::Closed;
        };
        // It is still in the list if something else has woken the process.
        if let Some(ticket) = former {
            channel.receivers.remove(ticket);
        }
        match self.pop(&mut channel) {
            Some((message, trace, wake)) => Received::Message(message, trace, wake),
            None => Received::Waits(channel.receivers.enter(waiter.clone(), former)),
        }
    }

    /// Whether a receiver would not have to wait: there is a message, or the channel has closed.
    pub fn is_ready(&self, id: Id) -> bool {
        self.table.get(id).is_none_or(|channel| !channel.queue.is_empty())
    }

    /// Leaves a waiter for a message, unless there is one by now or the channel has closed: then `None`. A process that was
    /// woken and came too late waits `again`, with the ticket that it had, before all others.
    pub fn wait_to_receive(&self, id: Id, waiter: &W, again: Option<Ticket>) -> Option<Ticket> {
        let mut channel = self.table.get(id)?;
        channel
            .queue
            .is_empty()
            .then(|| channel.receivers.enter(waiter.clone(), again))
    }

    /// Leaves a waiter for room, unless there is room by now or the channel has closed: then `None`; `again` as above.
    pub fn wait_to_send(&self, id: Id, waiter: &W, again: Option<Ticket>) -> Option<Ticket> {
        let mut channel = self.table.get(id)?;
        channel.is_full().then(|| channel.senders.enter(waiter.clone(), again))
    }

    /// A receiver has been woken, and is about to look (`looks`), or goes away. If it had been taken off the list, and goes
    /// away, the wake-up goes to the next one.
    pub fn leave_receive(&self, id: Id, ticket: Ticket, looks: bool) -> Wake<W> {
        let mut channel = self.table.get(id)?;
        // Nothing is to be passed on by one that was not woken, that looks itself, or that left nothing to take.
        if channel.receivers.remove(ticket) || looks || channel.queue.is_empty() {
            None
        } else {
            channel.receivers.pop()
        }
    }

    /// A sender has been woken, and is about to look (`looks`), or goes away, as above.
    pub fn leave_send(&self, id: Id, ticket: Ticket, looks: bool) -> Wake<W> {
        let mut channel = self.table.get(id)?;
        if channel.senders.remove(ticket) || looks || channel.is_full() {
            None
        } else {
            channel.senders.pop()
        }
    }

    /// What a report says of the channel; `None` if it is closed.
    pub fn view(&self, id: Id) -> Option<ChannelView> {
        Some(self.table.get(id)?.view())
    }

    /// Calls `visit` with each channel and whoever pays for it. Those that come and go meanwhile may be missed. `visit` must be
    /// quick: the channel is locked.
    pub fn visit(&self, mut visit: impl FnMut(Id, &W, ChannelView)) {
        self.table
            .for_each(|id, channel| visit(id, &channel.payer, channel.view()));
    }
}

/// The bytes a message holds outside of the queue, with the allocation's own cost.
fn size_outside(message: &Message) -> usize {
    if message.spilled() {
        message.capacity() + MESSAGE_SIZE
    } else {
        0
    }
}

impl<W: Payer> Channel<W> {
    fn charge(&self, size: usize) -> Result<(), SendRefusal> {
        let charged = self.payer.purse().charge(Resource::Messages, size);
        charged.map_err(|_| SendRefusal::Limit)
    }
}

impl<W> Channel<W> {
    /// The first message has been taken: the trace that it belongs to.
    fn pop_trace(&mut self) -> Trace {
        let traces = self.traces.as_mut()?;
        let trace = traces.pop();
        if traces.is_empty() {
            self.traces = None;
        }
        trace
    }

    fn view(&self) -> ChannelView {
        ChannelView {
            owner: self.owner,
            len: self.queue.len(),
            bytes: self.charged.saturating_add(self.outside),
            bound: self.bound,
            receivers: self.receivers.list.len(),
            senders: self.senders.list.len(),
        }
    }

    fn is_full(&self) -> bool {
        self.bound != 0 && self.queue.len() >= self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Account, Budget, Caps, Purse};
    use crate::environment::now;

    const OWNER: Id = Id::NONE;

    /// Who waits pays for its channels out of a purse of its own.
    type Channels = super::Channels<Account>;

    /// Channels, and who pays, with so many bytes for messages.
    fn channels(messages: u64) -> (Channels, Account) {
        let caps = Caps {
            messages: Some(messages),
            ..Caps::default()
        };
        let budget = Budget::outermost(caps, now());
        (Channels::new(100), Purse::new(None, &budget).to_account())
    }

    fn channel(messages: u64) -> (Channels, Id) {
        let (channels, payer) = channels(messages);
        let id = channels.open(0, OWNER, &payer, 0).unwrap();
        (channels, id)
    }

    fn receive(channels: &Channels, id: Id) -> Result<Vec<u8>, ReceiveRefusal> {
        channels.try_receive(id).map(|(message, ..)| message.into_vec())
    }

    #[test]
    fn messages_keep_their_order_and_their_bytes() {
        let (channels, id) = channel(1 << 20);
        let messages: Vec<Vec<u8>> = (0..200).map(|len| vec![len as u8; len]).collect();
        for message in &messages {
            channels.try_send(id, message).unwrap();
        }
        for message in messages {
            assert_eq!(receive(&channels, id), Ok(message));
        }
        assert_eq!(receive(&channels, id), Err(ReceiveRefusal::Empty));
    }

    #[test]
    fn the_room_of_those_that_waited_is_given_back() {
        let (channels, payer) = channels(1 << 20);
        let id = channels.open(0, OWNER, &payer, 0).unwrap();
        let room = || channels.table.get(id).unwrap().receivers.list.capacity();
        let wait = || channels.wait_to_receive(id, &payer, None).unwrap();
        let tickets: Vec<Ticket> = (0..10_000).map(|_| wait()).collect();
        assert!(room() >= 10_000);
        for ticket in &tickets[..5_000] {
            channels.leave_receive(id, *ticket, false);
        }
        for _ in 0..4_999 {
            assert!(channels.try_send(id, b"1").unwrap().is_some());
        }
        assert!(room() < 100, "{}", room());
        assert!(channels.try_send(id, b"1").unwrap().is_some() && channels.try_send(id, b"1").unwrap().is_none());
    }

    #[test]
    fn a_bound_is_kept() {
        let (channels, payer) = channels(1 << 20);
        let id = channels.open(0, OWNER, &payer, 2).unwrap();
        assert!(channels.try_send(id, b"1").is_ok() && channels.try_send(id, b"2").is_ok());
        assert_eq!(channels.try_send(id, b"3").map(drop), Err(SendRefusal::Full));
        assert_eq!(receive(&channels, id), Ok(b"1".to_vec()));
        assert!(channels.try_send(id, b"3").is_ok());
    }

    #[test]
    fn a_closed_channel_takes_and_gives_nothing() {
        let (channels, id) = channel(1 << 20);
        channels.try_send(id, b"lost").unwrap();
        let closed = channels.close(0, id).unwrap();
        assert_eq!(
            (closed.waiters.count(), closed.messages.len(), closed.outside),
            (0, 1, 0)
        );
        assert_eq!(channels.try_send(id, b"late").map(drop), Err(SendRefusal::Closed));
        assert_eq!(receive(&channels, id), Err(ReceiveRefusal::Closed));
        assert!(channels.close(0, id).is_none(), "closing twice is closing once");
    }

    /// Whatever was sent, received and closed: nothing queued, nothing charged.
    #[test]
    fn all_queues_together_keep_their_limit_and_give_everything_back() {
        let (channels, payer) = channels(100_000);
        let [first, second] = [(); 2].map(|()| channels.open(0, OWNER, &payer, 0).unwrap());
        let used = || payer.purse().used(Resource::Messages);
        for (id, len) in [(first, 1000), (second, 10)] {
            while channels.try_send(id, &vec![7; len]).is_ok() {}
        }
        assert!(used() > 90_000);
        assert_eq!(
            channels.try_send(second, &[7; 50_000]).map(drop),
            Err(SendRefusal::Limit)
        );
        while receive(&channels, first).is_ok() {}
        assert!(
            channels.try_send(second, &[7; 50_000]).is_ok(),
            "what was received makes room"
        );
        for id in [first, second] {
            assert!(channels.close(0, id).is_some());
        }
        assert_eq!((used(), payer.purse().used(Resource::Channels)), (0, 0));
    }

    #[test]
    fn a_message_can_be_too_long() {
        let (channels, id) = channel(u64::MAX);
        let zeros = vec![0; MESSAGE_LEN_MAX + 1];
        assert_eq!(channels.try_send(id, &zeros).map(drop), Err(SendRefusal::Limit));
        assert!(channels.try_send(id, &zeros[1..]).is_ok());
    }
}
