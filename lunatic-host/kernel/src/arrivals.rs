//! When the messages of a queue arrived, without a time for each of them.
//!
//! A queue keeps up to `MARKS_MAX` *marks*: the number of a message, and when it arrived. The oldest message arrived
//! between the mark before it and the mark after it, so its age is known up to the distance of two marks. Marks become
//! rarer as the queue's messages become older, so that this error is at most a sixth of the age while messages come and
//! go evenly. A queue whose messages have all arrived in the same millisecond has one mark, and allocates nothing.

/// A time, in milliseconds since the kernel was made. Read from a clock that is only as exact as a time slice
/// (`coarse.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub(crate) u64);

impl Moment {
    /// Returns how many milliseconds have passed since `earlier`; 0 if it is later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The most marks of a queue, besides the first.
const MARKS_MAX: usize = 16;

/// The message with this number arrived at this time.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// Messages are numbered from 0, from the one that was the oldest when there was a second mark.
    number: u64,
    at: u64,
}

/// The marks of a queue.
#[derive(Default)]
pub(crate) struct Arrivals {
    /// No mark is added before this time. While there are no other marks, all messages arrived a millisecond before it, or
    /// are considered to have done so. So a send usually only compares this with the time.
    next: u64,
    /// The marks, if the messages in the queue have arrived at different times.
    more: Option<Box<Marks>>,
}

struct Marks {
    /// How many messages have left the queue since there are these marks.
    left: u64,
    /// The mark of the oldest message, or of one before it.
    first: Mark,
    /// The later marks.
    marks: [Mark; MARKS_MAX],
    len: usize,
    /// The shortest time between two marks, in milliseconds.
    grain: u64,
}

impl Arrivals {
    const MARKS_SIZE: usize = size_of::<Marks>();

    /// The bytes that it has allocated.
    pub(crate) fn size(&self) -> usize {
        self.more.as_ref().map_or(0, |_| Self::MARKS_SIZE)
    }

    /// The bytes that it allocates when a message arrives now, after `before` others that are in the queue.
    #[inline]
    pub(crate) fn growth(&self, before: usize, now: Moment) -> usize {
        if now.0 >= self.next && before > 0 && self.more.is_none() {
            Self::MARKS_SIZE
        } else {
            0
        }
    }

    /// A message has arrived, after `before` others that are in the queue.
    #[inline]
    pub(crate) fn push(&mut self, before: usize, now: Moment) {
        if now.0 >= self.next {
            self.mark(before, now.0);
        }
    }

    /// The oldest message has left, and `after` are left in the queue. Returns the number of bytes that have been freed.
    #[inline]
    pub(crate) fn pop(&mut self, after: usize) -> usize {
        match self.more {
            None => 0,
            Some(_) => self.pass(after),
        }
    }

    /// When the oldest of `len` messages arrived; it may have been somewhat later, but not earlier.
    pub(crate) fn oldest(&self, len: usize) -> Option<Moment> {
        let at = match &self.more {
            _ if len == 0 => return None,
            None => self.next.saturating_sub(1),
            Some(more) => more.passed().last().unwrap_or(&more.first).at,
        };
        Some(Moment(at))
    }

    #[cold]
    fn mark(&mut self, before: usize, at: u64) {
        if before == 0 {
            self.next = at + 1;
            return;
        }
        let first = self.next.saturating_sub(1);
        let more = self.more.get_or_insert_with(|| Box::new(Marks::from(first)));
        more.add(before as u64, at);
        self.next = at + more.grain;
    }

    fn pass(&mut self, after: usize) -> usize {
        let Some(more) = &mut self.more else { return 0 };
        more.left += 1;
        if after == 0 {
            self.next = more.last() + 1;
            self.more = None;
            return Self::MARKS_SIZE;
        }
        if more.forget_passed() {
            self.next = more.last() + more.grain;
        }
        0
    }
}

impl Marks {
    /// The marks of a queue whose messages have all arrived at this time.
    fn from(first: u64) -> Self {
        Self {
            left: 0,
            first: Mark { number: 0, at: first },
            marks: [Mark::default(); MARKS_MAX],
            len: 0,
            grain: 1,
        }
    }

    /// Adds a mark for a message that has arrived after `before` others.
    fn add(&mut self, before: u64, at: u64) {
        if self.len == MARKS_MAX {
            self.thin();
        }
        let number = self.left + before;
        self.marks[self.len] = Mark { number, at };
        self.len += 1;
    }

    /// Drops every second mark.
    fn thin(&mut self) {
        for place in 0..MARKS_MAX / 2 {
            self.marks[place] = self.marks[2 * place + 1];
        }
        self.len = MARKS_MAX / 2;
        self.grain *= 2;
    }

    /// When the message of the last mark arrived.
    fn last(&self) -> u64 {
        self.marks[..self.len].last().unwrap_or(&self.first).at
    }

    /// The later marks that are not after the oldest message.
    fn passed(&self) -> impl Iterator<Item = &Mark> {
        let marks = self.marks[..self.len].iter();
        marks.take_while(|mark| mark.number <= self.left)
    }

    /// Drops marks before the oldest message, except the last of them; true if there were any. What is left may be so young
    /// that marks must be closer together.
    fn forget_passed(&mut self) -> bool {
        let passed = self.passed().count();
        if passed == 0 {
            return false;
        }
        self.first = self.marks[passed - 1];
        self.marks.copy_within(passed..self.len, 0);
        self.len -= passed;
        self.grain = ((self.last() - self.first.at) / (MARKS_MAX as u64 / 2)).max(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Arrivals, and the exact time of each message that is in the queue.
    #[derive(Default)]
    struct Both {
        arrivals: Arrivals,
        exact: VecDeque<u64>,
        size: usize,
    }

    impl Both {
        fn push(&mut self, now: u64) {
            let before = self.exact.len();
            self.size += self.arrivals.growth(before, Moment(now));
            self.arrivals.push(before, Moment(now));
            self.exact.push_back(now);
            assert_eq!(self.arrivals.size(), self.size);
        }

        fn pop(&mut self) {
            if self.exact.pop_front().is_some() {
                self.size -= self.arrivals.pop(self.exact.len());
                assert_eq!(self.arrivals.size(), self.size);
            }
        }

        /// The known age, and the exact one.
        fn ages(&self, now: u64) -> Option<(u64, u64)> {
            let known = self.arrivals.oldest(self.exact.len());
            assert_eq!(known.is_some(), !self.exact.is_empty());
            Some((Moment(now).ms_since(known?), now - self.exact.front()?))
        }
    }

    #[test]
    fn of_messages_that_only_arrive_the_age_is_exact() {
        let mut both = Both::default();
        for now in 1..10_000 {
            both.push(now);
            assert_eq!(both.ages(now), Some((now - 1, now - 1)));
        }
    }

    /// A queue in which each message stays for a while: the error is at most a sixth of that, and a time slice.
    #[test]
    fn the_error_is_a_fraction_of_the_age() {
        for stay in [0, 1, 2, 7, 100, 5_000] {
            let mut both = Both::default();
            for now in 1..40_000 {
                both.push(now);
                if now > stay {
                    both.pop();
                }
                if let Some((known, exact)) = both.ages(now) {
                    assert!(
                        exact <= known && known - exact <= exact / 6 + 1,
                        "{exact} of {stay}: {known}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_queue_that_was_long_soon_knows_ages_exactly_again() {
        let mut both = Both::default();
        (1..100_000).for_each(|now| both.push(now));
        (0..99_990).for_each(|_| both.pop());
        // The ten that are left go as well, and two come for each.
        for now in 100_000..100_020 {
            both.push(now);
            both.push(now);
            both.pop();
        }
        for now in 100_020..100_100 {
            both.push(now);
            both.pop();
        }
        let (known, exact) = both.ages(100_100).unwrap();
        assert!(known - exact <= exact / 6 + 1, "{known} {exact}");
    }

    proptest! {
        #[test]
        fn an_age_is_never_less_than_it_is(steps in prop::collection::vec((0..40_u64, 0..6_u32, 0..6_u32), 0..400)) {
            let (mut both, mut now) = (Both::default(), 0);
            for (passes, come, go) in steps {
                now += passes;
                (0..come).for_each(|_| both.push(now));
                (0..go).for_each(|_| both.pop());
                if let Some((known, exact)) = both.ages(now) {
                    prop_assert!(exact <= known && known <= now);
                }
            }
        }
    }
}
