//! What the nodes require of a transport.

use crate::identity::Identity;

/// Carries frames from one node to others.
///
/// It may lose, delay, duplicate and reorder frames. The nodes notice all of that, but a loss or another order ends an
/// epoch, so both should be rare.
pub trait Fabric: Send + Sync {
    /// Sends a frame of at most [`FRAME_LEN_MAX`](crate::frame::FRAME_LEN_MAX) bytes to a node. Frames to one node keep
    /// their order. May block for a moment, as a dedicated thread calls it.
    fn send(&self, to: &Identity, frame: Vec<u8>);
}

/// An event of a transport. `Seen` and `Lost` are hints: only hellos begin an epoch, and a node that is reported lost
/// has a moment to prove the contrary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FabricEvent<'a> {
    /// The transport sees a node.
    Seen(Identity),
    /// The transport no longer sees a node.
    Lost(Identity),
    /// A frame has arrived for this node.
    Frame(&'a [u8]),
}

/// A [`FabricEvent`] that waits to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// The transport sees a node.
    Seen(Identity),
    /// The transport no longer sees a node.
    Lost(Identity),
    /// A frame has arrived for this node.
    Frame(Vec<u8>),
}

impl Brought {
    /// The event, in the form that a node takes.
    pub fn event(&self) -> FabricEvent<'_> {
        match self {
            Self::Seen(identity) => FabricEvent::Seen(identity.clone()),
            Self::Lost(identity) => FabricEvent::Lost(identity.clone()),
            Self::Frame(frame) => FabricEvent::Frame(frame),
        }
    }
}
