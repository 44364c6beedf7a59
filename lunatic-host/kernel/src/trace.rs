//! Trace contexts that are passed on with messages and spawns.
//!
//! Most messages have none. So nothing is made larger for them: mail keeps the context in its kind, where there is
//! room, and a channel that was never sent one has no list of them.

use std::sync::Arc;

use lunatic_sys::trace::Context;

use crate::pieced_queue::PiecedQueue;

/// The request that something belongs to, if known.
pub type Trace = Option<Arc<Context>>;

/// Returns the size of a context in bytes. All holders of the same context pay for it, because each may be the last.
#[inline]
pub fn size(trace: &Trace) -> usize {
    trace.as_ref().map_or(0, |context| size_of_context(context))
}

/// Like [`size`], for an existing context.
pub(crate) fn size_of_context(context: &Context) -> usize {
    // With its two reference counts, and its place in the kind of mail or in a list.
    size_of::<Context>() + context.state.len() + 48
}

/// The contexts of the messages in a queue, for those that have one.
#[derive(Default)]
pub(crate) struct Traces {
    /// How many messages have left the queue since this list exists.
    left: usize,
    /// For each message with a context, its number: the messages that have left plus those before it.
    entries: PiecedQueue<(usize, Arc<Context>)>,
}

impl Traces {
    /// The size in bytes with the first context.
    pub(crate) const INITIAL_SIZE: usize = size_of::<Self>() + PiecedQueue::<(usize, Arc<Context>)>::INITIAL_SIZE;

    /// The size in bytes, without what the contexts hold.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.entries.size()
    }

    /// The bytes by which it grows with another context.
    pub(crate) fn growth(&self) -> usize {
        self.entries.growth()
    }

    /// Adds a message with a context, after `before` others.
    pub(crate) fn push(&mut self, before: usize, context: Arc<Context>) {
        if self.entries.growth() > 0 {
            self.entries.grow();
        }
        self.entries.push((self.left + before, context));
    }

    /// Removes the first message; returns its context.
    pub(crate) fn pop(&mut self) -> Trace {
        let number = self.left;
        self.left += 1;
        self.entries.front().filter(|(of, _)| *of == number)?;
        self.entries.pop().map(|((_, context), _)| context)
    }

    /// Whether no queued message has one.
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
