//! Channels: queues of messages that processes share by handle.
//!
//! A channel does not know processes: what waits on it is a `W`, which it returns to be woken. The owner is a `P`, and
//! pays for the channel and its contents.
//!
//! A channel belongs to the process that made it, and is removed when that process ends; processes that wait on it are
//! then woken and find it closed. Any process that was given the handle may send and receive. Messages keep the order
//! in which they were sent; each is received once.
//!
//! # Waiting
//!
//! A process that must wait leaves a waiter in the channel's list, with a ticket, and tries again when it is woken.
//! Waking removes the waiter from the list. If another process was faster, it continues to wait, before all others. A
//! waiter that goes away (because its process was killed) after it was woken and before it tried again passes the
//! wake-up on, so that none is lost.

use lunatic_sys::codes::MESSAGE_LEN_MAX;
use smallvec::SmallVec;

use crate::address::Id;
use crate::arrivals::{Arrivals, Moment};
use crate::budget::{Exhausted, Payer, Resource};
use crate::pieced_queue::PiecedQueue;
use crate::table::{Full, Table};
use crate::trace::{self, Trace, Traces};
pub use crate::waiters::Ticket;
use crate::waiters::Waiters;

/// The bytes of one message; short ones need no allocation of their own.
pub type Message = SmallVec<[u8; 24]>;

/// Why a message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefusal {
    /// The queue has reached its bound.
    Full,
    /// Its owner has ended.
    Closed,
    /// The message is longer than [`MESSAGE_LEN_MAX`], or the receiver or the host does not have enough memory left.
    Limit,
}

impl std::fmt::Display for SendRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full",
            Self::Closed => "the receiver has ended",
            Self::Limit => "the message is too long, or there is not enough memory left for it",
        })
    }
}

impl std::error::Error for SendRefusal {}

/// Why no message was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveRefusal {
    /// There is no message.
    Empty,
    /// Its owner has ended.
    Closed,
}

/// The result of trying to receive.
pub enum Received<W> {
    /// A message, its trace, and a sender to wake.
    Message(Message, Trace, Wake<W>),
    /// The channel is closed.
    Closed,
    /// There is no message; the next send wakes the process.
    Waits(Ticket),
}

struct Channel<W, P> {
    queue: PiecedQueue<Message>,
    /// When the messages arrived.
    arrivals: Arrivals,
    /// The traces of the messages; `None` if none has one.
    traces: Option<Box<Traces>>,
    /// 0 means no bound.
    bound: usize,
    owner: Id,
    payer: P,
    receivers: Waiters<W>,
    senders: Waiters<W>,
    /// The charged bytes of messages outside of the queue.
    outside: usize,
}

/// The contents of a closed channel.
pub struct Closed<I, P: Payer> {
    /// The processes that waited on it.
    pub waiters: I,
    /// Messages that nobody will receive: dropping many, or long ones, takes a while.
    pub(crate) messages: PiecedQueue<Message>,
    /// Their traces.
    pub(crate) traces: Option<Box<Traces>>,
    /// The charge for the messages, which must be dropped after them: others fill that room at once.
    pub paid: MessagesPaid<P>,
    /// The bytes of the messages outside of the queue.
    pub outside: usize,
}

/// The charge for the messages of a channel that has been closed; gives it back when dropped.
pub struct MessagesPaid<P: Payer> {
    payer: P,
    bytes: usize,
}

impl<P: Payer> Drop for MessagesPaid<P> {
    fn drop(&mut self) {
        self.payer.purse().give_back(Resource::Messages, self.bytes);
    }
}

/// Why a channel was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenRefusal {
    /// The limit of open channels is reached.
    Full,
    /// Its owner does not have enough memory left.
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
pub struct Channels<W, P = W> {
    table: Table<Channel<W, P>>,
}

/// The waiter to wake after a call has changed a channel.
pub type Wake<W> = Option<W>;

/// The state of a channel, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelView {
    /// The process that made it.
    pub owner: Id,
    /// The number of queued messages.
    pub len: usize,
    /// Its size in bytes: of the messages, and of the capacity of the queue.
    pub bytes: usize,
    /// The most messages that it holds; 0 for any number.
    pub bound: usize,
    /// How many processes wait for a message.
    pub receivers: usize,
    /// How many processes wait for room.
    pub senders: usize,
    /// When the oldest message was sent, or up to a sixth of its age earlier; `None` without messages.
    pub oldest: Option<Moment>,
}

/// The size of a message in a queue.
const MESSAGE_SIZE: usize = size_of::<Message>();

/// The size of a channel: its slot, which also has a lock and a number, its place in the list of its owner, and the
/// room that its two lists of waiters keep.
const fn channel_size<W, P>() -> usize {
    size_of::<Channel<W, P>>() + 32 + 2 * Waiters::<W>::KEPT_SIZE
}

impl<W, P: Clone + Payer> Channels<W, P> {
    /// Room for at most `len_max` channels.
    pub fn new(len_max: u32) -> Self {
        Self {
            table: Table::new(len_max),
        }
    }

    /// Makes a channel. A `bound` of 0 means no bound.
    ///
    /// # Errors
    ///
    /// [`OpenRefusal`] says why it was not made.
    pub fn open(&self, worker: usize, owner: Id, payer: &P, bound: usize) -> Result<Id, OpenRefusal> {
        payer
            .purse()
            .charge(Resource::Channels, channel_size::<W, P>())
            .map_err(OpenRefusal::Budget)?;
        let channel = Channel {
            queue: PiecedQueue::default(),
            arrivals: Arrivals::default(),
            traces: None,
            bound,
            owner,
            payer: payer.clone(),
            receivers: Waiters::none(),
            senders: Waiters::none(),
            outside: 0,
        };
        self.table.insert(worker, |_| channel).map_err(|Full| {
            payer.purse().give_back(Resource::Channels, channel_size::<W, P>());
            OpenRefusal::Full
        })
    }

    /// Removes a channel; the caller must wake all its waiters. `None` if it had already been removed.
    pub fn close(&self, worker: usize, id: Id) -> Option<Closed<impl Iterator<Item = W> + use<W, P>, P>> {
        let channel = self.table.remove(worker, id)?;
        channel
            .payer
            .purse()
            .give_back(Resource::Channels, channel_size::<W, P>());
        let bytes = channel.size();
        let paid = MessagesPaid {
            payer: channel.payer,
            bytes,
        };
        let waiters = channel.receivers.list.into_iter().chain(channel.senders.list);
        Some(Closed {
            waiters: waiters.map(|(_, waiter)| waiter),
            messages: channel.queue,
            traces: channel.traces,
            paid,
            outside: channel.outside,
        })
    }

    /// Appends a message of which the age does not matter, and returns the receiver to wake.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not accepted.
    pub fn try_send(&self, id: Id, bytes: &[u8]) -> Result<Wake<W>, SendRefusal> {
        self.try_send_made(id, bytes.len(), None, Moment::default(), || Message::from_slice(bytes))
    }

    /// Like [`try_send`](Self::try_send), for a message of `len` bytes that `make` returns, with its trace, and sent `now`.
    /// `make` is called under the lock of the channel, and only if the channel is open and has room, so a message that is
    /// refused as `Closed` or `Full` stays where it is. One whose memory cannot be paid for (`Limit`) is dropped.
    ///
    /// # Errors
    ///
    /// [`SendRefusal`] says why it was not accepted.
    pub fn try_send_made(
        &self,
        id: Id,
        len: usize,
        trace: Trace,
        now: Moment,
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
        // Charged before anything changes, so that the growth of the queue can be refused.
        let growth = channel.queue.growth();
        let before = channel.queue.len();
        let size = outside
            + growth
            + channel.arrivals.growth(before, now)
            + trace.as_ref().map_or(0, |_| channel.growth_of_traces());
        if size > 0 {
            channel.charge(size)?;
        }
        if growth > 0 {
            channel.queue.grow();
        }
        channel.outside += outside;
        if let Some(context) = trace {
            channel.traces.get_or_insert_default().push(before, context);
        }
        channel.arrivals.push(before, now);
        channel.queue.push(message);
        Ok(channel.receivers.pop())
    }

    /// Receives the oldest message with its trace, and returns the sender to wake.
    ///
    /// # Errors
    ///
    /// [`ReceiveRefusal`] says why there is none.
    pub fn try_receive(&self, id: Id) -> Result<(Message, Trace, Wake<W>), ReceiveRefusal> {
        let mut channel = self.table.get(id).ok_or(ReceiveRefusal::Closed)?;
        self.pop(&mut channel).ok_or(ReceiveRefusal::Empty)
    }

    fn pop(&self, channel: &mut Channel<W, P>) -> Option<(Message, Trace, Wake<W>)> {
        let (message, mut freed) = channel.queue.pop()?;
        freed += channel.arrivals.pop(channel.queue.len());
        let trace = match &channel.traces {
            None => None,
            Some(_) => {
                let (trace, room) = channel.pop_trace();
                freed += room;
                trace
            }
        };
        let outside = size_outside(&message) + trace::size(&trace);
        channel.outside -= outside;
        if freed + outside > 0 {
            channel.payer.purse().give_back(Resource::Messages, freed + outside);
        }
        Some((message, trace, channel.senders.pop()))
    }

    /// Receives the oldest message, or leaves a waiter for one. `former` is the ticket of the last wait, if there was
    /// one: a process that was woken but came too late waits before all others.
    pub fn receive<V: Clone + Into<W>>(&self, id: Id, waiter: &V, former: Option<Ticket>) -> Received<W> {
        let Some(mut channel) = self.table.get(id) else {
            return Received::Closed;
        };
        // It is still in the list if something else has woken the process.
        if let Some(ticket) = former {
            channel.receivers.remove(ticket);
        }
        match self.pop(&mut channel) {
            Some((message, trace, wake)) => Received::Message(message, trace, wake),
            None => Received::Waits(channel.receivers.enter(waiter.clone().into(), former)),
        }
    }

    /// Returns whether a receive would not wait: there is a message, or the channel has closed.
    pub fn is_ready(&self, id: Id) -> bool {
        self.table.get(id).is_none_or(|channel| !channel.queue.is_empty())
    }

    /// Leaves a waiter for a message; `None` if there is one by now or the channel has closed. A process that was woken
    /// but came too late waits `again` with its former ticket, before all others.
    pub fn wait_to_receive<V: Clone + Into<W>>(&self, id: Id, waiter: &V, again: Option<Ticket>) -> Option<Ticket> {
        let mut channel = self.table.get(id)?;
        channel
            .queue
            .is_empty()
            .then(|| channel.receivers.enter(waiter.clone().into(), again))
    }

    /// Leaves a waiter for room; `None` if there is room by now or the channel has closed. `again` is as above.
    pub fn wait_to_send<V: Clone + Into<W>>(&self, id: Id, waiter: &V, again: Option<Ticket>) -> Option<Ticket> {
        let mut channel = self.table.get(id)?;
        channel
            .is_full()
            .then(|| channel.senders.enter(waiter.clone().into(), again))
    }

    /// A receiver has been woken and is about to try again (`looks`), or goes away. If it goes away and is no longer in
    /// the list, the wake-up goes to the next one.
    pub fn leave_receive(&self, id: Id, ticket: Ticket, looks: bool) -> Wake<W> {
        let mut channel = self.table.get(id)?;
        // There is nothing to pass on if it was not woken, if it tries itself, or if there is no message.
        if channel.receivers.remove(ticket) || looks || channel.queue.is_empty() {
            None
        } else {
            channel.receivers.pop()
        }
    }

    /// A sender has been woken and is about to try again (`looks`), or goes away, as above.
    pub fn leave_send(&self, id: Id, ticket: Ticket, looks: bool) -> Wake<W> {
        let mut channel = self.table.get(id)?;
        if channel.senders.remove(ticket) || looks || channel.is_full() {
            None
        } else {
            channel.senders.pop()
        }
    }

    /// Returns the state of the channel; `None` if it is closed.
    pub fn view(&self, id: Id) -> Option<ChannelView> {
        Some(self.table.get(id)?.view())
    }

    /// Calls `visit` with each channel and its payer. Channels that are opened or closed meanwhile may be missed.
    /// `visit` must be quick: the channel is locked.
    pub fn visit(&self, mut visit: impl FnMut(Id, &P, ChannelView)) {
        self.table
            .for_each(|id, channel| visit(id, &channel.payer, channel.view()));
    }
}

/// The bytes of a message outside of the queue, with the overhead of the allocation.
fn size_outside(message: &Message) -> usize {
    if message.spilled() {
        message.capacity() + MESSAGE_SIZE
    } else {
        0
    }
}

impl<W, P: Payer> Channel<W, P> {
    fn charge(&self, size: usize) -> Result<(), SendRefusal> {
        let charged = self.payer.purse().charge(Resource::Messages, size);
        charged.map_err(|_| SendRefusal::Limit)
    }
}

impl<W, P> Channel<W, P> {
    /// Removes the trace of the first message, which has been taken; returns it, and the number of bytes that the list
    /// has freed.
    fn pop_trace(&mut self) -> (Trace, usize) {
        let Some(traces) = &mut self.traces else {
            return (None, 0);
        };
        let before = traces.size();
        let trace = traces.pop();
        let after = traces.size();
        if traces.is_empty() {
            self.traces = None;
            return (trace, before);
        }
        (trace, before - after)
    }

    /// The bytes by which the list of traces grows with another one.
    fn growth_of_traces(&self) -> usize {
        self.traces
            .as_ref()
            .map_or(Traces::INITIAL_SIZE, |traces| traces.growth())
    }

    /// The charged bytes: the queue itself with its marks and its list of traces, and messages outside of it.
    fn size(&self) -> usize {
        let traces = self.traces.as_ref().map_or(0, |traces| traces.size());
        self.queue.size() + self.arrivals.size() + traces + self.outside
    }

    fn view(&self) -> ChannelView {
        ChannelView {
            owner: self.owner,
            len: self.queue.len(),
            bytes: self.size(),
            bound: self.bound,
            receivers: self.receivers.list.len(),
            senders: self.senders.list.len(),
            oldest: self.arrivals.oldest(self.queue.len()),
        }
    }

    fn is_full(&self) -> bool {
        self.bound != 0 && self.queue.len() >= self.bound
    }
}

#[cfg(test)]
mod tests;
