//! Notifications about nodes.

use std::fmt;
use std::time::Duration;

use lunatic_sys::codes::{self, loss};
use serde::{Deserialize, Serialize};

use super::Node;
use crate::host::{self, Refused};

/// Why a node was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Loss {
    /// There was no connection.
    Unconnected,
    /// The node has left, or its machine has closed the connection.
    Closed,
    /// The node did not send anything for too long.
    Silent,
    /// Some of the data that the node sent was lost on the way.
    Gap,
    /// The node has given up the connection.
    Reset,
    /// The node was started again.
    Replaced,
    /// The node broke the protocol.
    Violation,
    /// The node did not take the data that was sent to it.
    Overflow,
}

impl Loss {
    fn from_number(number: i32) -> Self {
        match number {
            loss::CLOSED => Self::Closed,
            loss::SILENT => Self::Silent,
            loss::GAP => Self::Gap,
            loss::RESET => Self::Reset,
            loss::REPLACED => Self::Replaced,
            loss::VIOLATION => Self::Violation,
            loss::OVERFLOW => Self::Overflow,
            _ => Self::Unconnected,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unconnected => "there was no connection",
            Self::Closed => "the node has left",
            Self::Silent => "the node was silent for too long",
            Self::Gap => "some of its data was lost",
            Self::Reset => "the node has reset the connection",
            Self::Replaced => "the node was restarted",
            Self::Violation => "the node violated the protocol",
            Self::Overflow => "the node did not accept data",
        })
    }
}

/// What has happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The node is connected.
    Up {
        /// The node.
        node: Node,
        /// Its name.
        name: String,
    },
    /// The node is lost. All links and monitors to its processes have reported that before.
    Down {
        /// The node.
        node: Node,
        /// Its name.
        name: String,
        /// The reason.
        loss: Loss,
    },
}

/// Notifies the process that made it whenever a node is connected or lost, until it is dropped. See [`Node::monitor`].
///
/// If the mailbox of the process is full, notifications are lost.
#[derive(Debug)]
pub struct NodeMonitor {
    tag: u64,
}

impl NodeMonitor {
    pub(super) fn new() -> Self {
        let tag = host::mail::reference();
        if let Err(refused) = host::node::monitor(tag) {
            host::mail::close(tag);
            super::unexpected(refused);
        }
        Self { tag }
    }

    /// Waits for the next notification.
    #[must_use]
    pub fn receive(&self) -> NodeEvent {
        let event = self.take(codes::NO_TIMEOUT);
        event.unwrap_or_else(|refused| super::unexpected(refused))
    }

    /// Waits for the next notification for at most `timeout`.
    #[must_use]
    pub fn receive_timeout(&self, timeout: Duration) -> Option<NodeEvent> {
        match self.take(host::timeout_ns(timeout)) {
            Ok(event) => Some(event),
            Err(Refused::TimedOut | Refused::Empty) => None,
            Err(refused) => super::unexpected(refused),
        }
    }

    fn take(&self, timeout_ns: u64) -> Result<NodeEvent, Refused> {
        host::mail::receive(&[self.tag], timeout_ns, |_, bytes| read(bytes))
    }
}

/// The event in a message of the host.
fn read(bytes: &[u8]) -> NodeEvent {
    let (head, name) = bytes
        .split_at_checked(13)
        .expect("the host writes 13 bytes before the name");
    let number = u64::from_le_bytes(head[1..9].try_into().expect("eight bytes"));
    let loss = i32::from_le_bytes(head[9..].try_into().expect("four bytes"));
    let (node, name) = (Node::from_number(number), String::from_utf8_lossy(name).into_owned());
    match head[0] {
        1 => NodeEvent::Up { node, name },
        _ => NodeEvent::Down {
            node,
            name,
            loss: Loss::from_number(loss),
        },
    }
}

impl Drop for NodeMonitor {
    fn drop(&mut self) {
        host::node::demonitor(self.tag);
        // Drops what has arrived.
        host::mail::close(self.tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_host_writes_them() {
        let event = |up, loss: i32| {
            let mut bytes = vec![up];
            bytes.extend(7_u64.to_le_bytes());
            bytes.extend(loss.to_le_bytes());
            bytes.extend(b"b@host");
            read(&bytes)
        };
        let (node, name) = (Node::from_number(7), "b@host".to_owned());
        let up = NodeEvent::Up {
            node,
            name: name.clone(),
        };
        assert_eq!(event(1, 0), up);
        let down = NodeEvent::Down {
            node,
            name,
            loss: Loss::Silent,
        };
        assert_eq!(event(0, loss::SILENT), down);
    }
}
