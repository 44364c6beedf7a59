//! Waiting for several sources.

use std::time::Duration;

use lunatic_sys::codes::{self, TAG_SIGNAL, source};
use lunatic_sys::layout::Source;

use super::Mailbox;
use crate::Channel;
use crate::channel::Message;
use crate::host::{self, Refused};

/// Waits until something can be received from one of several sources.
///
/// It does not receive anything: it returns which source is ready. If several are ready, it returns the one that was
/// added first. If other processes receive from the same channel, the channel may be empty again by then, so receive
/// from it with [`try_receive`](Channel::try_receive).
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use lunatic::mailbox::Select;
/// use lunatic::{Channel, Mailbox};
///
/// let (orders, results) = (Mailbox::<String>::new(), Channel::<u64>::new(0));
/// let select = Select::new().mailbox(&orders).channel(&results);
/// match select.wait_timeout(Duration::from_secs(1)) {
///     Some(0) => println!("an order: {}", orders.receive()),
///     Some(_) => println!("a result: {:?}", results.try_receive()),
///     None => println!("nothing for a second"),
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it waits for nothing before `wait`"]
pub struct Select {
    sources: Vec<(u32, u64, u64)>,
    tags: Vec<u64>,
}

impl Select {
    /// Makes a set without sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the messages of a mailbox.
    pub fn mailbox<M: Message>(self, mailbox: &Mailbox<M>) -> Self {
        self.tag(mailbox.tag())
    }

    /// Adds notifications about other processes: exit signals, and exits of monitored processes.
    pub fn signals(self) -> Self {
        self.tag(TAG_SIGNAL)
    }

    fn tag(mut self, tag: u64) -> Self {
        self.sources.push((source::MAILBOX, self.tags.len() as u64, 0));
        self.tags.push(tag);
        self
    }

    /// Adds a channel. A closed channel is ready, because receiving from it does not wait.
    pub fn channel<T, C>(mut self, channel: &Channel<T, C>) -> Self {
        let handle = channel.raw();
        self.sources.push((source::CHANNEL, handle.id, handle.key));
        self
    }

    /// Waits until a source is ready, and returns its index in the order in which the sources were added.
    ///
    /// # Panics
    ///
    /// If there are more than 256 sources, or the host never gave out one of the channels.
    #[must_use]
    pub fn wait(&self) -> usize {
        self.wait_ns(codes::NO_TIMEOUT).expect("it waits for ever")
    }

    /// Waits as [`wait`](Self::wait) does, for at most `timeout`. With a timeout of zero it does not wait.
    ///
    /// # Panics
    ///
    /// As for [`wait`](Self::wait).
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<usize> {
        self.wait_ns(host::timeout_ns(timeout))
    }

    fn wait_ns(&self, timeout_ns: u64) -> Option<usize> {
        assert!(
            self.sources.len() <= codes::TAGS_LEN_MAX,
            "at most {} sources can be waited for, not {}",
            codes::TAGS_LEN_MAX,
            self.sources.len()
        );
        let source = |&(kind, a, b): &(u32, u64, u64)| match kind {
            source::MAILBOX => Source {
                kind,
                tags_len: 1,
                a: self.tags[a as usize..].as_ptr().addr() as u64,
                b,
            },
            _ => Source {
                kind,
                tags_len: 0,
                a,
                b,
            },
        };
        let sources: Vec<Source> = self.sources.iter().map(source).collect();
        match host::mail::select(&sources, timeout_ns) {
            Ok(index) => Some(index),
            Err(Refused::TimedOut) => None,
            Err(refused) => super::unexpected(refused),
        }
    }
}
