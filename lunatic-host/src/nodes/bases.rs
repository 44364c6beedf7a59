//! What each node may spawn here, and the most that its processes get.
//!
//! The *base* of a node is the policy for all visitors, narrowed to what is given to this node. Each of its processes gets
//! the base, narrowed to the rights of its parent. A budget in the base is one for all processes of the node.

use std::collections::HashMap;
use std::sync::Arc;

use lunatic_nodes::Identity;
use lunatic_nodes::record::Hash;
use parking_lot::Mutex;

use crate::rights::Rights;
use crate::rights::config::Config;
use crate::spawning::{child_rights, narrowed};
use crate::wasm::{Kernel, Process};

/// Decides by the name of a node and the hash of a module whether the node may spawn a process of this module here. The
/// processes get at most the rights of the returned [configuration](lunatic_rights::config::Config), whose budget they
/// share; with `None`, at most those of the policy for all visitors. An error is a text for people.
pub type Admits = Box<dyn Fn(&str, &[u8; 32]) -> Result<Option<Arc<[u8]>>, String> + Send + Sync>;

/// How many bases are kept: more than there are connected nodes, because nodes are started again with other policies.
const BASES_MAX: usize = 4096;

/// The name of a node, and what it is given here as a configuration.
type Given = (Arc<str>, Arc<[u8]>);

/// The bases of nodes.
pub(super) struct Bases {
    admits: Admits,
    made: Mutex<HashMap<Given, Arc<Rights>>>,
}

impl Bases {
    pub(super) fn new(admits: Admits) -> Self {
        Self {
            admits,
            made: Mutex::default(),
        }
    }

    /// Whether a node may spawn a process of this module.
    ///
    /// # Errors
    ///
    /// Why it may not, as text for people.
    pub(super) fn admit(&self, node: &Identity, module: &Hash) -> Result<Option<Arc<[u8]>>, String> {
        (self.admits)(&node.name, module)
    }

    /// The rights of a process that a node spawns and whose parent has the rights `parent`.
    pub(super) fn rights(
        &self,
        kernel: &Kernel,
        keeper: &Process,
        (node, given): (&Identity, Option<Arc<[u8]>>),
        parent: &Config,
    ) -> Result<Rights, String> {
        let Some(given) = given else {
            return child_rights(kernel, keeper, parent).map_err(|denied| denied.to_string());
        };
        let base = self.base(kernel, keeper, node, given)?;
        narrowed(kernel, &base, parent, false).map_err(|denied| denied.to_string())
    }

    fn base(
        &self,
        kernel: &Kernel,
        keeper: &Process,
        node: &Identity,
        given: Arc<[u8]>,
    ) -> Result<Arc<Rights>, String> {
        let key = (node.name.clone(), given);
        let mut made = self.made.lock();
        if let Some(base) = made.get(&key) {
            return Ok(base.clone());
        }
        let config = Config::from_bytes(&key.1).map_err(|error| error.to_string())?;
        let check = config.check_extensions(&kernel.host.extensions.names());
        check.map_err(|error| error.to_string())?;
        let base = child_rights(kernel, keeper, &config).map_err(|denied| denied.to_string())?;
        let base = Arc::new(base);
        keep(&mut made, key, base.clone());
        Ok(base)
    }
}

/// Keeps a base; if there are too many, all others are forgotten, and made again when they are needed.
fn keep<T>(made: &mut HashMap<Given, T>, key: Given, base: T) {
    if made.len() >= BASES_MAX {
        *made = HashMap::new();
    }
    made.insert(key, base);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_rights_of_nodes_are_kept() {
        let mut made = HashMap::new();
        let key = |number: usize| -> Given { (format!("node-{number}").into(), Arc::default()) };
        for number in 0..3 * BASES_MAX {
            keep(&mut made, key(number), number);
            assert!(made.len() <= BASES_MAX, "{number}");
            assert_eq!(made.get(&key(number)), Some(&number));
        }
    }
}
