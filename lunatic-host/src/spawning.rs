//! Spawns processes: what a child gets from its parent, and what its module's interface adds.
//!
//! Public for extensions that are part of Lunatic, and not stable.

use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Exhausted, Payer, Receipt, Resource};
use lunatic_kernel::trace::Trace;
use lunatic_kernel::{Seed, SpawnLimit};

use crate::module::Module;
use crate::rights::config::Config;
use crate::rights::{Denied, Rights};
use crate::wasm::{Entry, Kernel, Local, Process, Wasm};

/// This many bytes of the entry of a process are free of charge.
const NAME_FREE: usize = 64;

/// Makes a process that is in no queue yet: `Kernel::begin` lets it run. It begins in this trace.
pub fn new_process(
    kernel: &Kernel,
    parent: &Process,
    rights: Arc<Rights>,
    module: Arc<Module>,
    entry: Entry,
    trace: Trace,
) -> Result<Arc<Process>, SpawnLimit> {
    let seed = seed(kernel, rights, module, entry, trace)?;
    kernel.new_process(parent, seed)
}

/// Makes a process for a parent on another node, or without a parent, in the system of `keeper`.
pub(crate) fn new_visitor(
    kernel: &Kernel,
    keeper: &Process,
    parent: Option<Id>,
    rights: Arc<Rights>,
    module: Arc<Module>,
    entry: Entry,
    trace: Trace,
) -> Result<Arc<Process>, SpawnLimit> {
    let seed = seed(kernel, rights, module, entry, trace)?;
    kernel.new_process_for(parent, keeper, seed)
}

fn seed(
    kernel: &Kernel,
    mut rights: Arc<Rights>,
    module: Arc<Module>,
    entry: Entry,
    trace: Trace,
) -> Result<Seed<Wasm>, SpawnLimit> {
    let mut intake = None;
    if let Some(extension) = kernel.host.extensions.of(module.interface()) {
        let mut inherited = rights.inherited.clone();
        intake = extension.begins(&mut inherited);
        // Most processes of an interface inherit what it needs from their parents.
        if !inherited.is_same(&rights.inherited) {
            Arc::make_mut(&mut rights).inherited = inherited;
        }
    }
    let mut local = Local::new(rights, module, &entry);
    local.trace = trace;
    // A short name is part of the record.
    if entry.held() > NAME_FREE {
        local.pay_for(entry.held(), kernel).map_err(SpawnLimit::Budget)?;
    }
    Ok(Seed { entry, local, intake })
}

/// Returns the rights of a child for which `parent` asks with `config`: never more than the parent's.
pub fn child_rights(kernel: &Kernel, parent: &Process, config: &Config) -> Result<Rights, Denied> {
    let own = &parent.local.rights;
    let has_stdin = own.wasi.has_stdin(parent.system.is_main(parent.id));
    narrowed(kernel, own, config, has_stdin)
}

/// Returns the rights of a child for which a parent with the rights `own` asks with `config`.
pub(crate) fn narrowed(kernel: &Kernel, own: &Rights, config: &Config, has_stdin: bool) -> Result<Rights, Denied> {
    let mut rights = own.narrowed(config, has_stdin, kernel.now())?;
    rights.inherited = kernel.host.extensions.narrow(&own.inherited, config).map_err(Denied)?;
    Ok(rights)
}

/// The rights with the limits of a spawn; 0 stands for no limit.
pub(crate) fn limited(base: Arc<Rights>, own_scope: bool, max_memory: u64, mailbox_max: u64) -> Arc<Rights> {
    if !own_scope && max_memory == 0 && mailbox_max == 0 {
        return base;
    }
    let mut rights = Rights::clone(&base);
    let least = |limit: &mut usize, asked: u64| {
        if asked != 0 {
            *limit = usize::try_from(asked).unwrap_or(usize::MAX).min(*limit);
        }
    };
    least(&mut rights.max_memory, max_memory);
    least(&mut rights.mailbox_max, mailbox_max);
    if own_scope {
        rights.scope = Arc::default();
    }
    Arc::new(rights)
}

/// Charges `parent` for the rights that it has asked for, for as long as any process has them, and for the part of the
/// configuration that they keep: `config` bytes.
///
/// # Errors
///
/// [`Exhausted`] says which budget does not have enough left.
pub fn pay_for_rights(rights: &mut Rights, parent: &Process, config: usize) -> Result<(), Exhausted> {
    let mut paid = Receipt::new(parent.purse().to_account(), Resource::Bodies);
    paid.grow(rights.size() + config)?;
    rights.paid = Some(Arc::new(paid));
    Ok(())
}
