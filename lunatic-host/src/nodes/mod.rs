//! A runtime as a node of a cluster: processes of other nodes spawn processes here, and those of this node there.
//!
//! | module | purpose |
//! |---|---|
//! | `join` | joining a cluster |
//! | `order` | the request for a spawn as bytes |
//! | `described` | the rights of a parent as a configuration, for another node |
//! | `bases` | what each node may spawn here, and the most that its processes get |
//! | `visitors` | makes the processes that other nodes request |
//! | `scopes` | the scopes of names of such processes |
//! | `modules` | the modules of such processes: fetched by hash, compiled, kept |
//!
//! Processes that other nodes request are *visitors*: they belong to a system of their own, whose main process does
//! nothing. Its rights are the policy of this node: no visitor has more, and none has more than its parent.
//!
//! A runtime that has not joined a cluster has no threads, sockets or tables for this.

mod bases;
pub(crate) mod described;
mod join;
mod modules;
pub(crate) mod order;
mod scopes;
mod visitors;

use std::sync::Arc;

use lunatic_nodes::Cluster;
pub use lunatic_nodes::cluster::Told;
use lunatic_nodes::driver::Driver;
pub use lunatic_nodes::driver::Inlet;
pub use lunatic_nodes::fabric::Fabric;
pub use lunatic_nodes::node::{History, Member};
pub use lunatic_nodes::tcp::guard::{self, Guard};
pub use lunatic_nodes::tcp::{TcpFabric, TcpSettings};
pub use lunatic_nodes::trust::{self, Trust};
pub use lunatic_nodes::{Attributes, Identity, NodeId};
use parking_lot::{Mutex, RwLock};

pub use self::bases::Admits;
use self::bases::Bases;
pub use self::join::{ClusterInfo, NodeConfig, NodeInfo};
use self::modules::Modules;
use self::scopes::Scopes;
use self::visitors::Waiting;
use crate::module::Module;
use crate::wasm::{Kernel, Process, System, Wasm};

/// What a runtime keeps as a node.
pub(crate) struct Nodes {
    /// The name of the cluster.
    name: String,
    pub(crate) cluster: Arc<Cluster<Wasm>>,
    pub(crate) identity: Identity,
    pub(crate) attributes: Attributes,
    driver: Mutex<Option<Driver>>,
    visitors: Arc<System>,
    modules: Arc<Modules>,
    waiting: Arc<Waiting>,
    bases: Bases,
    scopes: Scopes,
}

impl Nodes {
    /// The main process of the system of visitors.
    fn keeper(&self, kernel: &Kernel) -> Option<Arc<Process>> {
        kernel.find(self.visitors.main()?)
    }

    fn new(parts: Parts) -> Self {
        Self {
            name: parts.name,
            bases: Bases::new(parts.admits),
            cluster: parts.cluster,
            identity: parts.identity,
            attributes: parts.attributes,
            driver: Mutex::new(None),
            visitors: parts.visitors,
            modules: parts.modules,
            waiting: Arc::default(),
            scopes: Scopes::default(),
        }
    }

    fn drive(&self, driver: Driver) {
        *self.driver.lock() = Some(driver);
    }

    /// A module of this node that visitors may run without fetching it.
    pub(crate) fn knows(&self, module: &Arc<Module>) {
        self.modules.keep(module.identity().hash, module.clone());
    }
}

/// What a node is made of.
struct Parts {
    name: String,
    admits: Admits,
    cluster: Arc<Cluster<Wasm>>,
    identity: Identity,
    attributes: Attributes,
    visitors: Arc<System>,
    modules: Arc<Modules>,
}

/// Where a runtime keeps its node; made when it joins.
#[derive(Default)]
struct Place(RwLock<Option<Arc<Nodes>>>);

/// What this runtime keeps as a node, if it is one.
pub(crate) fn of(host: &Wasm) -> Option<Arc<Nodes>> {
    let place = host.states.find::<Place>()?;
    let nodes = place.0.read();
    nodes.clone()
}

fn set(host: &Wasm, nodes: Arc<Nodes>) {
    let place = host.states.get_or_insert_with(Place::default);
    *place.0.write() = Some(nodes);
}

/// Leaves the cluster, if the runtime is a node: other nodes are notified, and nothing new comes from them.
pub(crate) fn leave(host: &Wasm) {
    let place = host.states.find::<Place>();
    // The lock is not held while the driver ends.
    let nodes = place.and_then(|place| place.0.write().take());
    if let Some(nodes) = nodes {
        drop(nodes.driver.lock().take());
    }
}
