//! What the kernel's processes are here: instances of WebAssembly, with rights, in systems that have streams and folders.
//!
//! Public for extensions that are part of Lunatic, and not stable: others need [`Ctx`] and [`Process`] at most.

use std::sync::Arc;

use lunatic_kernel::budget::Budget;
use lunatic_module::cache::Cache;
use lunatic_net::Net;
use lunatic_net::process::{SocketHost, Sockets};
use lunatic_net::reactor::Reactor;

use crate::ahead::Ahead;
use crate::engine::Engines;
pub(crate) use crate::entry::Captured;
pub use crate::entry::{Argument, Call, Entry};
use crate::extension::Extensions;
use crate::hibernation::Hibernation;
use crate::instance::{Ctx, Runner};
use crate::io::Io;
use crate::module::Module;
use crate::rights::Rights;
use crate::shortage::Shortage;
use crate::states::SharedStates;

/// What all processes of a runtime share, beside what the kernel has.
pub struct Wasm {
    pub(crate) engines: Engines<Ctx>,
    pub(crate) cache: Cache,
    pub(crate) net: Net<Arc<Process>>,
    pub(crate) hibernation: Hibernation<Wasm>,
    pub(crate) ahead: Ahead<Module, Runner>,
    pub(crate) shortage: Shortage,
    pub(crate) extensions: Extensions,
    /// What parts of the host and extensions keep with the runtime.
    pub(crate) states: SharedStates,
    /// Files and terminals of guests, and work that takes long; timers are the kernel's clock's.
    pub(crate) io: Io,
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
    pub(crate) module: Arc<Module>,
}

/// What belongs to a process and goes when it ends.
#[derive(Default)]
pub struct Belongings {
    pub(crate) sockets: Sockets,
}

impl Wasm {
    /// What tells which sockets have become ready.
    pub fn reactor(&self) -> &Arc<Reactor<Arc<Process>>> {
        &self.net.reactor
    }
}

impl Local {
    /// What the process may do and use.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// The module whose code it runs.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }
}

impl SocketHost for Wasm {
    fn sockets(belongings: &mut Belongings) -> &mut Sockets {
        &mut belongings.sockets
    }

    fn sockets_max(local: &Local) -> u32 {
        local.rights.files_max
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
