//! What is asked of a transport.

use crate::identity::Identity;

/// The way from one node to others, which carries frames.
///
/// It may lose frames, delay them, and bring them twice or in another order: all that is noticed, and a loss or another order ends
/// an epoch. So it should do so seldom.
pub trait Fabric: Send + Sync {
    /// Hands over a frame of at most [`FRAME_LEN_MAX`](crate::frame::FRAME_LEN_MAX) bytes for a node. Frames for one node keep their
    /// order. May block for a moment, as a thread of its own calls it.
    fn send(&self, to: &Identity, frame: Vec<u8>);
}

/// What a transport brings. `Seen` and `Lost` are hints: an epoch begins only by hellos, and a node that was lost has a moment
/// to prove the contrary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FabricEvent<'a> {
    /// There is a node.
    Seen(Identity),
    /// A node is not there any more.
    Lost(Identity),
    /// Somebody sent a frame to this node.
    Frame(&'a [u8]),
}

/// A [`FabricEvent`] that waits to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// There is a node.
    Seen(Identity),
    /// A node is not there any more.
    Lost(Identity),
    /// Somebody sent a frame to this node.
    Frame(Vec<u8>),
}

impl Brought {
    /// As a node takes it.
    pub fn event(&self) -> FabricEvent<'_> {
        match self {
            Self::Seen(identity) => FabricEvent::Seen(identity.clone()),
            Self::Lost(identity) => FabricEvent::Lost(identity.clone()),
            Self::Frame(frame) => FabricEvent::Frame(frame),
        }
    }
}
