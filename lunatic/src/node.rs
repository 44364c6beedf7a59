//! The nodes of a cluster: several hosts that run programs as one system.
//!
//! A node is a host that is connected to others. Handles of processes are valid on every node: messages, calls, links,
//! monitors, exit signals and joins work whatever node a process is on. [`Builder::node`](crate::process::Builder::node)
//! spawns on another node. Without a cluster, everything here still works, with no other nodes.
//!
//! When a node is lost, all links and monitors to its processes report [`ExitReason::NodeGone`](crate::ExitReason), and
//! then [`Node::monitor`] reports the node. A node that comes back is another node: handles of its former processes
//! name nobody.
//!
//! # What does not travel
//!
//! Sockets and folders belong to their node: a message with a socket to a process of another node is refused, and a child
//! on another node has no folders. A [channel](crate::Channel) works on all nodes, but lives on that of the process that
//! made it.
//!
//! # Examples
//!
//! ```no_run
//! use lunatic::node::Node;
//! use lunatic::{ExitReason, Process};
//!
//! for node in Node::all() {
//!     let child = Process::builder().node(node).spawn(move || println!("hello from {node}")).unwrap();
//!     assert_eq!(child.join(), ExitReason::Normal);
//! }
//! ```

pub mod global;
mod monitor;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::monitor::{Loss, NodeEvent, NodeMonitor};
use crate::Process;
use crate::host::{self, Refused};

/// A node of the cluster.
///
/// The value has 8 bytes, is `Copy`, and can be captured by closures and sent in messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Node(u64);

impl Node {
    /// Returns the node of the calling process.
    #[must_use]
    pub fn this() -> Self {
        Self(host::node::this())
    }

    /// Returns all nodes that are connected, this one first.
    ///
    /// # Panics
    ///
    /// If the calling process does not have the right [`Nodes`](crate::rights::Right::Nodes).
    #[must_use]
    pub fn all() -> Vec<Self> {
        named().into_iter().map(|(node, _)| node).collect()
    }

    /// Returns the connected node with this name, such as `b@host2`.
    ///
    /// # Panics
    ///
    /// As [`all`](Self::all).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = named().into_iter();
        all.find_map(|(node, own)| (own == name).then_some(node))
    }

    /// Returns the connected nodes that have an attribute with this value, this one first if it is one of them. A node gets
    /// its attributes when it is started: `lunatic node --attribute zone=eu`. It says them of itself, and nobody checks
    /// that they are true.
    ///
    /// # Panics
    ///
    /// As [`all`](Self::all).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic::Process;
    /// use lunatic::node::Node;
    ///
    /// let with_gpu = Node::with("gpu", "yes");
    /// let node = with_gpu.first().copied().unwrap_or_else(Node::this);
    /// Process::builder().node(node).spawn(|| println!("rendering")).unwrap();
    /// ```
    #[must_use]
    pub fn with(key: &str, value: &str) -> Vec<Self> {
        let has = |node: &Self| node.attribute(key).is_some_and(|own| own == value);
        Self::all().into_iter().filter(has).collect()
    }

    /// Returns the attributes of the node, in the order of their keys; none if it is not connected.
    ///
    /// # Panics
    ///
    /// As [`all`](Self::all).
    #[must_use]
    pub fn attributes(self) -> Vec<(String, String)> {
        let bytes = match host::node::attributes(self.0) {
            Ok(bytes) => bytes,
            Err(Refused::Closed) => return Vec::new(),
            Err(refused) => unexpected(refused),
        };
        let mut rest = &bytes[..];
        let mut text = || {
            let (len, after) = rest.split_first_chunk()?;
            let (text, after) = after.split_at(usize::from(u16::from_le_bytes(*len)));
            rest = after;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        std::iter::from_fn(|| Some((text()?, text()?))).collect()
    }

    /// Returns the value of an attribute of the node; `None` if it has none with this key, or is not connected.
    ///
    /// # Panics
    ///
    /// As [`all`](Self::all).
    #[must_use]
    pub fn attribute(self, key: &str) -> Option<String> {
        let mut all = self.attributes().into_iter();
        all.find_map(|(own, value)| (own == key).then_some(value))
    }

    /// Returns the name of the node, if it is connected and this host is in a cluster.
    ///
    /// # Panics
    ///
    /// As [`all`](Self::all).
    #[must_use]
    pub fn name(self) -> Option<String> {
        let mut all = named().into_iter();
        all.find_map(|(node, name)| (node == self).then_some(name).filter(|name| !name.is_empty()))
    }

    /// Returns the node on which a process is; `None` if that node is not connected.
    #[must_use]
    pub fn of(process: Process) -> Option<Self> {
        match host::node::of(process.raw()) {
            Ok(number) => Some(Self(number)),
            // The host forgets handles of nodes that are lost.
            Err(Refused::Closed | Refused::Invalid) => None,
            Err(refused) => unexpected(refused),
        }
    }

    /// Notifies the calling process from now on whenever a node is connected or lost.
    ///
    /// # Panics
    ///
    /// As [`all`](Self::all), or if the process has 16 such monitors or no memory left for another.
    pub fn monitor() -> NodeMonitor {
        NodeMonitor::new()
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// All nodes with their names. Without a cluster, this node has the number 0 and no name.
fn named() -> Vec<(Node, String)> {
    let bytes = host::node::list().unwrap_or_else(|refused| unexpected(refused));
    let (mut nodes, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((number, after)) = rest.split_first_chunk() {
        let (len, after) = after.split_first_chunk().expect("the host writes whole entries");
        let (name, after) = after.split_at(usize::from(u16::from_le_bytes(*len)));
        let name = String::from_utf8_lossy(name).into_owned();
        nodes.push((Node(u64::from_le_bytes(*number)), name));
        rest = after;
    }
    if nodes.is_empty() {
        nodes.push((Node(0), String::new()));
    }
    nodes
}

#[cold]
fn unexpected(refused: Refused) -> ! {
    match refused {
        Refused::Denied | Refused::Limit => panic!("{}", host::text()),
        refused => panic!("the host refused a call about nodes: {refused:?}"),
    }
}

/// Displayed as its number, 16 hexadecimal digits.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}
