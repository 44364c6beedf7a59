//! Modules that guests bring along: compiled in turns, by a helper if there is one, and charged to the asking process.
//!
//! Nothing here takes long on a worker: the asking process waits meanwhile, and if it is killed, the work for it ends.
//! This applies to the first compilation of a module, and to each further layout that a process needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_memory::page_size;

use super::artifact::{self, key, settings};
use super::{Compiled, LoadError, Module, link, misread, read};
use crate::compile::{Order, Turn};
use crate::engine::Layout;
use crate::extension::spawn_blocking;
use crate::instance::Ctx;
use crate::wasm::{Kernel, Process, Wasm};

/// The most bytes that the processes of one system put into the cache: 64 MiB, a quarter of the part for guests.
const KEPT_MAX: u64 = 64 << 20;

/// The process that wants a module compiled.
#[derive(Clone)]
pub(crate) struct Asker {
    kernel: Arc<Kernel>,
    process: Arc<Process>,
}

impl Asker {
    pub(crate) fn new(kernel: &Arc<Kernel>, process: &Arc<Process>) -> Self {
        Self {
            kernel: kernel.clone(),
            process: process.clone(),
        }
    }

    pub(crate) fn of(ctx: &Ctx) -> Self {
        Self::new(ctx.kernel(), ctx.process())
    }

    /// Waits until the process may compile. Systems take turns, and within each system its budgets.
    pub(crate) async fn turn(&self) -> Arc<Turn> {
        let system = Arc::as_ptr(&self.process.system).addr() as u64;
        let path: Vec<u64> = [system]
            .into_iter()
            .chain(self.process.local.rights.turns.iter().copied())
            .collect();
        self.kernel.host.compiler.turn(&path).await
    }

    /// Runs work of some milliseconds on a thread that may block, and charges for it.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Wasm) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let kernel = self.kernel.clone();
        let done = spawn_blocking(&self.kernel, &self.process, move || work(&kernel.host)).await;
        done.unwrap_or_else(|| Err(LoadError::Compile("the compiler failed".into())))
    }

    /// Makes bytes that can be shared of the process's own, which copies them.
    pub(crate) async fn share(&self, bytes: Vec<u8>) -> Result<Arc<[u8]>, LoadError> {
        self.aside(move |_| Ok(bytes.into())).await
    }

    /// The charge to the process for code: nothing yet.
    pub(crate) fn receipt(&self) -> Receipt {
        Receipt::new(self.process.purse().to_account(), Resource::Code)
    }

    /// Takes the compiled module from the cache, or has it compiled and caches the result; then links it.
    async fn compiled(&self, turn: &Arc<Turn>, file: &Arc<[u8]>, layout: Layout) -> Result<Compiled, LoadError> {
        let (looked_up, mut paid) = (file.clone(), self.receipt());
        let (key, cached) = self
            .aside(move |host| {
                let engine = host.engines.engine(layout);
                let key = key(engine, blake3::hash(&looked_up).as_bytes(), layout);
                let cached = host.guest_cache.get(&key);
                let compiled = cached.map(|artifact| {
                    paid.grow(size_of_code(&artifact))?;
                    linked(host, paid, &artifact, layout)
                });
                Ok((key, compiled.transpose()?.flatten()))
            })
            .await?;
        if let Some(compiled) = cached {
            return Ok(compiled);
        }
        let made = self.make(turn, file, layout).await?;
        // Immediately: the helper has been paid for only until it returned this.
        let mut paid = self.receipt();
        paid.grow(size_of_code(&made))?;
        let may_be_kept = self.may_keep(made.len() as u64);
        self.aside(move |host| {
            let compiled = linked(host, paid, &made, layout)?.ok_or_else(misread)?;
            if may_be_kept {
                // If this fails, it is compiled again next time.
                let _ = host.guest_cache.put(&key, &made);
            }
            Ok(compiled)
        })
        .await
    }

    async fn make(&self, turn: &Arc<Turn>, file: &Arc<[u8]>, layout: Layout) -> Result<Vec<u8>, LoadError> {
        let (host, file) = (&self.kernel.host, file.clone());
        if !host.compiler.has_helper() {
            let turn = turn.clone();
            return self
                .aside(move |host| {
                    // This cannot be interrupted. Even if the process is killed, the next one must wait.
                    let _turn = turn;
                    artifact::make(host.engines.engine(layout), &file)
                })
                .await;
        }
        let settings = settings(host.engines.engine(layout));
        let order = Order { file, layout, settings };
        let budget = self.process.local.rights.budget.clone();
        let paid = self.receipt();
        host.compiler.compile(&host.io, turn.clone(), budget, paid, order).await
    }

    /// Whether the system may put this many more bytes into the cache; counts them if so.
    fn may_keep(&self, bytes: u64) -> bool {
        #[derive(Default)]
        struct Kept(AtomicU64);

        let Kept(kept) = &*self.process.system.data.states.get_or_insert_with(Kept::default);
        let add = |kept: u64| kept.checked_add(bytes).filter(|kept| *kept <= KEPT_MAX);
        kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

/// The size of an artifact in memory: code, and what wasmtime keeps about it.
fn size_of_code(artifact: &[u8]) -> usize {
    2 * artifact.len()
}

/// Reads an artifact, for which `paid` pays, and links it. `None` if it cannot be read.
fn linked(host: &Wasm, paid: Receipt, artifact: &[u8], layout: Layout) -> Result<Option<Compiled>, LoadError> {
    let Some(artifact) = read(host.engines.engine(layout), artifact) else {
        return Ok(None);
    };
    let mut compiled = link(host, artifact, layout)?;
    compiled.linked.paid = Some(paid);
    Ok(Some(compiled))
}

impl Module {
    /// Charges whoever brought the module along for this many bytes more.
    fn pay(&mut self, bytes: usize) -> Result<(), LoadError> {
        let paid = self.source.brought.as_mut();
        Ok(paid.map_or(Ok(()), |paid| paid.grow(bytes))?)
    }

    /// Loads a module that a guest brought along, when it is its turn.
    pub(crate) async fn load_brought(
        asker: &Asker,
        turn: Arc<Turn>,
        file: Arc<[u8]>,
        mut paid: Receipt,
    ) -> Result<Arc<Self>, LoadError> {
        if asker.kernel.host.trusted_keys.is_some() {
            let file = file.clone();
            asker.aside(move |host| host.trusted(&file)).await?;
        }
        let layout = Layout::Fast;
        let compiled = asker.compiled(&turn, &file, layout).await?;
        if compiled.facts.recyclable.is_ok() {
            // The image of a fresh instance, which the module keeps.
            paid.grow(compiled.facts.data_pages as usize * page_size())?;
        }
        asker
            .aside(move |_| {
                let mut module = Self::new(compiled, layout, || file, Some(paid));
                // Processes need these on workers, where reading them would take too long.
                module.identity();
                let names = module.entries().size();
                module.pay(names)?;
                Ok(Arc::new(module))
            })
            .await
    }

    /// The module compiled for a layout, for a process that needs it. If a guest brought the module along, the first
    /// process that needs the layout has it compiled and pays, and others wait; without a process, this is an error.
    pub(crate) async fn pre_for(
        &self,
        kernel: &Arc<Kernel>,
        process: Option<&Arc<Process>>,
        layout: Layout,
    ) -> wasmtime::Result<&wasmtime::InstancePre<Ctx>> {
        let (true, Some(process)) = (self.source.brought.is_some(), process) else {
            return self.pre(&kernel.host, layout);
        };
        let asker = Asker::new(kernel, process);
        let compile = || async move {
            let turn = asker.turn().await;
            let compiled = asker.compiled(&turn, &self.source.wasm, layout).await;
            compiled.map(|compiled| compiled.linked)
        };
        let linked = self.compiled[layout as usize].get_or_try_init(compile).await;
        linked.map(|linked| &linked.pre).map_err(wasmtime::Error::new)
    }
}
