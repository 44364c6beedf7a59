//! Errands: what a process wants of a channel of another node, the answers to it, and who waits on a channel.

/// What a process wants of a channel of another node. It gives each errand a number of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Errand<'a> {
    /// Send a message.
    Send {
        /// Its bytes.
        body: &'a [u8],
        /// Whether it waits for room. Then it comes again, under the same number, when there is some.
        waits: bool,
    },
    /// Receive a message.
    Receive {
        /// Whether it waits for one.
        waits: bool,
    },
    /// Learn when there is a message, and leave it there.
    Watch,
    /// Learn whether it is alive: only this errand is for a process.
    Alive,
    /// Give up the errand that has this number.
    Withdraw,
}

/// The answer to an errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer<'a> {
    /// The message is in the channel.
    Accepted,
    /// The channel is full. An errand that waits gets [`Room`](Self::Room) later.
    Full,
    /// There is room: the message should be sent again.
    Room,
    /// A message, which is no longer in the channel.
    Message(&'a [u8]),
    /// There is no message.
    Empty,
    /// There is a message, or the channel has closed; or nobody can tell any more. Of a process: it is alive.
    Ready,
    /// There is no message yet; [`Ready`](Self::Ready) comes later.
    NotReady,
    /// The errand to receive was given up, and has received nothing.
    Withdrawn,
    /// The channel is closed. Of a process: it has ended.
    Closed,
    /// The message is too long, or its receiver has no memory left for it; or the node has too many errands here.
    Limit,
}

/// Who waits on a channel.
#[derive(Debug, Clone)]
pub enum ChannelWaiter<P> {
    /// A process of this node.
    Process(P),
    /// An errand of another node, by its key at the desk.
    Errand(u64),
}

impl<P> From<P> for ChannelWaiter<P> {
    fn from(process: P) -> Self {
        Self::Process(process)
    }
}

impl Answer<'_> {
    /// The answer, which is not a message.
    pub(crate) fn without_message(self) -> Answer<'static> {
        match self {
            Self::Accepted => Answer::Accepted,
            Self::Full => Answer::Full,
            Self::Room => Answer::Room,
            Self::Empty => Answer::Empty,
            Self::Ready => Answer::Ready,
            Self::NotReady => Answer::NotReady,
            Self::Withdrawn => Answer::Withdrawn,
            Self::Closed | Self::Message(_) => Answer::Closed,
            Self::Limit => Answer::Limit,
        }
    }
}
