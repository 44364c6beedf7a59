//! Spawning with options.

use std::mem::MaybeUninit;
use std::{ptr, slice};

use lunatic_sys::codes::{NAME_LEN_MAX, TAG_SIGNAL, spawn as flag};
use lunatic_sys::layout::SpawnOptions;

use super::{Capture, Entry, Monitor, Process, SpawnError, captured, spawn};
use crate::channel::Message;
use crate::module::Module;
use crate::net::handover;
use crate::node::Node;
use crate::rights::ProcessConfig;

/// The options for spawning a process; see [`Process::builder`].
///
/// All options take effect before the child runs, so a link or monitor never misses an exit of the child, and no
/// process ever sees the child without its name.
///
/// # Examples
///
/// ```no_run
/// use lunatic::Process;
///
/// let clerk = Process::builder()
///     .name("clerk")
///     .max_memory(16 << 20)
///     .link()
///     .spawn(|| { /* … */ })
///     .unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is spawned before `spawn`"]
pub struct Builder {
    name: String,
    flags: u32,
    max_memory: u64,
    mailbox_max: u64,
    config: Option<ProcessConfig>,
    node: Option<Node>,
}

impl Builder {
    /// Registers the child under a name; see [`registry`](crate::registry). The spawn fails if another process has the
    /// name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Links the child to the calling process, as [`Process::link`] does.
    pub fn link(mut self) -> Self {
        self.flags |= flag::LINK;
        self
    }

    /// Makes the child trap exits from the start, as if it first called [`trap_exit`](super::trap_exit).
    pub fn trap_exit(mut self) -> Self {
        self.flags |= flag::TRAP_EXIT;
        self
    }

    /// Gives the child and its descendants a new scope of the [`registry`](crate::registry): they have their own names
    /// and do not see those of other scopes.
    pub fn own_names(mut self) -> Self {
        self.flags |= flag::NEW_SCOPE;
        self
    }

    /// Limits the memory of the child, and of each of its descendants, to this many bytes. The limit is never higher
    /// than the parent's.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = bytes.max(1);
        self
    }

    /// Limits the mailbox of the child, and of each of its descendants, to this many messages. A message to a full
    /// mailbox is refused; notifications about other processes are always accepted. The limit is never higher than the
    /// parent's. By default there is no limit.
    pub fn mailbox_max(mut self, messages: u64) -> Self {
        self.mailbox_max = messages.max(1);
        self
    }

    /// Spawns the child on this node. It has at most the rights that its parent has and that the other node grants, no
    /// folders, and arguments and variables of its parent. Its output goes to where the other node leads it.
    ///
    /// The calling process waits until the child exists, also while the other node fetches and compiles the program for
    /// the first time. A name of the child must be a [global](crate::node::global) one.
    pub fn node(mut self, node: Node) -> Self {
        self.node = Some(node);
        self
    }

    /// Sets the rights and limits of the child and all its descendants. By default the child has the rights of its
    /// parent.
    pub fn config(mut self, config: &ProcessConfig) -> Self {
        self.config = Some(config.clone());
        self
    }

    /// Spawns the process, which calls `entry` and exits when `entry` returns.
    ///
    /// # Errors
    ///
    /// As for [`Process::spawn`]; and [`SpawnError::NameTaken`] or [`SpawnError::BadConfig`].
    ///
    /// # Panics
    ///
    /// If the name has more than 255 bytes.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn<F: Entry + Capture>(&self, entry: F) -> Result<Process, SpawnError> {
        captured::check(&entry);
        self.spawn_raw(&entry, 0).map(|(process, _)| process)
    }

    /// Spawns the process with an argument, as [`Process::spawn_with`] does.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn); and [`SpawnError::Argument`] if the argument cannot be encoded.
    ///
    /// # Panics
    ///
    /// As for [`spawn`](Self::spawn).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_with<A, F>(&self, argument: A, entry: F) -> Result<Process, SpawnError>
    where
        A: Message,
        F: FnOnce(A) + Copy + Send + 'static,
    {
        captured::check(&entry);
        let (captured, message) = spawn::with_argument(&argument, &entry)?;
        if self.elsewhere().is_some() && !message.sockets.is_empty() {
            let text = "a socket cannot be sent to a process of another node";
            return Err(SpawnError::Argument(text.into()));
        }
        let spawn = || self.spawn_bytes(spawn::enter_with::<A, F>, &captured, 0);
        let spawned = handover::deliver_to_child(&message.sockets, spawn, |(process, _)| process.raw());
        spawned.map(|(process, _)| process)
    }

    /// Spawns the process as [`spawn`](Self::spawn) does, and monitors it as [`Process::monitor`] does.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_monitor<F: Entry + Capture>(&self, entry: F) -> Result<(Process, Monitor), SpawnError> {
        captured::check(&entry);
        let (process, reference) = self.spawn_raw(&entry, TAG_SIGNAL)?;
        Ok((process, Monitor { reference, process }))
    }

    /// Spawns a process of another module, which calls the exported function `export`. That function must take no
    /// parameters and return nothing. Pass data to the process as arguments ([`ProcessConfig::arg`]) or as mail: it
    /// finds its parent with [`parent`](super::parent).
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn); and [`SpawnError::BadModule`].
    ///
    /// # Panics
    ///
    /// If `export` is empty, a name has more than 255 bytes, or the host never gave out the module.
    pub fn spawn_export(&self, module: Module, export: &str) -> Result<Process, SpawnError> {
        assert!(
            !export.is_empty() && export.len() <= NAME_LEN_MAX,
            "the name of a function has 1 to {NAME_LEN_MAX} bytes: {export:?}"
        );
        if self.elsewhere().is_some() {
            let text = "a module that was compiled at run time is not known to other nodes";
            return Err(SpawnError::BadConfig(text.into()));
        }
        let options = self.options(0)?;
        match crate::host::spawn_export(module.raw(), export, &options) {
            Ok(Ok(spawned)) => Ok(Process::from_raw(spawned.process)),
            Ok(Err(holder)) => Err(SpawnError::NameTaken(Process::from_raw(holder))),
            Err(refused) => Err(SpawnError::from_refused(refused)),
        }
    }

    /// The same options without the link; `None` if they have no link.
    pub(crate) fn unlinked(&self) -> Option<Self> {
        (self.flags & flag::LINK != 0).then(|| Self {
            flags: self.flags & !flag::LINK,
            ..self.clone()
        })
    }

    /// Spawns the process. Monitors it under `monitor_tag`, unless that is 0.
    pub(crate) fn spawn_raw<F: Capture>(&self, entry: &F, monitor_tag: u64) -> Result<(Process, u64), SpawnError> {
        if size_of::<F>() > lunatic_sys::codes::CAPTURE_LEN_MAX {
            return Err(SpawnError::CaptureTooLarge { len: size_of::<F>() });
        }
        // SAFETY: a value of type `F` is readable for the size of `F`; bytes that may be padding are `MaybeUninit`.
        let captured = unsafe { slice::from_raw_parts(ptr::from_ref(entry).cast::<MaybeUninit<u8>>(), size_of::<F>()) };
        self.spawn_bytes(spawn::enter::<F>, captured, monitor_tag)
    }

    fn spawn_bytes(
        &self,
        entry: extern "C" fn(),
        captured: &[MaybeUninit<u8>],
        monitor_tag: u64,
    ) -> Result<(Process, u64), SpawnError> {
        let options = self.options(monitor_tag)?;
        if let Some(node) = self.elsewhere() {
            let spawned = crate::host::node::spawn(node.number(), entry, captured, &options);
            let spawned = spawned.map_err(SpawnError::from_refused)?;
            return Ok((Process::from_raw(spawned.process), spawned.reference));
        }
        match crate::host::spawn_with(entry, captured, &options) {
            Ok(Ok(spawned)) => Ok((Process::from_raw(spawned.process), spawned.reference)),
            Ok(Err(holder)) => Err(SpawnError::NameTaken(Process::from_raw(holder))),
            Err(refused) => Err(SpawnError::from_refused(refused)),
        }
    }

    /// The node on which to spawn, if it is another one.
    fn elsewhere(&self) -> Option<Node> {
        self.node.filter(|node| *node != Node::this())
    }

    /// The options for the host, which contain pointers into `self`.
    fn options(&self, monitor_tag: u64) -> Result<SpawnOptions, SpawnError> {
        let len = self.name.len();
        assert!(
            len <= NAME_LEN_MAX,
            "the name of a process has at most {NAME_LEN_MAX} bytes, not {len}: {}",
            self.name
        );
        let monitors = if monitor_tag == 0 { 0 } else { flag::MONITOR };
        let config = self.config.as_ref().map_or(Ok(""), ProcessConfig::entries)?;
        Ok(SpawnOptions {
            flags: self.flags | monitors,
            name_len: len as u32,
            name: self.name.as_ptr().addr() as u64,
            max_memory: self.max_memory,
            mailbox_max: self.mailbox_max,
            monitor_tag,
            config: config.as_ptr().addr() as u64,
            config_len: config.len() as u32,
            reserved: 0,
        })
    }
}
