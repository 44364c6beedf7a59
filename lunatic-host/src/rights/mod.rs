//! Rights: what a process may do and use.
//!
//! The main process has what the command line says. A child has its parent's rights, or less: a spawn can come with a
//! configuration, of which the child gets what its parent has, too. This is decided when the configuration
//! is used, and whatever a guest writes into one, the result is an intersection.
//!
//! | module | what it is about |
//! |---|---|
//! | `config` | what a spawn asks for |
//! | `files` | folders, and folders in folders |
//! | [`net`] | rules for hosts and ports |
//! | [`budget`] | what a process and its descendants may use together |
//! | `denial` | the log of what was denied |

pub mod budget;
pub(crate) mod config;
pub(crate) mod denial;
pub(crate) mod files;
pub mod net;

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};
use std::sync::Arc;

use self::budget::Budget;
use self::config::Config;
use self::net::Net;
use crate::process::registry::Scope;
use crate::wasi::Wasi;

/// Things that are allowed or not. A set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct May(u8);

/// All of them.
pub(crate) const MAY_ALL: May = May(7);

impl May {
    /// Spawn processes.
    pub(crate) const SPAWN: Self = Self(1);
    /// Spawn processes with other rights than its own.
    pub(crate) const CONFIGURE: Self = Self(2);
    /// Register names and join groups.
    pub(crate) const NAMES: Self = Self(4);

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for May {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for May {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for May {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for May {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0 & MAY_ALL.0)
    }
}

/// The most files and folders a process can have open, if nothing else is said.
pub(crate) const FILES_MAX: u32 = 1024;

/// What a process may do and use. Shared by all that were spawned without a configuration.
#[derive(Clone)]
pub(crate) struct Rights {
    /// The names that it sees.
    pub(crate) scope: Arc<Scope>,
    pub(crate) may: May,
    /// The largest memory, in bytes.
    pub(crate) max_memory: usize,
    /// The largest number of messages in the mailbox.
    pub(crate) mailbox_max: usize,
    /// The most files and folders that it opens.
    pub(crate) files_max: u32,
    pub(crate) net: Arc<Net>,
    /// Arguments, environment, folders, streams, clocks and random numbers.
    pub(crate) wasi: Arc<Wasi>,
    pub(crate) budget: Option<Arc<Budget>>,
}

/// A configuration asks for what cannot be had at all.
#[derive(Debug)]
pub(crate) struct Denied(pub(crate) String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rights {
    /// The rights of a child for which its parent, who has these rights, asks for `config`: never more than these.
    ///
    /// `has_stdin` tells whether the parent reads the system's standard input.
    pub(crate) fn narrowed(&self, config: &Config, has_stdin: bool) -> Result<Self, Denied> {
        let base = if config.inherit { MAY_ALL } else { config.allow };
        let net = match &config.net {
            Some(rules) => Net::narrowed(&self.net, rules.clone()),
            None if config.inherit => self.net.clone(),
            None => Arc::default(),
        };
        let budget = match config.budget {
            Some(caps) => Some(Budget::new(self.budget.clone(), caps)),
            None => self.budget.clone(),
        };
        Ok(Self {
            scope: self.scope.clone(),
            may: self.may & base & !config.deny,
            max_memory: self.max_memory.min(config.max_memory.unwrap_or(usize::MAX)),
            mailbox_max: self.mailbox_max.min(config.max_mailbox.unwrap_or(usize::MAX)),
            files_max: self.files_max.min(config.max_files.unwrap_or(u32::MAX)),
            net,
            wasi: Arc::new(self.wasi.narrowed(config, has_stdin)?),
            budget,
        })
    }
}
