//! Makes the processes that other nodes request.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_module::facts::RESERVED_PREFIX;
use lunatic_nodes::cluster::{Above, Made, Request, Told};
use lunatic_sys::codes::{CONFIG_LEN_MAX, spawn};
use parking_lot::Mutex;

use super::Nodes;
use super::modules::Modules;
use super::order::{Begins, Order};
use crate::module::Module;
use crate::rights::Rights;
use crate::rights::config::Config;
use crate::spawning::{child_rights, limited, narrowed, new_visitor, pay_for_rights};
use crate::wasm::{Captured, Entry, Kernel, Process, Wasm};

/// How many spawns may wait for their modules, and the bytes of their requests.
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

/// The spawns that wait for their modules: their number, and the bytes of their requests.
#[derive(Default)]
pub(super) struct Waiting(Mutex<(usize, usize)>);

/// A place among the spawns that wait.
struct Place {
    waiting: Arc<Waiting>,
    bytes: usize,
}

impl Waiting {
    fn enter(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let mut held = self.0.lock();
        if held.0 == WAITING_MAX || held.1 + bytes > WAITING_BYTES_MAX {
            return None;
        }
        *held = (held.0 + 1, held.1 + bytes);
        let waiting = self.clone();
        Some(Place { waiting, bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.waiting.0.lock();
        *held = (held.0 - 1, held.1 - self.bytes);
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
        if let Some(module) = self.modules.kept(&order.hash) {
            return match self.make(kernel, parent, &order, module) {
                Ok(child) => Made::Process(ticket, child),
                Err(why) => Made::Refused(ticket, why),
            };
        }
        let Some(place) = self.waiting.enter(what.len()) else {
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
                    nodes.make(&kernel, parent, &order, module.map_err(|why| why.to_string())?)
                });
            });
            _ = answer.await;
        });
        Made::Later
    }

    fn make(
        &self,
        kernel: &Kernel,
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
                        "the module exports no function `{name}` that takes and returns nothing"
                    ));
                }
                Entry::Export(name.into())
            }
        };
        let rights = rights(kernel, &keeper, order)?;
        let child = new_visitor(kernel, &keeper, parent, rights, module, entry);
        let child = child.map_err(|limit| limit.to_string())?;
        if order.flags & spawn::TRAP_EXIT != 0 {
            child.trap_exits(true);
        }
        Ok(child)
    }
}

/// The rights of a visitor: the policy of this node, narrowed to the rights of its parent, and then as its parent asks.
fn rights(kernel: &Kernel, keeper: &Process, order: &Order<'_>) -> Result<Arc<Rights>, String> {
    let parse = |bytes: &[u8]| Config::from_bytes(bytes).map_err(|error| error.to_string());
    let denied = |denied: crate::rights::Denied| denied.to_string();
    let mut rights = child_rights(kernel, keeper, &parse(order.parent)?).map_err(denied)?;
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
            return Err("output and folders do not travel: a process on another node cannot have them".into());
        }
        rights = narrowed(kernel, &rights, &config, false).map_err(denied)?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_spawns_wait_for_their_modules() {
        let waiting = Arc::new(Waiting::default());
        let places: Vec<_> = (0..WAITING_MAX).map(|_| waiting.enter(1)).collect();
        assert!(places.iter().all(Option::is_some) && waiting.enter(1).is_none());
        drop(places);
        let large = waiting.enter(WAITING_BYTES_MAX);
        assert!(large.is_some() && waiting.enter(1).is_none());
        drop(large);
        assert_eq!(*waiting.0.lock(), (0, 0));
    }
}
