//! The identity of a node: its name, and which start of it this is.

use std::fmt;
use std::sync::Arc;

/// The maximum length of the name of a node or a cluster, in bytes.
pub const NAME_LEN_MAX: usize = 128;

/// A node: a name that stays the same, and a number that is new in each start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The name, such as `a@host1`: 1 to [`NAME_LEN_MAX`] bytes of letters, digits and `-_.@`.
    pub name: Arc<str>,
    /// The number of the start; a later start has a larger one.
    pub incarnation: u64,
}

impl Identity {
    /// `None` if the name is not valid.
    pub fn new(name: &str, incarnation: u64) -> Option<Self> {
        is_name(name).then(|| Self {
            name: name.into(),
            incarnation,
        })
    }

    /// The number of the node in this cluster.
    pub fn id(&self, cluster: &str) -> NodeId {
        let mut hasher = blake3::Hasher::new();
        // Names contain no zero byte, so no two nodes hash the same bytes.
        hasher.update(cluster.as_bytes()).update(&[0]);
        hasher.update(self.name.as_bytes()).update(&[0]);
        hasher.update(&self.incarnation.to_le_bytes());
        let mut number = [0; 8];
        number.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        NodeId(u64::from_le_bytes(number).max(1))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether this is a valid name for a node or a cluster.
pub fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// An [`Identity`] in a cluster as one number: a hash of 64 bits, never 0 and the same on all nodes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// Formats the number as 16 hexadecimal digits.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_on_cluster_name_and_incarnation() {
        let id = |cluster: &str, name: &str, incarnation| Identity::new(name, incarnation).unwrap().id(cluster);
        assert_eq!(id("c", "a", 1), id("c", "a", 1));
        for other in [id("d", "a", 1), id("c", "b", 1), id("c", "a", 2), id("ca", "a", 1)] {
            assert_ne!(id("c", "a", 1), other);
        }
    }

    #[test]
    fn names_have_a_form() {
        for (name, is_good) in [
            ("a@host1", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("a\0", false),
        ] {
            assert_eq!(Identity::new(name, 1).is_some(), is_good, "{name}");
        }
        assert!(Identity::new(&"a".repeat(NAME_LEN_MAX + 1), 1).is_none());
    }
}
