//! What the kernel's processes are here: instances of WebAssembly, with rights, in systems that have streams and folders.
//!
//! Public for extensions that are part of Lunatic, and not stable: others need [`Ctx`] and [`Process`] at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Budget, Exhausted, Purse, Receipt, Resource};
use lunatic_kernel::permits::Permits;
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::Stock;
use lunatic_kernel::trace::Trace;
use lunatic_memory::ThreadClock;
use lunatic_module::cache::Cache;
use lunatic_module::entries::EntryName;
use lunatic_module::signature::TrustedKeys;
use lunatic_net::Net;
use lunatic_net::process::{SocketHost, Sockets};
use lunatic_net::reactor::Reactor;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::ahead::Ahead;
use crate::code::Code;
use crate::compile::Compiler;
use crate::engine::Engines;
pub(crate) use crate::entry::Captured;
pub use crate::entry::{Argument, Call, Entry};
use crate::extension::Extensions;
use crate::hibernation::Hibernation;
use crate::instance::{AtSliceEnd, Ctx, Places, Runner};
use crate::io::Io;
use crate::module::{LoadError, Module};
use crate::rights::Rights;
use crate::shortage::Shortage;
use crate::states::SharedStates;
use crate::title::short;

/// What all processes of a runtime share, beside what the kernel has.
pub struct Wasm {
    pub(crate) engines: Engines<Ctx>,
    pub(crate) cache: Cache,
    /// What guests compiled: a part of the cache, in which they can only get in each other's way.
    pub(crate) guest_cache: Cache,
    pub(crate) compiler: Compiler,
    /// Who has to have signed what is compiled, if anybody has to.
    pub(crate) trusted_keys: Option<TrustedKeys>,
    pub(crate) net: Net<Arc<Process>>,
    /// The descriptors that processes may have together.
    pub(crate) descriptors: Arc<Stock>,
    /// The operations on files that processes may have going together.
    pub(crate) file_operations: Arc<Permits>,
    pub(crate) hibernation: Hibernation<Wasm>,
    pub(crate) ahead: Ahead<Module, Runner>,
    pub(crate) shortage: Shortage,
    pub(crate) extensions: Extensions,
    /// What parts of the host and extensions keep with the runtime.
    pub(crate) states: SharedStates,
    /// Files and terminals of guests, and work that takes long; timers are the kernel's clock's.
    pub(crate) io: Io,
    /// What each worker has computed.
    pub(crate) worker_clocks: Mutex<Vec<Option<ThreadClock>>>,
    /// What is called when a time slice is over.
    pub(crate) at_slice_end: &'static [AtSliceEnd],
    /// Somebody profiles a system.
    pub(crate) is_profiled: AtomicBool,
}

/// The kernel of a runtime.
pub type Kernel = lunatic_kernel::Kernel<Wasm>;
/// A process of a runtime.
pub type Process = lunatic_kernel::Process<Wasm>;
/// A system of a runtime.
pub(crate) type System = lunatic_kernel::System<Wasm>;

/// A socket of a process.
pub type Socket = lunatic_net::socket::Socket<Arc<Process>>;

/// What the host keeps with a process.
pub struct Local {
    pub(crate) rights: Arc<Rights>,
    /// The code that it runs, and how it can go on in another version.
    pub(crate) code: Code<Module>,
    /// The trace that it begins in.
    pub(crate) trace: Trace,
    /// Bytes of its linear memory, in use or not.
    memory: AtomicUsize,
    /// What it needs first when it goes on.
    pub(crate) places: Places,
    /// Somebody has asked for its stack.
    asked: AtomicBool,
    /// What it pays for what it was spawned with, if that is much.
    captured: Option<Box<Receipt>>,
}

/// What belongs to a process and goes when it ends.
#[derive(Default)]
pub struct Belongings {
    pub(crate) sockets: Sockets,
    /// The channels that close with it.
    pub(crate) channels: SmallVec<[Id; 2]>,
}

impl Wasm {
    /// Whether this host compiles a module.
    pub(crate) fn trusted(&self, file: &[u8]) -> Result<(), LoadError> {
        let keys = self.trusted_keys.as_ref();
        let checked = keys.map_or(Ok(()), |keys| keys.check(file));
        checked.map_err(|error| LoadError::Untrusted(error.to_string()))
    }

    /// What tells which sockets have become ready.
    pub fn reactor(&self) -> &Arc<Reactor<Arc<Process>>> {
        &self.net.reactor
    }
}

impl Local {
    /// What belongs to a process that begins with `entry`.
    pub(crate) fn new(rights: Arc<Rights>, module: Arc<Module>, entry: &Entry) -> Self {
        Self {
            rights,
            code: Code::new(module, entry.began()),
            trace: None,
            memory: AtomicUsize::new(0),
            places: Places::default(),
            asked: AtomicBool::new(false),
            captured: None,
        }
    }

    /// The process pays for so many bytes that it was spawned with, for as long as it is known.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says who has not so much left.
    pub(crate) fn pay_for(&mut self, captured: usize, kernel: &Kernel) -> Result<(), Exhausted> {
        let purse = Purse::new(self.rights.budget.as_ref(), kernel.kept());
        let mut paid = Receipt::new(purse.to_account(), Resource::Buffers);
        paid.grow(captured)?;
        self.captured = Some(Box::new(paid));
        Ok(())
    }

    /// The name of what it began with; `None` for a function that its module's table does not have.
    pub(crate) fn entry(&self) -> Option<EntryName> {
        self.code.entry()
    }

    /// What to call it after what it began with: the actor that it is, or the function.
    pub(crate) fn title(&self) -> String {
        let entry = self.entry().map(|entry| entry.to_string());
        entry.as_deref().map(short).unwrap_or_default().to_owned()
    }

    /// How large its memory is, in bytes: 0 until it has run.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Its memory has so many bytes now.
    pub(crate) fn set_memory(&self, bytes: usize) {
        self.memory.store(bytes, Ordering::Relaxed);
    }

    /// Whether somebody has asked for its stack, and waits until it is shown.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_asked(&self, asked: bool) {
        self.asked.store(asked, Ordering::Relaxed);
    }

    /// What the process may do and use.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// The module whose code it runs.
    pub fn module(&self) -> Arc<Module> {
        self.code.module()
    }
}

impl SocketHost for Wasm {
    fn sockets(belongings: &mut Belongings) -> &mut Sockets {
        &mut belongings.sockets
    }

    fn sockets_max(local: &Local) -> u32 {
        local.rights.files_max
    }

    fn descriptors(local: &Local) -> (&Arc<Stock>, &Arc<Group>) {
        (&local.rights.descriptors, &local.rights.group)
    }
}

impl lunatic_kernel::Local for Local {
    fn mailbox_max(&self) -> usize {
        self.rights.mailbox_max
    }

    fn budget(&self) -> Option<&Arc<Budget>> {
        self.rights.budget.as_ref()
    }
}
