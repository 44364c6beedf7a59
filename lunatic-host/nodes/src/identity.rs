//! Who a node is: its name, and which start of it this is.

use std::fmt;
use std::sync::Arc;

/// The longest name of a node or a cluster, in bytes.
pub const NAME_LEN_MAX: usize = 128;

/// A node: a name that stays, and a number that each start draws anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// As `a@host1`: 1 to [`NAME_LEN_MAX`] bytes, letters, digits and `-_.@` only.
    pub name: Arc<str>,
    /// A later start of the same name has a larger one.
    pub incarnation: u64,
}

impl Identity {
    /// `None` if the name has another form than it may have.
    pub fn new(name: &str, incarnation: u64) -> Option<Self> {
        is_name(name).then(|| Self {
            name: name.into(),
            incarnation,
        })
    }

    /// The number of the node in this cluster.
    pub fn id(&self, cluster: &str) -> NodeId {
        let mut hasher = blake3::Hasher::new();
        // No name has a zero in it, so no two nodes hash the same bytes.
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

/// Whether a node or a cluster may be called so.
pub fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// An [`Identity`] in a cluster as one number, never 0: a hash of 64 bits, the same on each node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// Sixteen hexadecimal digits.
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
