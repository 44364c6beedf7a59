//! Trace contexts that travel: with a message, a spawn.
//!
//! Most messages have none. So nothing is made larger for them: mail has the context in its kind, where there is room, and a
//! channel that was never sent one has no list of them.

use std::collections::VecDeque;
use std::sync::Arc;

use lunatic_sys::trace::Context;

/// Which request something belongs to, if that is known.
pub type Trace = Option<Arc<Context>>;

/// What a context takes up, in bytes. All that hold the same one pay for it, as each may be the last.
#[inline]
pub fn size(trace: &Trace) -> usize {
    trace.as_ref().map_or(0, |context| size_of_context(context))
}

/// As [`size`], for one that is there.
pub(crate) fn size_of_context(context: &Context) -> usize {
    // With the two counts of its holders, and its place in a list that may be half empty.
    size_of::<Context>() + context.state.len() + 48
}

/// The contexts of the messages that wait in a queue, as far as they have any.
#[derive(Default)]
pub(crate) struct Traces {
    /// How many messages have left the queue since this list is kept.
    left: usize,
    /// Of each message with a context, its number: those that have left and those before it.
    entries: VecDeque<(usize, Arc<Context>)>,
}

impl Traces {
    /// A message with a context was put behind `before` others.
    pub(crate) fn push(&mut self, before: usize, context: Arc<Context>) {
        self.entries.push_back((self.left + before, context));
    }

    /// The first message has left the queue: its context.
    pub(crate) fn pop(&mut self) -> Trace {
        let number = self.left;
        self.left += 1;
        let is_its = self.entries.front().is_some_and(|(of, _)| *of == number);
        let (_, context) = self.entries.pop_front_if(|_| is_its)?;
        Some(context)
    }

    /// Whether no message that waits has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_gets_its_own() {
        let context = |number: u8| {
            Arc::new(Context {
                trace: [number; 16],
                span: [number; 8],
                flags: 1,
                state: "".into(),
            })
        };
        let mut traces = Traces::default();
        // Of five messages the second, third and fifth have one.
        for number in [1, 2, 4] {
            traces.push(number, context(number as u8));
        }
        let mut next = || traces.pop().map(|context| context.span[0]);
        assert_eq!([next(), next(), next()], [None, Some(1), Some(2)]);
        // Two wait, and another comes.
        traces.push(2, context(5));
        let mut next = || traces.pop().map(|context| context.span[0]);
        assert_eq!([next(), next(), next(), next()], [None, Some(4), Some(5), None]);
        assert!(traces.is_empty());
    }
}
