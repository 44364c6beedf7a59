//! The JSON types of a cluster.

use std::time::Duration;

use lunatic_host::nodes::{ClusterInfo, Member};
use serde::{Deserialize, Serialize};

/// A cluster as one of its nodes sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterView {
    /// The name of the cluster.
    pub cluster: String,
    /// The name of this node.
    pub name: String,
    /// The number of this node, as 16 hexadecimal digits.
    pub id: String,
    /// Which start of this node it is; a later one has a larger number. As text, because it does not fit into the
    /// numbers of all readers.
    pub incarnation: String,
    /// The nodes that it is connected to or tries to reach, by name.
    pub nodes: Vec<MemberView>,
}

/// Another node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Its number, as 16 hexadecimal digits.
    pub id: String,
    /// Which start of it this is.
    pub incarnation: String,
    /// Whether it is connected.
    pub is_up: bool,
    /// How long it has been connected, in milliseconds.
    pub up_ms: Option<u64>,
    /// Bytes of frames that were sent to it, in all its starts.
    pub sent_bytes: u64,
    /// Bytes of frames that came from it.
    pub received_bytes: u64,
    /// Bytes that wait to be sent to it.
    pub queued_bytes: usize,
    /// How many connections to it were lost.
    pub losses: u64,
    /// Why the last of them was lost.
    pub last_loss: Option<String>,
}

impl ClusterView {
    pub(crate) fn of(cluster: &ClusterInfo) -> Self {
        let mut nodes: Vec<_> = cluster.members.iter().map(MemberView::of).collect();
        nodes.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
        Self {
            cluster: cluster.name.clone(),
            name: cluster.identity.name.to_string(),
            id: cluster.id.to_string(),
            incarnation: cluster.identity.incarnation.to_string(),
            nodes,
        }
    }
}

impl MemberView {
    fn of(member: &Member) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: member.identity.name.to_string(),
            id: member.node.to_string(),
            incarnation: member.identity.incarnation.to_string(),
            is_up: member.is_up,
            up_ms: member.up_for.map(ms),
            sent_bytes: member.history.sent,
            received_bytes: member.history.received,
            queued_bytes: member.queued,
            losses: member.history.losses,
            last_loss: member.history.last_loss.map(|loss| loss.to_string()),
        }
    }
}
