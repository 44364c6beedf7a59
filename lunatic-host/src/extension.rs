//! Extensions: host functions that an embedder adds, and what they keep.
//!
//! An [`Extension`] is a value of the embedder's own. It adds functions to a wasmtime [`Linker`]; each gets the [`Ctx`] of the
//! process that calls it, through [`Caller`](wasmtime::Caller).
//!
//! # Three kinds of functions
//!
//! | it | added with | meanwhile |
//! |---|---|---|
//! | computes | `linker.func_wrap` | its worker does nothing else, so it must be quick: well below a millisecond |
//! | waits | `linker.func_wrap_async`, and [`Ctx::within`] or any future that wakes its waker | the process blocks, its worker goes on |
//! | blocks a thread | `linker.func_wrap_async`, and [`Ctx::spawn_blocking`] | the same |
//!
//! Tokio's timers and sockets work in functions that wait: the host has a runtime of tokio for them.
//!
//! # Where state lives
//!
//! | of | kept in | ends |
//! |---|---|---|
//! | the runtime | the [`Extension`] value itself | with the [`Runtime`](crate::Runtime) |
//! | a system | [`Ctx::system_state`], which [`RunningSystem::state`](crate::RunningSystem::state) finds | with the system |
//! | a process | [`Ctx::state`], one value of each type | when the process ends, however it does, before anybody hears of that |
//! | a process and its descendants | [`Inherited`]: rights, above all | with the last of them |
//!
//! # What a guest may do
//!
//! A host function is called by code that is not trusted. Whatever it passes is to be checked; [`guest_memory`] does so for
//! pointers. A function that returns an error, or panics, ends the process that called it and no other: its links and monitors
//! hear of a trap, or of a [`HostBug`](crate::ExitReason::HostBug).
//!
//! [`guest_memory`]: crate::guest_memory
//!
//! # How a guest declares them
//!
//! As any import. In Rust:
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
//! `examples/embed` is a program that shows all of this.

mod process_ref;
mod waiting;

use std::any::Any;
use std::sync::Arc;

use lunatic_kernel::relations::Intake;
use lunatic_module::imports::Imports;
use wasmtime::Linker;

pub use self::process_ref::ProcessRef;
pub use self::waiting::{Meter, spawn_blocking, spawn_metered};
use crate::engine::{Interface, Link};
use crate::instance::Ctx;
use crate::rights::config::Config;
use crate::states::Inherited;
use crate::system::SystemSetup;
use crate::wasm::Process;

/// Host functions that an embedder adds to a runtime, with [`RuntimeBuilder::extension`](crate::RuntimeBuilder::extension).
///
/// All functions but [`name`](Self::name) and [`link`](Self::link) have a default, that of an extension without rights that
/// keeps to Lunatic's interface.
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
    /// Its name, which no other extension of the runtime has: that of its rights (`NAME:KEY` in a configuration), and in
    /// errors. It has at least one character, and neither `:` nor `=` nor a zero byte.
    fn name(&self) -> &str;

    /// Adds its functions. Called when the first module is loaded, and again for each further way in which modules are
    /// compiled, so it must add the same each time.
    ///
    /// # Errors
    ///
    /// When Lunatic or another extension has a function of this namespace and name already. Then no module can be loaded:
    /// [`LoadError::Link`](crate::LoadError::Link) names the extension and the function.
    fn link(&self, linker: &mut Linker<Ctx>) -> wasmtime::Result<()>;

    /// Whether it is an interface of its own, that takes the place of Lunatic's for some modules, and adds nothing to that of
    /// the others. By default it is not, and adds its functions to Lunatic's.
    fn is_an_interface(&self) -> bool {
        false
    }

    /// Whether a module with these imports is written for the extension's interface: then its functions and those of WASI
    /// are all that the module can import. Only asked of one that [is an interface](Self::is_an_interface).
    fn replaces(&self, _imports: &Imports) -> bool {
        false
    }

    /// A process is made of a module for which the extension [replaces](Self::replaces) Lunatic's interface: `inherited` is
    /// what its parent had. Gives back what takes the place of its mailbox, if anything does.
    fn begins(&self, _inherited: &mut Inherited) -> Option<Box<dyn Intake>> {
        None
    }

    /// A system begins whose main process is of such a module.
    fn starts_system(&self, _setup: &mut SystemSetup<'_>) {}

    /// Narrows its rights for a child that its parent spawns with a configuration. `parent` is what the parent has, `asked`
    /// what the configuration says, and `child` what the child gets: at first the same as the parent.
    ///
    /// What the main process has is [`SystemConfig::inherited`](crate::SystemConfig::inherited). A child without a configuration
    /// has what its parent has.
    ///
    /// The host cannot know what is less: **a child must never get more than its parent**. By convention it gets nothing that
    /// is not asked for, unless the configuration [inherits](Asked::inherits).
    ///
    /// # Errors
    ///
    /// What cannot be understood or had, in words for the parent, which gets them as the text of a denied spawn. By default each
    /// entry is such an error, as the extension has no rights.
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

    /// A process has ended, and nobody has been told yet. What it kept with [`Ctx::state`] is gone already. Called on a worker,
    /// for each process of the runtime: it must be quick, and must not panic.
    fn ended(&self, _process: &Process) {}

    /// A name of a process beside those it is registered under, for crash reports.
    fn name_of(&self, _process: &Process) -> Option<String> {
        None
    }
}

/// What a configuration asks of one extension.
#[derive(Debug)]
pub struct Asked<'a> {
    inherits: bool,
    entries: Vec<(&'a str, &'a str)>,
}

impl<'a> Asked<'a> {
    /// Whether the child is to have what its parent has, but for what the entries say: the configuration has the entry
    /// `inherit`.
    pub fn inherits(&self) -> bool {
        self.inherits
    }

    /// The entries `NAME:KEY=VALUE` as pairs of key and value, in the order in which they were written. A value that is not
    /// there is empty.
    pub fn entries(&self) -> &[(&'a str, &'a str)] {
        &self.entries
    }
}

/// The extensions of a runtime, in the order in which they were added.
pub(crate) struct Extensions(Box<[Arc<dyn Extension>]>);

impl Extensions {
    /// # Errors
    ///
    /// When two have one name, or one has a name that no configuration can say.
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

    /// What makes the functions of each [`Interface`]: first Lunatic's own, made by `core`, with those that extensions add;
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

    /// Narrows the rights of all extensions for a child for which `config` asks.
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
    /// What an extension keeps with the system of the process, made by `make` when it is first asked for. It lives as long as
    /// the system; [`RunningSystem::state`](crate::RunningSystem::state) finds it from outside, also after the end.
    pub fn system_state<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        self.process().system.data.states.get_or_insert_with(make)
    }

    /// What extensions have given to the process or to one that it descends from: rights, above all. See
    /// [`Extension::narrow`].
    pub fn inherited(&self) -> &Inherited {
        &self.process().local.rights.inherited
    }
}
