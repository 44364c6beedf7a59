//! Joining a cluster.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use lunatic_nodes::cluster::Told;
use lunatic_nodes::driver::{Driver, Inlet};
use lunatic_nodes::fabric::Fabric;
use lunatic_nodes::node::{History, Member};
use lunatic_nodes::trust::Trust;
use lunatic_nodes::{Attributes, Cluster, Identity, NodeId, Settings};

use super::bases::Admits;
use super::modules::Modules;
use super::visitors::Visitors;
use super::{Nodes, Parts, leave, of, set};
use crate::module::Module;
use crate::running::RunningSystem;
use crate::runtime::Runtime;
use crate::system::SystemConfig;
use crate::wasi::Stdin;

/// The main process of the system of visitors: sleeps for ever.
const KEEPER: &str = r#"(module $visitors
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (memory (export "memory") 1)
    (func (export "_start") (loop $again (call $sleep (i64.const -1)) (br $again))))"#;

/// A node and its cluster, seen from the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// The name of the cluster.
    pub name: String,
    /// The number of the node.
    pub id: NodeId,
    /// The identity of the node.
    pub identity: Identity,
    /// The other nodes that it is connected to or tries to reach.
    pub members: Vec<Member>,
    /// What has happened with all other nodes together, including those that are no longer known.
    pub totals: History,
}

/// How a runtime takes part in a cluster.
pub struct NodeConfig {
    /// The name of the cluster. Nodes of other clusters are refused.
    pub cluster: String,
    /// The name of this node, such as `a@host1`: 1 to 128 letters, digits and `-_.@`.
    pub name: String,
    /// What this node says of itself, for programs that choose nodes by it.
    pub attributes: Attributes,
    /// Whether other nodes are who they claim to be, and what they may do here.
    pub trust: Box<dyn Trust>,
    /// The policy for visitors: the rights of processes that other nodes spawn here, and where their output goes. Each
    /// has at most these rights, and at most those of its parent. Its arguments and variables are those of its parent.
    /// Folders and standard input are left out: visitors never get them.
    pub visitors: SystemConfig,
    /// What each node may spawn here, by its name and the hash of the module.
    pub admits: Admits,
    /// Is called for each event in the cluster, and must not wait.
    pub told: Box<dyn Fn(&Told) + Send + Sync>,
}

/// A node, as another one or it itself sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its number.
    pub node: NodeId,
    /// Its name, and which start of it this is.
    pub identity: Identity,
    /// What it says of itself, while it is connected.
    pub attributes: Attributes,
    /// Whether it is the node that was asked.
    pub is_this: bool,
    /// Whether it is connected.
    pub is_up: bool,
    /// How many bytes wait to be sent there.
    pub queued: usize,
}

impl Runtime {
    /// Joins a cluster, and leaves it when the runtime is dropped. `connect` opens the transport; it gets the identity
    /// of this start of the node, and the inlet for what the transport brings. Returns the system of the processes that
    /// other nodes spawn here. It runs as long as it is kept; while it is not, such spawns are refused.
    ///
    /// # Errors
    ///
    /// If the name is invalid, the runtime has joined already, `connect` fails, or the machine refuses a thread.
    pub fn join(
        &self,
        config: NodeConfig,
        connect: impl FnOnce(&Identity, Inlet) -> anyhow::Result<Arc<dyn Fabric>>,
    ) -> anyhow::Result<RunningSystem> {
        let kernel = &self.kernel;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A later start has a larger number.
        let incarnation = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        let identity = Identity::new(&config.name, incarnation);
        let identity = identity.with_context(|| format!("`{}` cannot be the name of a node", config.name))?;
        anyhow::ensure!(of(&kernel.host).is_none(), "the runtime is a node already");

        let keeper = Module::load_own(&kernel.host, KEEPER.as_bytes())?;
        let mut visitors = SystemConfig {
            entry: "_start".into(),
            expects_messages: true,
            ..config.visitors
        };
        // Whatever a node asks for, there is nothing of this machine to give away.
        visitors.wasi.dirs.clear();
        visitors.wasi.stdin = Stdin::Empty;
        let visitors = self.start(&keeper, visitors)?;
        let modules = Arc::new(Modules::default());
        let above = Visitors {
            modules: modules.clone(),
            told: config.told,
        };
        let settings = Settings {
            attributes: config.attributes.clone(),
            ..Settings::new(&config.cluster, identity.clone(), [0; 20], kernel.random())
        };
        let cluster = Cluster::new(kernel.clone(), settings, config.trust, Box::new(above));
        let cluster = Arc::new(cluster.context("the runtime was connected to too many nodes")?);
        let inlet = Inlet::new();
        let fabric = connect(&identity, inlet.clone())?;
        let nodes = Arc::new(Nodes::new(Parts {
            name: config.cluster,
            cluster: cluster.clone(),
            identity,
            attributes: config.attributes,
            visitors: visitors.parts().1.clone(),
            modules,
            admits: config.admits,
        }));
        // Before the driver handles the first request.
        set(&kernel.host, nodes.clone());
        match Driver::start(cluster, fabric, inlet) {
            Ok(driver) => nodes.drive(driver),
            Err(error) => {
                leave(&kernel.host);
                return Err(error.into());
            }
        }
        Ok(visitors)
    }

    /// Leaves the cluster: other nodes are notified at once, and what they spawn here is refused. Does nothing if the
    /// runtime is no node.
    pub fn leave(&self) {
        leave(&self.kernel.host);
    }

    /// Lets other nodes spawn processes of this module here without sending it: a program that runs on several nodes is
    /// the same on all of them. Does nothing if the runtime is no node.
    pub fn share(&self, module: &Arc<Module>) {
        if let Some(nodes) = of(&self.kernel.host) {
            nodes.knows(module);
        }
    }

    /// This node and its cluster, and all nodes that it is connected to or tries to reach. `None` if the runtime is no
    /// node.
    pub fn cluster(&self) -> Option<ClusterInfo> {
        let nodes = of(&self.kernel.host)?;
        Some(ClusterInfo {
            name: nodes.name.clone(),
            id: nodes.cluster.id(),
            identity: nodes.identity.clone(),
            members: nodes.cluster.members(),
            totals: nodes.cluster.totals(),
        })
    }

    /// The other nodes that this one is connected to, by their numbers, with their names.
    pub fn connected_nodes(&self) -> Vec<(NodeId, Identity)> {
        let Some(nodes) = of(&self.kernel.host) else {
            return Vec::new();
        };
        let members = nodes.cluster.members().into_iter().filter(|member| member.is_up);
        members.map(|member| (member.node, member.identity)).collect()
    }

    /// This node, and those that it is connected to or tries to reach. None if the runtime is no node.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let Some(nodes) = of(&self.kernel.host) else {
            return Vec::new();
        };
        let own = NodeInfo {
            node: nodes.cluster.id(),
            identity: nodes.identity.clone(),
            attributes: nodes.attributes.clone(),
            is_this: true,
            is_up: true,
            queued: 0,
        };
        let members = nodes.cluster.members().into_iter().map(|member| NodeInfo {
            node: member.node,
            identity: member.identity,
            attributes: member.attributes,
            is_this: false,
            is_up: member.is_up,
            queued: member.queued,
        });
        [own].into_iter().chain(members).collect()
    }
}
