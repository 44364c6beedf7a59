//! Which keys belong to the addresses of which node.
//!
//! The kernel has 4,095 numbers for nodes, and gives one to all keys that it has not seen before. So a node keeps its keys
//! until it is started again, and the starts of one name are limited.

use std::collections::HashMap;

use crate::identity::NodeId;
use crate::node::Refusal;

/// How many starts of a node with one name may be connected, each with keys of its own. The kernel knows 4,095 nodes in
/// all, for as long as it runs.
const STARTS_MAX: usize = 512;

/// Whose keys are whose: as many as the kernel knows nodes.
#[derive(Default)]
pub(super) struct Owners {
    /// The name of the node that first had each keys, and its last start that had them: a kernel that leaves and joins again
    /// has the same keys.
    of_keys: HashMap<[u8; 20], (Box<str>, NodeId)>,
    /// The keys that a node has had since it was first connected.
    of_nodes: HashMap<NodeId, [u8; 20]>,
    /// How many nodes have had this name.
    starts: HashMap<Box<str>, usize>,
}

impl Owners {
    /// Whether a node may have these keys; `Err(Full)` if there were too many nodes of its name.
    pub(super) fn admit(&mut self, node: NodeId, name: &str, keys: [u8; 20]) -> Result<(), Refusal> {
        // Every connected node knows the keys of the others. Who comes with those of another wants its addresses, and who
        // comes with others each time wants to use up the numbers of nodes.
        if self.of_nodes.get(&node).is_some_and(|former| *former != keys) {
            return Err(Refusal::Keys);
        }
        match self.of_keys.get_mut(&keys) {
            Some((owner, _)) if **owner != *name => return Err(Refusal::Keys),
            Some((_, start)) => {
                let former = std::mem::replace(start, node);
                self.of_nodes.remove(&former);
            }
            None => {
                let starts = self.starts.entry(name.into()).or_default();
                if *starts == STARTS_MAX {
                    return Err(Refusal::Full);
                }
                *starts += 1;
                self.of_keys.insert(keys, (name.into(), node));
            }
        }
        self.of_nodes.insert(node, keys);
        Ok(())
    }

    /// A node that was admitted for the first time is not connected after all.
    pub(super) fn forget(&mut self, node: NodeId, name: &str, keys: &[u8; 20]) {
        self.of_keys.remove(keys);
        self.of_nodes.remove(&node);
        if let Some(starts) = self.starts.get_mut(name) {
            *starts -= 1;
            if *starts == 0 {
                self.starts.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(number: usize) -> [u8; 20] {
        let mut keys = [0; 20];
        keys[..8].copy_from_slice(&number.to_le_bytes());
        keys
    }

    #[test]
    fn a_node_keeps_its_keys_and_nobody_gets_those_of_another() {
        let (mut owners, [one, other]) = (Owners::default(), [NodeId(1), NodeId(2)]);
        assert_eq!(owners.admit(one, "one", keys(1)), Ok(()));
        assert_eq!(owners.admit(one, "one", keys(1)), Ok(()));
        for number in 2..10_000 {
            assert_eq!(owners.admit(one, "one", keys(number)), Err(Refusal::Keys));
        }
        assert_eq!(owners.admit(other, "other", keys(1)), Err(Refusal::Keys));
        assert_eq!(owners.admit(other, "other", keys(2)), Ok(()));
        assert_eq!((owners.of_keys.len(), owners.of_nodes.len()), (2, 2));
        owners.forget(other, "other", &keys(2));
        assert_eq!(owners.admit(other, "other", keys(3)), Ok(()));
        // The same kernel joins again.
        assert_eq!(owners.admit(NodeId(3), "one", keys(1)), Ok(()));
        assert_eq!(owners.admit(NodeId(3), "one", keys(9)), Err(Refusal::Keys));
        assert_eq!(
            (owners.of_keys.len(), owners.of_nodes.len(), owners.starts.len()),
            (2, 2, 2)
        );
    }

    #[test]
    fn one_name_does_not_use_up_the_numbers_of_nodes() {
        let mut owners = Owners::default();
        for start in 0..STARTS_MAX {
            assert_eq!(owners.admit(NodeId(start as u64), "one", keys(start)), Ok(()));
        }
        let next = NodeId(STARTS_MAX as u64);
        assert_eq!(owners.admit(next, "one", keys(STARTS_MAX)), Err(Refusal::Full));
        assert_eq!(owners.admit(next, "other", keys(STARTS_MAX)), Ok(()));
        // The last start of the first one may come back.
        assert_eq!(owners.admit(NodeId(7), "one", keys(7)), Ok(()));
    }
}
