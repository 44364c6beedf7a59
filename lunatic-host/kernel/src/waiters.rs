//! Lists of processes that wait on a channel.

use std::collections::VecDeque;

use crate::room;

/// The room for waiters that an empty list keeps: as much as it gets with the first one, so that a list in which one
/// comes and goes need not be made each time.
pub(crate) const KEPT_WAITERS: usize = 4;

/// A place in a list of waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The processes that wait for something, the first of which is woken first.
pub(crate) struct Waiters<W> {
    pub(crate) list: VecDeque<(Ticket, W)>,
    /// The number of the next ticket. Each list has its own counter: all workers would write to the cache line of a
    /// shared one.
    next_ticket: u64,
}

impl<W> Waiters<W> {
    /// The bytes that an empty list keeps.
    pub(crate) const KEPT_SIZE: usize = KEPT_WAITERS * size_of::<(Ticket, W)>();

    pub(crate) fn none() -> Self {
        Self {
            list: VecDeque::new(),
            next_ticket: 0,
        }
    }

    /// Adds a waiter after all others; or before them if it waits `again`, with its former ticket.
    pub(crate) fn enter(&mut self, waiter: W, again: Option<Ticket>) -> Ticket {
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

    /// Removes the first one.
    pub(crate) fn pop(&mut self) -> Option<W> {
        let (_, waiter) = self.list.pop_front()?;
        self.give_room_back();
        Some(waiter)
    }

    /// Whether the ticket was still in the list.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> bool {
        if self.list.is_empty() {
            return false;
        }
        let place = self.list.iter().position(|(other, _)| *other == ticket);
        let was_there = place.is_some_and(|place| self.list.remove(place).is_some());
        self.give_room_back();
        was_there
    }

    /// Shrinks the list, because nobody pays for the room of former waiters.
    fn give_room_back(&mut self) {
        if self.list.is_empty() && self.list.capacity() > KEPT_WAITERS {
            self.list = VecDeque::new();
        } else if room::is_roomy(self.list.len(), self.list.capacity()) {
            self.list.shrink_to(2 * self.list.len());
        }
    }
}
