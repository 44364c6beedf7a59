//! Connections that go on with another protocol.

use std::fmt;

use bytes::BytesMut;

use crate::transport::Transport;

/// The stream of a connection after a response `101 Switching Protocols`, with what was read from it already.
pub(crate) struct Upgraded {
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) input: BytesMut,
    /// Whether the server wants its connections to end.
    pub(crate) is_draining: Box<dyn FnMut() -> bool>,
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upgraded({} bytes read)", self.input.len())
    }
}
