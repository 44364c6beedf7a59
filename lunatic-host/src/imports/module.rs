//! `lunatic::module`: modules that guests bring along.

use std::sync::Arc;

use lunatic_kernel::address::{Id, Keys};
use lunatic_kernel::table::Table;
use lunatic_sys::codes::{BAD_MODULE, CLOSED, DENIED, INVALID, LIMIT, OK};
use wasmtime::{Caller, Linker};

use super::handle::{check_handle, write_handle};
use super::pieces;
use crate::compile::FILE_MAX;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::module::brought::Asker;
use crate::module::{LoadError, Module};
use crate::rights::{May, denial};
use crate::states::Merge;
use crate::wasm::Kernel;

/// The most modules that guests have compiled and not released.
const MODULES_MAX: u32 = 1 << 16;

/// Modules that guests compiled, which all processes of a runtime share.
pub(super) struct Modules {
    table: Table<Arc<Module>>,
    keys: Keys,
}

impl Modules {
    pub(super) fn of(kernel: &Kernel) -> Arc<Self> {
        kernel.host.states.get_or_insert_with(|| Self {
            table: Table::new(MODULES_MAX),
            keys: kernel.new_keys(),
        })
    }

    pub(super) fn check(&self, id: u64, key: u64) -> Option<Id> {
        self.keys.check(id, key)
    }

    pub(super) fn get(&self, id: Id) -> Option<Arc<Module>> {
        self.table.get(id).map(|module| Arc::clone(&module))
    }
}

/// The modules that a process compiled; they are released with it.
struct Own {
    modules: Arc<Modules>,
    ids: Vec<Id>,
}

impl Own {
    fn of(ctx: &mut Ctx) -> &mut Self {
        let modules = Modules::of(&ctx.kernel);
        ctx.merging_state(|| Self {
            modules,
            ids: Vec::new(),
        })
    }
}

impl Merge for Own {
    fn merge(&mut self, mut former: Self) {
        self.ids.append(&mut former.ids);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            drop(self.modules.table.remove(0, id));
        }
    }
}

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::module";
    linker.timed_async(namespace, "compile", |caller, (wasm, len, out)| {
        Box::new(compile(caller, wasm, len, out))
    })?;
    linker.timed(namespace, "drop", drop_module)?;
    Ok(())
}

async fn compile(mut caller: Caller<'_, Ctx>, wasm: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    guest_memory::slice(&mut caller, wasm, len)?;
    let ctx = caller.data_mut();
    let process = ctx.process().clone();
    if !process.local.rights.may.contains(May::COMPILE) {
        denial::log(&process, "may not compile modules", "", "");
        ctx.set_buffer(
            b"the process may not compile modules: the configuration that it was spawned with has no `allow=compile`",
        );
        return Ok(DENIED);
    }
    let module = match load(&mut caller, wasm, len).await? {
        Ok(module) => module,
        Err(error) => {
            caller.data_mut().set_buffer(error.to_string().into_bytes());
            let is_limit = matches!(error, LoadError::Exhausted(_));
            return Ok(if is_limit { LIMIT } else { BAD_MODULE });
        }
    };
    let ctx = caller.data_mut();
    let worker = ctx.kernel.worker();
    let own = Own::of(ctx);
    let Ok(id) = own.modules.table.insert(worker, |_| module) else {
        caller.data_mut().set_buffer(b"the largest number of modules is loaded");
        return Ok(LIMIT);
    };
    own.ids.push(id);
    let handle = own.modules.keys.handle(id);
    write_handle(&mut caller, out, handle)?;
    Ok(OK)
}

/// Compiles the module in the `len` bytes at `wasm`, when it is the caller's turn. The caller waits meanwhile.
///
/// # Errors
///
/// An invalid pointer; the inner result says what is wrong with the module.
pub async fn load(
    caller: &mut Caller<'_, Ctx>,
    wasm: u32,
    len: u32,
) -> wasmtime::Result<Result<Arc<Module>, LoadError>> {
    guest_memory::slice(caller, wasm, len)?;
    if len as usize > FILE_MAX {
        let text = format!("the module has {len} bytes, more than the {FILE_MAX} that a process can have compiled");
        return Ok(Err(LoadError::Invalid(text)));
    }
    let asker = Asker::of(caller.data());
    let turn = asker.turn().await;
    let mut paid = asker.receipt();
    // There are two copies for a moment.
    if let Err(exhausted) = paid.grow(2 * len as usize) {
        return Ok(Err(exhausted.into()));
    }
    // Not earlier: there are only as many copies as turns, however many processes wait.
    let bytes = pieces::read(caller, wasm, len).await?;
    let file = match asker.share(bytes).await {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    paid.shrink(len as usize);
    Ok(Module::load_brought(&asker, turn, file, paid).await)
}

fn drop_module(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data_mut();
    let worker = ctx.kernel.worker();
    let own = Own::of(ctx);
    let Some(id) = own.modules.check(id, key) else {
        return INVALID;
    };
    // Only the process that compiled it releases it; processes that run it continue.
    let Some(at) = own.ids.iter().position(|own| *own == id) else {
        return CLOSED;
    };
    own.ids.swap_remove(at);
    drop(own.modules.table.remove(worker, id));
    OK
}
