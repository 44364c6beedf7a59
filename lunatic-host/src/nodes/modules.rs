//! The modules of visitors: by the hash of their bytes, fetched from the node that requests the spawn.
//!
//! A module is loaded once, regardless of how many spawns wait for it. It is compiled like the modules that guests bring
//! along: in turns, by the helper if there is one, charged to the system of visitors. Machine code never comes from
//! another node.

use std::collections::HashMap;
use std::sync::Arc;

use lunatic_kernel::budget::Receipt;
use lunatic_nodes::NodeId;
use lunatic_nodes::record::Hash;
use lunatic_nodes::store::FetchRefusal;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Nodes;
use crate::module::Module;
use crate::module::brought::Asker;
use crate::wasm::Kernel;

/// How many modules are kept for further spawns.
const KEPT_MAX: usize = 32;

type Loaded = Result<Arc<Module>, Arc<str>>;
type Fetched = Result<Arc<[u8]>, FetchRefusal>;

/// The modules of visitors.
#[derive(Default)]
pub(super) struct Modules(Mutex<State>);

#[derive(Default)]
struct State {
    /// Each with the number of its last use.
    kept: HashMap<Hash, (Arc<Module>, u64)>,
    uses: u64,
    /// Who waits for modules that are being loaded.
    loading: HashMap<Hash, Vec<oneshot::Sender<Loaded>>>,
    /// Who waits for the bytes of modules.
    fetching: HashMap<Hash, Vec<oneshot::Sender<Fetched>>>,
}

impl Modules {
    /// The module, if it is here and compiled.
    pub(super) fn kept(&self, hash: &Hash) -> Option<Arc<Module>> {
        let state = &mut *self.0.lock();
        let (module, used) = state.kept.get_mut(hash)?;
        state.uses += 1;
        *used = state.uses;
        Some(module.clone())
    }

    /// Keeps a module for further spawns. The one that was not used for the longest time is dropped.
    pub(super) fn keep(&self, hash: Hash, module: Arc<Module>) {
        let state = &mut *self.0.lock();
        state.uses += 1;
        state.kept.insert(hash, (module, state.uses));
        if state.kept.len() > KEPT_MAX {
            let oldest = state.kept.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(hash, _)| *hash).expect("something is kept");
            state.kept.remove(&oldest);
        }
    }

    /// A fetch has ended.
    pub(super) fn fetched(&self, hash: &Hash, result: &Fetched) {
        let waiting = self.0.lock().fetching.remove(hash);
        for waiter in waiting.into_iter().flatten() {
            // It may not wait any more.
            _ = waiter.send(result.clone());
        }
    }
}

impl Nodes {
    /// The module with this hash, which is fetched from `holder` and compiled if necessary.
    pub(super) async fn module(&self, kernel: &Arc<Kernel>, hash: Hash, holder: NodeId) -> Loaded {
        if let Some(module) = self.modules.kept(&hash) {
            return Ok(module);
        }
        let waits = match self.modules.0.lock().loading.entry(hash) {
            std::collections::hash_map::Entry::Occupied(mut loading) => {
                let (sender, receiver) = oneshot::channel();
                loading.get_mut().push(sender);
                Some(receiver)
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Vec::new());
                None
            }
        };
        if let Some(receiver) = waits {
            // This node has it, too: it is asked if the first one does not send it.
            self.cluster.want(hash, vec![holder]);
            return receiver.await.unwrap_or_else(|_| Err("the node is stopping".into()));
        }
        let loaded = self.load(kernel, hash, holder).await;
        if let Ok(module) = &loaded {
            self.modules.keep(hash, module.clone());
        }
        let waiting = self.modules.0.lock().loading.remove(&hash);
        for waiter in waiting.into_iter().flatten() {
            _ = waiter.send(loaded.clone());
        }
        loaded
    }

    async fn load(&self, kernel: &Arc<Kernel>, hash: Hash, holder: NodeId) -> Loaded {
        let bytes = match self.cluster.module(&hash) {
            Some(bytes) => bytes,
            None => self.fetch(hash, holder).await?,
        };
        let Some(keeper) = self.keeper(kernel) else {
            return Err("the node is stopping".into());
        };
        let asker = Asker::new(kernel, &keeper);
        // Before it waits for its turn: others may have been fetched and wait, too.
        let mut paid: Receipt = asker.receipt();
        paid.grow(bytes.len()).map_err(|exhausted| exhausted.to_string())?;
        let turn = asker.turn().await;
        let module = Module::load_brought(&asker, turn, bytes, paid).await;
        let module = module.map_err(|error| error.to_string())?;
        if kernel.host.extensions.of(module.interface()).is_some() {
            return Err("only programs with Lunatic's own interface can be spawned from another node".into());
        }
        Ok(module)
    }

    async fn fetch(&self, hash: Hash, holder: NodeId) -> Result<Arc<[u8]>, Arc<str>> {
        let (sender, receiver) = oneshot::channel();
        self.modules.0.lock().fetching.entry(hash).or_default().push(sender);
        self.cluster.want(hash, vec![holder]);
        match receiver.await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(FetchRefusal::Busy)) => Err("the node is already fetching too many modules".into()),
            Ok(Err(_)) => Err("the module could not be fetched".into()),
            Err(_) => Err("the node is stopping".into()),
        }
    }
}
