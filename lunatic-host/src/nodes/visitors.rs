//! Makes the processes that other nodes request.

use std::collections::BTreeMap;
use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_module::facts::RESERVED_PREFIX;
use lunatic_nodes::cluster::{Above, Made, Request, Told};
use lunatic_nodes::{Identity, NodeId};
use lunatic_sys::codes::{CONFIG_LEN_MAX, spawn};
use parking_lot::Mutex;

use super::Nodes;
use super::modules::Modules;
use super::order::{Begins, Order};
use crate::module::Module;
use crate::rights::Rights;
use crate::rights::config::Config;
use crate::spawning::{limited, narrowed, new_visitor, pay_for_rights};
use crate::wasm::{Captured, Entry, Kernel, Process, Wasm};

/// How many spawns may wait for their modules, and the bytes of their requests; those of one node may be a quarter.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What the cluster asks of this host.
pub(super) struct Visitors {
    pub(super) modules: Arc<Modules>,
    pub(super) told: Box<dyn Fn(&Told) + Send + Sync>,
}

impl Above<Wasm> for Visitors {
    fn spawn(&self, kernel: &Arc<Kernel>, request: Request<'_>) -> Made<Wasm> {
        match super::of(&kernel.host) {
            Some(nodes) => nodes.visit(kernel, request),
            None => Made::Refused(request.ticket, "the node is stopping".into()),
        }
    }

    fn told(&self, told: &Told) {
        if let Told::Fetched(hash, result) = told {
            self.modules.fetched(hash, result);
        }
        (self.told)(told);
    }
}

/// A number of spawns, and the bytes of their requests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    count: usize,
    bytes: usize,
}

impl Sum {
    /// Whether another request fits into the given part of what may wait.
    fn has_room(self, bytes: usize, part: usize) -> bool {
        self.count < WAITING_MAX / part && self.bytes + bytes <= WAITING_BYTES_MAX / part
    }

    fn plus(self, bytes: usize) -> Self {
        Self {
            count: self.count + 1,
            bytes: self.bytes + bytes,
        }
    }

    fn minus(self, bytes: usize) -> Self {
        Self {
            count: self.count - 1,
            bytes: self.bytes - bytes,
        }
    }
}

/// The spawns that wait for their modules: of all nodes, and of each.
#[derive(Default)]
pub(super) struct Waiting(Mutex<(Sum, BTreeMap<NodeId, Sum>)>);

/// A place among the spawns that wait.
struct Place {
    waiting: Arc<Waiting>,
    node: NodeId,
    bytes: usize,
}

impl Waiting {
    fn enter(self: &Arc<Self>, node: NodeId, bytes: usize) -> Option<Place> {
        let (all, nodes) = &mut *self.0.lock();
        let own = nodes.get(&node).copied().unwrap_or_default();
        if !all.has_room(bytes, 1) || !own.has_room(bytes, 4) {
            return None;
        }
        *all = all.plus(bytes);
        nodes.insert(node, own.plus(bytes));
        let waiting = self.clone();
        Some(Place { waiting, node, bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (all, nodes) = &mut *self.waiting.0.lock();
        *all = all.minus(self.bytes);
        let own = nodes.get(&self.node).copied().unwrap_or_default().minus(self.bytes);
        match own.count {
            0 => _ = nodes.remove(&self.node),
            _ => _ = nodes.insert(self.node, own),
        }
    }
}

impl Nodes {
    /// Makes the process that a node requests; if its module is not here, later.
    fn visit(self: &Arc<Self>, kernel: &Arc<Kernel>, request: Request<'_>) -> Made<Wasm> {
        let Request {
            node,
            parent,
            what,
            ticket,
            ..
        } = request;
        let Some(order) = Order::read(what) else {
            return Made::Refused(
                ticket,
                "this node cannot read the request: it runs another version".into(),
            );
        };
        let Some(from) = self.cluster.identity_of(node) else {
            return Made::Refused(ticket, "the node that sent the request is gone".into());
        };
        let given = match self.bases.admit(&from, &order.hash) {
            Ok(given) => given,
            Err(why) => return Made::Refused(ticket, why),
        };
        if let Some(module) = self.modules.kept(&order.hash) {
            return match self.make(kernel, (&from, given), parent, &order, module) {
                Ok(child) => Made::Process(ticket, child),
                Err(why) => Made::Refused(ticket, why),
            };
        }
        let Some(place) = self.waiting.enter(node, what.len()) else {
            return Made::Refused(ticket, "too many spawns wait for their modules on that node".into());
        };
        let (nodes, kernel, hash, what) = (self.clone(), kernel.clone(), order.hash, what.to_vec());
        let io = kernel.host.io.handle().clone();
        io.clone().spawn(async move {
            let module = nodes.module(&kernel, hash, node).await;
            // It waits for the thread that handles what nodes send.
            let answer = io.spawn_blocking(move || {
                let _place = place;
                nodes.cluster.answer_spawn(ticket, || {
                    let order = Order::read(&what).ok_or("the request cannot be read")?;
                    let module = module.map_err(|why| why.to_string())?;
                    nodes.make(&kernel, (&from, given), parent, &order, module)
                });
            });
            _ = answer.await;
        });
        Made::Later
    }

    fn make(
        &self,
        kernel: &Kernel,
        given: (&Identity, Option<Arc<[u8]>>),
        parent: Id,
        order: &Order<'_>,
        module: Arc<Module>,
    ) -> Result<Arc<Process>, String> {
        let keeper = self.keeper(kernel).ok_or("the node is stopping")?;
        let entry = match order.entry {
            Begins::Closure(index, captured) => Entry::Closure(index, Captured::from_slice(captured)),
            Begins::Export(name) => {
                let has_entry = module
                    .has_entry(&kernel.host, name)
                    .map_err(|error| error.to_string())?;
                if name.starts_with(RESERVED_PREFIX) || !has_entry {
                    return Err(format!(
                        "the module exports no function `{name}` without parameters and results"
                    ));
                }
                Entry::Export(name.into())
            }
        };
        let rights = self.rights(kernel, &keeper, given, order)?;
        let child = new_visitor(kernel, &keeper, Some(parent), rights, module, entry, order.trace());
        let child = child.map_err(|limit| limit.to_string())?;
        if order.flags & spawn::TRAP_EXIT != 0 {
            child.trap_exits(true);
        }
        Ok(child)
    }

    /// The rights of a visitor: what its node is given here, narrowed to the rights of its parent, and then as its parent
    /// asks.
    fn rights(
        &self,
        kernel: &Kernel,
        keeper: &Process,
        given: (&Identity, Option<Arc<[u8]>>),
        order: &Order<'_>,
    ) -> Result<Arc<Rights>, String> {
        let parse = |bytes: &[u8]| Config::from_bytes(bytes).map_err(|error| error.to_string());
        let denied = |denied: crate::rights::Denied| denied.to_string();
        let mut rights = self
            .bases
            .rights(kernel, keeper, given, &rights_of_parent(order.parent)?)?;
        for net in &order.nets {
            // An empty set allows nothing.
            let net = Config {
                net: Some(parse(net)?.net.unwrap_or_default()),
                ..Config::default()
            };
            rights.net = net.net_of_child(&rights.net).map_err(denied)?;
        }
        if !order.config.is_empty() {
            if order.config.len() > CONFIG_LEN_MAX {
                return Err(format!("a configuration has at most {CONFIG_LEN_MAX} bytes"));
            }
            let config = parse(order.config)?;
            let check = config.check_extensions(&kernel.host.extensions.names());
            check.map_err(|error| error.to_string())?;
            if config.captures() || config.dirs.as_ref().is_some_and(|dirs| !dirs.is_empty()) {
                return Err("a process on another node cannot have folders or captured output".into());
            }
            rights = narrowed(kernel, &rights, &config, false).map_err(denied)?;
        }
        rights.scope = self.scopes.of(order.scope);
        let paid = order.parent.len() + order.config.len();
        pay_for_rights(&mut rights, keeper, paid).map_err(|exhausted| exhausted.to_string())?;
        let own_scope = order.flags & spawn::NEW_SCOPE != 0;
        Ok(limited(
            Arc::new(rights),
            own_scope,
            order.max_memory,
            order.mailbox_max,
        ))
    }
}

/// Reads the rights of a parent. Its host describes only what can travel, but the bytes come from another node.
fn rights_of_parent(bytes: &[u8]) -> Result<Config, String> {
    let parent = Config::from_bytes(bytes).map_err(|error| error.to_string())?;
    let can_travel = !parent.inherit
        && !parent.captures()
        && parent.stdin.is_none()
        && parent.dirs.is_none()
        && parent.budget.is_none()
        && parent.other.is_empty();
    can_travel
        .then_some(parent)
        .ok_or_else(|| "the request claims rights for the parent that processes of other nodes cannot have".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_leaves_room_for_the_spawns_of_others() {
        let waiting = Arc::new(Waiting::default());
        let fill = |node| std::iter::from_fn(|| waiting.enter(NodeId(node), 10)).collect::<Vec<_>>();
        let places: Vec<_> = (1..6).map(fill).collect();
        let counts: Vec<_> = places.iter().map(Vec::len).collect();
        assert_eq!(counts, [256, 256, 256, 256, 0]);
        drop(places);
        assert!(waiting.enter(NodeId(1), WAITING_BYTES_MAX / 4 + 1).is_none());
        assert!(waiting.enter(NodeId(1), WAITING_BYTES_MAX / 4).is_some());
        let (all, nodes) = &*waiting.0.lock();
        assert_eq!((*all, nodes.len()), (Sum::default(), 0));
    }

    #[test]
    fn a_node_cannot_claim_for_a_parent_what_does_not_travel() {
        let claims = [
            "inherit",
            "dir=/",
            "dir=/home::/data",
            "stdin=inherit",
            "stdout=capture",
            "stderr=capture",
            "tree-memory=1G",
            "cpu-share=50",
            "extension:key=value",
        ];
        for claim in claims {
            let bytes = format!("allow=spawn\0{claim}\0");
            Config::from_bytes(bytes.as_bytes()).unwrap();
            assert!(rights_of_parent(bytes.as_bytes()).is_err(), "{claim}");
        }
        let honest = b"allow=spawn\0max-memory=1000\0arg=one\0env=A=1\0clock=5\0stdout=discard\0net=*\0";
        assert!(rights_of_parent(honest).is_ok());
    }

    #[test]
    fn only_so_many_spawns_wait_for_their_modules() {
        let waiting = Arc::new(Waiting::default());
        let enter = |node, bytes| waiting.enter(NodeId(node), bytes);
        let places: Vec<_> = (0..WAITING_MAX as u64).map(|number| enter(number % 8, 1)).collect();
        assert!(places.iter().all(Option::is_some) && enter(8, 1).is_none());
        drop(places);
        let large: Vec<_> = (0..4).map(|node| enter(node, WAITING_BYTES_MAX / 4)).collect();
        assert!(large.iter().all(Option::is_some) && enter(8, 1).is_none());
        drop(large);
        assert!(enter(8, 1).is_some());
    }
}
