//! Extensions: host functions that an embedder adds, and their state.
//!
//! An [`Extension`] is a value of the embedder. It adds functions to a wasmtime [`Linker`]; through
//! [`Caller`](wasmtime::Caller), each function gets the [`Ctx`] of the process that calls it.
//!
//! # Three kinds of functions
//!
//! | a function that | is added with | meanwhile |
//! |---|---|---|
//! | computes | `linker.func_wrap` | its worker is busy, so it must be quick: well below a millisecond |
//! | waits | `linker.func_wrap_async`, with [`Ctx::within`] or any future that wakes its waker | the process blocks, and its worker runs others |
//! | blocks a thread | `linker.func_wrap_async`, with [`Ctx::spawn_blocking`] | the process blocks, and its worker runs others |
//!
//! Functions that wait can use timers and sockets of tokio: the host has a tokio runtime for them.
//!
//! # Where state lives
//!
//! | state of | is kept in | lives until |
//! |---|---|---|
//! | the runtime | the [`Extension`] value itself | the [`Runtime`](crate::Runtime) is dropped |
//! | a system | [`Ctx::system_state`]; [`RunningSystem::state`](crate::RunningSystem::state) finds it from outside | the system is dropped |
//! | a process | [`Ctx::state`], one value of each type | the process ends, in any way; dropped before anyone is notified of the end |
//! | a process and its descendants | [`Inherited`], above all for rights | the last of them ends |
//!
//! # What a guest may do
//!
//! Host functions are called by code that is not trusted, so they must check all arguments; [`guest_memory`] does this
//! for pointers. A function that returns an error or panics ends the process that called it, and no other. Links and
//! monitors of that process see a trap, or a [`HostBug`](crate::ExitReason::HostBug).
//!
//! [`guest_memory`]: crate::guest_memory
//!
//! # How a guest declares them
//!
//! Like any import. In Rust:
//!
//! ```ignore
//! #[link(wasm_import_module = "desk")]
//! unsafe extern "C" {
//!     safe fn add(one: i32, other: i32) -> i32;
//!     /// # Safety
//!     ///
//!     /// `to` can be written to, `capacity` bytes long.
//!     unsafe fn ask(question: *const u8, len: usize, to: *mut u8, capacity: usize, timeout_ms: u32) -> i32;
//! }
//! ```
//!
//! `examples/embed` is a complete program.

mod process_ref;
mod waiting;

use std::any::Any;
use std::sync::Arc;

use lunatic_kernel::relations::Intake;
use lunatic_module::imports::Imports;
use wasmtime::Linker;

pub use self::process_ref::ProcessRef;
pub(crate) use self::waiting::Threads;
pub use self::waiting::{Meter, spawn_blocking, spawn_metered};
use crate::engine::{Interface, Link};
use crate::instance::Ctx;
use crate::rights::config::Config;
use crate::states::Inherited;
use crate::system::SystemSetup;
use crate::wasm::Process;

/// Host functions that an embedder adds to a runtime, with
/// [`RuntimeBuilder::extension`](crate::RuntimeBuilder::extension).
///
/// All functions but [`name`](Self::name) and [`link`](Self::link) have defaults, which suit an extension that has no
/// rights and adds functions to Lunatic's own interface.
///
/// # Examples
///
/// ```
/// use lunatic_host::wasmtime::{Caller, Linker, Result};
/// use lunatic_host::{Ctx, Extension};
///
/// /// Counts the calls of each process.
/// struct Counter;
///
/// /// What it keeps with a process.
/// #[derive(Default)]
/// struct Calls(u32);
///
/// impl Extension for Counter {
///     fn name(&self) -> &str {
///         "counter"
///     }
///
///     fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
///         linker.func_wrap("counter", "next", |mut caller: Caller<'_, Ctx>| {
///             let Calls(calls) = caller.data_mut().state(Calls::default);
///             *calls += 1;
///             *calls
///         })?;
///         Ok(())
///     }
/// }
/// ```
pub trait Extension: Send + Sync + 'static {
    /// The name of the extension, which is unique in the runtime. It prefixes the extension's rights (`NAME:KEY` in a
    /// configuration) and appears in errors. It has at least one character, and contains no `:`, no `=` and no zero
    /// byte.
    fn name(&self) -> &str;

    /// Adds its functions. Called when the first module is loaded, and again for each further way in which modules are
    /// compiled; it must add the same functions each time.
    ///
    /// # Errors
    ///
    /// If Lunatic or another extension already has a function with this namespace and name. Then no module can be
    /// loaded: [`LoadError::Link`](crate::LoadError::Link) names the extension and the function.
    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()>;

    /// Whether the extension is an interface of its own, which replaces Lunatic's interface for some modules and adds
    /// nothing for the others. By default it is not, and adds its functions to Lunatic's interface.
    fn is_an_interface(&self) -> bool {
        false
    }

    /// Whether a module with these imports is written for the extension's interface. Such a module can import only the
    /// functions of the extension and of WASI. Only called if the extension [is an interface](Self::is_an_interface).
    fn replaces(&self, _imports: &Imports) -> bool {
        false
    }

    /// Called for a new process of a module for which the extension [replaces](Self::replaces) Lunatic's interface.
    /// `inherited` holds what its parent had. Returns a replacement for the process's mailbox, if it needs one.
    fn begins(&self, _inherited: &mut Inherited) -> Option<Box<dyn Intake>> {
        None
    }

    /// Called for a new system whose main process runs such a module.
    fn starts_system(&self, _setup: &mut SystemSetup<'_>) {}

    /// Narrows the rights of a child that its parent spawns with a configuration. `parent` holds the rights of the
    /// parent, `asked` the configuration, and `child` the rights of the child, which start as a copy of the parent's.
    ///
    /// The main process has the rights of [`SystemConfig::inherited`](crate::SystemConfig::inherited). A child that is
    /// spawned without a configuration has the rights of its parent.
    ///
    /// The host cannot compare rights of extensions: **a child must never get more than its parent**. By convention, it
    /// gets only what the configuration asks for, unless the configuration [inherits](Asked::inherits).
    ///
    /// # Errors
    ///
    /// If the request is not understood or cannot be granted: a message for the parent, which becomes the text of a
    /// denied spawn. By default each entry is such an error, because the extension has no rights.
    ///
    /// # Examples
    ///
    /// A right with a limit, `counter:max=NUMBER`:
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use lunatic_host::Inherited;
    /// use lunatic_host::extension::Asked;
    ///
    /// /// How far a process may count.
    /// struct Max(u32);
    ///
    /// fn narrow(parent: &Inherited, asked: &Asked<'_>, child: &mut Inherited) -> Result<(), String> {
    ///     let own = parent.get::<Max>().map_or(0, |max| max.0);
    ///     let mut max = if asked.inherits() { own } else { 0 };
    ///     for (key, value) in asked.entries() {
    ///         if *key != "max" {
    ///             return Err(format!("`counter` has no right `{key}`: it has `max`"));
    ///         }
    ///         let wanted = value.parse::<u32>();
    ///         max = wanted.map_err(|_| format!("`counter:max={value}` needs a whole number"))?.min(own);
    ///     }
    ///     child.set(Arc::new(Max(max)));
    ///     Ok(())
    /// }
    /// ```
    fn narrow(&self, _parent: &Inherited, asked: &Asked<'_>, _child: &mut Inherited) -> Result<(), String> {
        match asked.entries().first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("the extension `{}` has no right `{key}`", self.name())),
        }
    }

    /// Called when a process has ended, before anyone is notified. Its values of [`Ctx::state`] have already been
    /// dropped. Called on a worker, for each process of the runtime, so it must be quick and must not panic.
    fn ended(&self, _process: &Process) {}

    /// Returns a name of the process in addition to its registered names, for crash reports.
    fn name_of(&self, _process: &Process) -> Option<String> {
        None
    }
}

/// The part of a configuration that concerns one extension.
#[derive(Debug)]
pub struct Asked<'a> {
    inherits: bool,
    entries: Vec<(&'a str, &'a str)>,
}

impl<'a> Asked<'a> {
    /// Whether the child gets what its parent has, apart from the entries: the configuration contains the entry
    /// `inherit`.
    pub fn inherits(&self) -> bool {
        self.inherits
    }

    /// The entries `NAME:KEY=VALUE` as pairs of key and value, in the order in which they were written. A missing value
    /// is empty.
    pub fn entries(&self) -> &[(&'a str, &'a str)] {
        &self.entries
    }
}

/// The extensions of a runtime, in the order in which they were added.
pub(crate) struct Extensions(Box<[Arc<dyn Extension>]>);

impl Extensions {
    /// # Errors
    ///
    /// If two extensions have the same name, or one has a name that cannot be written in a configuration.
    pub(crate) fn new(extensions: Vec<Arc<dyn Extension>>) -> anyhow::Result<Self> {
        for (at, extension) in extensions.iter().enumerate() {
            let name = extension.name();
            if name.is_empty() || name.contains([':', '=', '\0']) {
                anyhow::bail!(
                    "an extension cannot be called `{}`: see `Extension::name`",
                    name.escape_debug()
                );
            }
            if extensions[..at].iter().any(|other| other.name() == name) {
                anyhow::bail!("two extensions are called `{name}`: add one of them only, or rename one");
            }
        }
        Ok(Self(extensions.into()))
    }

    /// Defines the functions of each [`Interface`]: first Lunatic's own, made by `core` and extended by extensions;
    /// then one for each extension that may replace it.
    pub(crate) fn links(
        &self,
        core: fn(&mut Linker<Ctx>) -> wasmtime::Result<()>,
        wasi: fn(&mut Linker<Ctx>) -> wasmtime::Result<()>,
    ) -> Vec<Link<Ctx>> {
        let all = self.0.to_vec();
        let own: Link<Ctx> = Box::new(move |linker| {
            core(linker)?;
            let mut adding = all.iter().filter(|extension| !extension.is_an_interface());
            adding.try_for_each(|extension| link(extension, linker))
        });
        let replacing = self.0.iter().cloned().map(|extension| -> Link<Ctx> {
            Box::new(move |linker| {
                link(&extension, linker)?;
                wasi(linker)
            })
        });
        std::iter::once(own).chain(replacing).collect()
    }

    /// The interface that a module with these imports is written for.
    pub(crate) fn interface_of(&self, imports: &Imports) -> Interface {
        let place = self
            .0
            .iter()
            .position(|extension| extension.is_an_interface() && extension.replaces(imports));
        place.map_or(Interface::default(), |place| Interface(place + 1))
    }

    /// The extension whose interface this is; `None` for Lunatic's own.
    pub(crate) fn of(&self, interface: Interface) -> Option<&Arc<dyn Extension>> {
        self.0.get(interface.0.checked_sub(1)?)
    }

    /// Narrows the rights of all extensions for a child that is spawned with `config`.
    pub(crate) fn narrow(&self, parent: &Inherited, config: &Config) -> Result<Inherited, String> {
        let mut child = parent.clone();
        for extension in &self.0 {
            let asked = Asked {
                inherits: config.inherit,
                entries: config.of_extension(extension.name()).collect(),
            };
            extension.narrow(parent, &asked, &mut child)?;
        }
        Ok(child)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|extension| extension.name()).collect()
    }

    pub(crate) fn ended(&self, process: &Process) {
        self.0.iter().for_each(|extension| extension.ended(process));
    }

    pub(crate) fn name_of(&self, process: &Process) -> Option<String> {
        self.0.iter().find_map(|extension| extension.name_of(process))
    }
}

/// Adds the functions of one extension; errors name it.
fn link(extension: &Arc<dyn Extension>, linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let added = extension.link(linker);
    added.map_err(|error| error.context(format!("the extension `{}`", extension.name())))
}

impl Ctx {
    /// Returns the value that an extension keeps for the system of the process; `make` makes it on first use. It lives
    /// as long as the system; [`RunningSystem::state`](crate::RunningSystem::state) finds it from outside, even after
    /// the end.
    pub fn system_state<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        self.process().system.data.states.get_or_insert_with(make)
    }

    /// Returns what extensions have given to the process or to one of its ancestors, above all rights. See
    /// [`Extension::narrow`].
    pub fn inherited(&self) -> &Inherited {
        &self.process().local.rights.inherited
    }
}
