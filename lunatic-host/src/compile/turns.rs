//! Turns at a scarce resource: who waits, and who is next.
//!
//! Each waiter has a *path*: the numbers of its groups, from the outermost to the innermost. Sibling groups take turns,
//! however many waiters each has, and so do the groups within a group. A group with twenty waiters therefore delays the
//! only waiter of another group by at most one turn, and gains nothing by splitting into parts.
//!
//! A waiter that gives up leaves its place behind. Abandoned places are skipped, and removed once they are more than
//! half of all.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot::{Receiver, Sender, channel};

/// Fewer abandoned places than this are left for later.
const GONE_MIN: usize = 64;

/// Hands out turns.
pub(crate) struct Turns(Mutex<State>);

struct State {
    /// Free turns. If there are any, nobody waits.
    free: usize,
    waiting: Group<Sender<Turn>>,
    /// Places in `waiting`.
    places: usize,
    /// How many waiters have given up since the last clean-up.
    gone: usize,
}

/// A turn, held until it is dropped.
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turns {
    /// Hands out at most `at_once` turns at a time.
    pub(crate) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            free: at_once,
            waiting: Group::default(),
            places: 0,
            gone: 0,
        })))
    }

    /// Waits for a turn. `path` must be short: its length is the depth of a recursion.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the next waiter gets the turn.
    pub(crate) async fn take(self: &Arc<Self>, path: &[u64]) -> Turn {
        let turn = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Turn(Some(self.clone()));
            }
            let (give, turn) = channel();
            state.waiting.push(path, give);
            state.places += 1;
            turn
        };
        let mut waiter = Waiter { turns: self, turn };
        (&mut waiter.turn)
            .await
            .expect("a place is not removed while its waiter is there")
    }

    /// Passes a turn that has ended to the next waiter.
    fn pass_on(self: Arc<Self>) {
        loop {
            let give = {
                let mut state = self.0.lock();
                let Some(give) = state.waiting.pop() else {
                    state.free += 1;
                    return;
                };
                state.places -= 1;
                give
            };
            match give.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // That waiter has given up. The turn is not dropped, as that would lead back here.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

/// A waiter.
struct Waiter<'a> {
    turns: &'a Turns,
    turn: Receiver<Turn>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // Most waiters have got their turn.
        if self.turn.is_terminated() {
            return;
        }
        self.turn.close();
        let mut state = self.turns.0.lock();
        state.gone += 1;
        if state.gone > GONE_MIN && state.gone > state.places / 2 {
            state.places = state.waiting.retain(&|give| !give.is_closed());
            state.gone = 0;
        }
    }
}

/// The waiters, as a tree of groups that take turns.
struct Group<T> {
    /// Whose turn is next: the number of a part, or [`OWN`]. Each non-empty one occurs once.
    order: VecDeque<Option<u64>>,
    parts: HashMap<u64, Group<T>>,
    /// Waiters that belong to no part.
    own: VecDeque<T>,
}

/// Stands for the waiters that belong to no part.
const OWN: Option<u64> = None;

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            parts: HashMap::new(),
            own: VecDeque::new(),
        }
    }
}

impl<T> Group<T> {
    fn push(&mut self, path: &[u64], item: T) {
        let Some((part, rest)) = path.split_first() else {
            if self.own.is_empty() {
                self.order.push_back(OWN);
            }
            self.own.push_back(item);
            return;
        };
        let group = self.parts.entry(*part).or_default();
        if group.order.is_empty() {
            self.order.push_back(Some(*part));
        }
        group.push(rest, item);
    }

    fn pop(&mut self) -> Option<T> {
        let next = self.order.pop_front()?;
        let (item, is_empty) = match next {
            OWN => (self.own.pop_front(), self.own.is_empty()),
            Some(part) => {
                let group = self.parts.get_mut(&part)?;
                let item = group.pop();
                (item, group.order.is_empty())
            }
        };
        match next {
            _ if !is_empty => self.order.push_back(next),
            OWN => {}
            Some(part) => drop(self.parts.remove(&part)),
        }
        item
    }

    /// Keeps only the waiters for which `keep` returns true, and returns how many are left.
    fn retain(&mut self, keep: &impl Fn(&T) -> bool) -> usize {
        self.own.retain(keep);
        let mut left = self.own.len();
        self.parts.retain(|_, part| {
            let in_part = part.retain(keep);
            left += in_part;
            in_part > 0
        });
        let (own, parts) = (&self.own, &self.parts);
        self.order.retain(|next| match next {
            None => !own.is_empty(),
            Some(part) => parts.contains_key(part),
        });
        left
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn order(waiting: &[(&[u64], &'static str)]) -> Vec<&'static str> {
        let mut group = Group::default();
        for (path, name) in waiting {
            group.push(path, *name);
        }
        std::iter::from_fn(|| group.pop()).collect()
    }

    #[test]
    fn groups_take_turns_whatever_number_waits_in_them() {
        let waiting: &[(&[u64], _)] = &[
            (&[1], "a1"),
            (&[1], "a2"),
            (&[1], "a3"),
            (&[2], "b1"),
            (&[2], "b2"),
            (&[], "own"),
        ];
        assert_eq!(order(waiting), ["a1", "b1", "own", "a2", "b2", "a3"]);
        // Splitting itself into parts gains a group nothing.
        let waiting: &[(&[u64], _)] = &[
            (&[1, 11], "a1"),
            (&[1, 12], "a2"),
            (&[1, 13], "a3"),
            (&[1], "a4"),
            (&[2], "b1"),
            (&[2], "b2"),
        ];
        assert_eq!(order(waiting), ["a1", "b1", "a2", "b2", "a3", "a4"]);
    }

    #[test]
    fn a_turn_goes_to_the_next_who_still_waits() {
        let turns = Turns::new(1);
        let mut first = Box::pin(turns.take(&[1]));
        let Poll::Ready(turn) = poll(first.as_mut()) else {
            panic!("there is a turn")
        };
        let (mut gone, mut waits) = (Box::pin(turns.take(&[1])), Box::pin(turns.take(&[2])));
        assert!(poll(gone.as_mut()).is_pending() && poll(waits.as_mut()).is_pending());
        drop(gone);
        drop(turn);
        let Poll::Ready(turn) = poll(waits.as_mut()) else {
            panic!("it is its turn")
        };
        // One that has got its turn, and goes away before it knows.
        let (mut given, mut last) = (Box::pin(turns.take(&[])), Box::pin(turns.take(&[])));
        assert!(poll(given.as_mut()).is_pending() && poll(last.as_mut()).is_pending());
        drop(turn);
        drop(given);
        let turn = poll(last.as_mut());
        assert!(turn.is_ready());
        drop(turn);
        assert_eq!(turns.0.lock().free, 1);
    }

    #[test]
    fn places_of_those_who_have_gone_are_removed() {
        let turns = Turns::new(0);
        let mut stays = pin!(turns.take(&[7]));
        assert!(poll(stays.as_mut()).is_pending());
        for number in 0..10_000 {
            let path = [7, number];
            let mut goes = Box::pin(turns.take(&path));
            assert!(poll(goes.as_mut()).is_pending());
        }
        let places = turns.0.lock().places;
        assert!(places <= 2 * GONE_MIN + 2, "{places} places for one who waits");
        turns.clone().pass_on();
        assert!(poll(stays.as_mut()).is_ready());
    }
}
