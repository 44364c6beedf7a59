//! What the kernel's processes are here: instances of WebAssembly with rights, in systems with streams and folders.
//!
//! Public for extensions that are part of Lunatic, and not stable: other extensions need at most [`Ctx`] and
//! [`Process`].

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
pub use crate::entry::{Argument, Call, Entry, Named};
use crate::extension::Extensions;
use crate::hibernation::Hibernation;
use crate::instance::{AtSliceEnd, Ctx, DriveComponent, Places, Requests, Runner};
use crate::io::Io;
use crate::module::{LoadError, Module};
use crate::report::files::{Files, Refusal};
use crate::rights::Rights;
use crate::shortage::Shortage;
use crate::states::SharedStates;
use crate::title::short;

/// What all processes of a runtime share, in addition to the kernel's data.
pub struct Wasm {
    pub(crate) engines: Engines<Ctx>,
    /// Runs components.
    pub(crate) drive_component: DriveComponent,
    /// Gives requests to their processes.
    pub(crate) requests: Requests,
    pub(crate) cache: Cache,
    /// Modules that guests compiled: a separate part of the cache, in which they can evict only each other's.
    pub(crate) guest_cache: Cache,
    pub(crate) compiler: Compiler,
    /// The keys that must have signed what is compiled, if any are required.
    pub(crate) trusted_keys: Option<TrustedKeys>,
    pub(crate) net: Net<Arc<Process>>,
    /// The descriptors for all processes.
    pub(crate) descriptors: Arc<Stock>,
    /// The concurrent file operations for all processes.
    pub(crate) file_operations: Arc<Permits>,
    pub(crate) hibernation: Hibernation<Wasm>,
    pub(crate) ahead: Ahead<Module, Runner>,
    pub(crate) shortage: Shortage,
    pub(crate) extensions: Extensions,
    /// Values that parts of the host and extensions keep for the runtime.
    pub(crate) states: SharedStates,
    /// Files and terminals of guests, and work that takes long; timers belong to the kernel's clock.
    pub(crate) io: Io,
    /// The CPU time of each worker.
    pub(crate) worker_clocks: Mutex<Vec<Option<ThreadClock>>>,
    /// What is called when a time slice is over.
    pub(crate) at_slice_end: &'static [AtSliceEnd],
    /// Whether a system is being profiled.
    pub(crate) is_profiled: AtomicBool,
}

/// Approximate bytes that a refusal takes up, without its path.
const REFUSAL_SIZE: usize = 128;

/// The kernel of a runtime.
pub type Kernel = lunatic_kernel::Kernel<Wasm>;
/// A process of a runtime.
pub type Process = lunatic_kernel::Process<Wasm>;
/// A system of a runtime.
pub(crate) type System = lunatic_kernel::System<Wasm>;

/// A socket of a process.
pub type Socket = lunatic_net::socket::Socket<Arc<Process>>;

/// What the host keeps for a process.
pub struct Local {
    pub(crate) rights: Arc<Rights>,
    /// The code that it runs, and how it can continue in another version.
    pub(crate) code: Code<Module>,
    /// The trace that it begins in.
    pub(crate) trace: Trace,
    /// Bytes of its linear memory, used or not.
    memory: AtomicUsize,
    /// The addresses that it needs first when it continues.
    pub(crate) places: Places,
    /// Whether someone has asked for its stack.
    asked: AtomicBool,
    /// The charge for its captured values, if they are large.
    captured: Option<Box<Receipt>>,
    /// The last path that it did not get, for an explanation when it fails; with the charge for it.
    refused: Mutex<Option<Box<(Refusal, Receipt)>>>,
}

/// What belongs to a process and is released when it ends.
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

    /// Returns the reactor, which reports which sockets have become ready.
    pub fn reactor(&self) -> &Arc<Reactor<Arc<Process>>> {
        &self.net.reactor
    }
}

impl Local {
    /// The data of a process that begins with `entry`.
    pub(crate) fn new(rights: Arc<Rights>, module: Arc<Module>, entry: &Entry) -> Self {
        Self {
            rights,
            code: Code::new(module, entry.began()),
            trace: None,
            memory: AtomicUsize::new(0),
            places: Places::default(),
            asked: AtomicBool::new(false),
            captured: None,
            refused: Mutex::new(None),
        }
    }

    /// Charges the process for the bytes with which it was spawned, for as long as its record exists.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget does not have enough left.
    pub(crate) fn pay_for(&mut self, captured: usize, kernel: &Kernel) -> Result<(), Exhausted> {
        let purse = Purse::new(self.rights.budget.as_ref(), kernel.kept());
        let mut paid = Receipt::new(purse.to_account(), Resource::Buffers);
        paid.grow(captured)?;
        self.captured = Some(Box::new(paid));
        Ok(())
    }

    /// Remembers a path that the process did not get, if it can pay for that.
    pub(crate) fn remember_refusal(&self, refused: Refusal, purse: Purse<'_>) {
        let mut paid = Receipt::new(purse.to_account(), Resource::Buffers);
        if paid.grow(REFUSAL_SIZE + refused.path.len()).is_ok() {
            *self.refused.lock() = Some(Box::new((refused, paid)));
        }
    }

    /// What the process can reach in the file system, for an explanation of an error.
    pub(crate) fn files(&self, system: &System) -> Files {
        let (own, given) = (&self.rights.wasi, &system.data.wasi);
        Files {
            folders: own.folder_names(),
            is_configured: !Arc::ptr_eq(own, given) && !given.has_no_folder(),
            refused: self.refused.lock().as_ref().map(|kept| kept.0.clone()),
        }
    }

    /// The name of its entry; `None` for a function that its module's table does not have.
    pub(crate) fn entry(&self) -> Option<EntryName> {
        self.code.entry()
    }

    /// Its name after its entry: the type of its actor, or the function.
    pub(crate) fn title(&self) -> String {
        let entry = self.entry().map(|entry| entry.to_string());
        entry.as_deref().map(short).unwrap_or_default().to_owned()
    }

    /// The size of its memory in bytes; 0 until it has run.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Sets the size of its memory in bytes.
    pub(crate) fn set_memory(&self, bytes: usize) {
        self.memory.store(bytes, Ordering::Relaxed);
    }

    /// Whether someone has asked for its stack, and waits for it.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_asked(&self, asked: bool) {
        self.asked.store(asked, Ordering::Relaxed);
    }

    /// Returns the rights and limits of the process.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// Returns the module whose code it runs.
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
