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
use crate::compat::environment::Environment;
use crate::process::registry::Scope;
use crate::wasi::Wasi;

/// Things that are allowed or not. A set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct May(u8);

/// All of them.
pub(crate) const MAY_ALL: May = May(15);

impl May {
    /// Spawn processes.
    pub(crate) const SPAWN: Self = Self(1);
    /// Spawn processes with other rights than its own.
    pub(crate) const CONFIGURE: Self = Self(2);
    /// Register names and join groups.
    pub(crate) const NAMES: Self = Self(4);
    /// Compile modules.
    pub(crate) const COMPILE: Self = Self(8);

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
    /// About how many instructions it may run in all, if that is limited.
    pub(crate) fuel: Option<u64>,
    /// What processes of the interface of Lunatic 0.13 share, if it is one of them or was spawned by one.
    pub(crate) environment: Option<Arc<Environment>>,
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
            fuel: self.fuel,
            environment: self.environment.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::config::{ClockRight, RandomRight};
    use super::*;
    use crate::wasi::WasiConfig;
    use proptest::prelude::*;

    fn root() -> Rights {
        let env = vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())];
        let wasi = WasiConfig {
            env,
            ..WasiConfig::default()
        };
        Rights {
            scope: Arc::default(),
            may: MAY_ALL,
            max_memory: 1 << 30,
            mailbox_max: usize::MAX,
            files_max: FILES_MAX,
            net: Arc::new(Net::new(vec![
                "10.0.0.0/8".parse().unwrap(),
                "bind:127.0.0.1".parse().unwrap(),
            ])),
            wasi: Arc::new(wasi.open().unwrap()),
            budget: None,
            fuel: None,
            environment: None,
        }
    }

    /// Entries of configurations, of which most ask for more than the root has.
    fn entries() -> impl Strategy<Value = Vec<&'static str>> {
        let all = vec![
            "inherit",
            "allow=spawn",
            "allow=configure",
            "allow=names",
            "allow=compile",
            "allow=all",
            "deny=spawn",
            "deny=names",
            "net=*",
            "net=10.1.0.0/16",
            "net=bind:*",
            "no-net",
            "max-memory=1M",
            "max-memory=64G",
            "max-mailbox=5",
            "max-files=7",
            "max-files=100000",
            "stdin=inherit",
            "clock=5",
            "clock=real",
            "random=5",
            "random=real",
            "tree-processes=3",
            "tree-memory=1G",
            "cpu-share=50",
        ];
        prop::collection::vec(prop::sample::select(all), 0..8)
    }

    proptest! {
        /// Down any branch of a tree of configurations, nobody has more than the one above.
        #[test]
        fn no_child_has_more_than_its_parent(path in prop::collection::vec(entries(), 1..6)) {
            let mut parent = root();
            let mut has_stdin = true;
            for entries in path {
                let text: String = entries.iter().map(|entry| format!("{entry}\0")).collect();
                let config = Config::from_bytes(text.as_bytes()).unwrap();
                let child = parent.narrowed(&config, has_stdin).unwrap();
                prop_assert!(parent.may.contains(child.may));
                prop_assert!(child.max_memory <= parent.max_memory);
                prop_assert!(child.mailbox_max <= parent.mailbox_max);
                prop_assert!(child.files_max <= parent.files_max);
                for question in ["connect:10.1.2.3:80", "connect:10.9.9.9:80", "connect:8.8.8.8:80", "bind:127.0.0.1:0", "bind:0.0.0.0:0"] {
                    prop_assert!(parent.net.answers(question) == Some(true) || child.net.answers(question) == Some(false));
                }
                prop_assert!(has_stdin || !child.wasi.has_stdin(false));
                // A cap within a budget charges that, too: here it is seen that the budget above is not left.
                if let Some(above) = &parent.budget {
                    let before = above.usage().sockets;
                    child.budget.as_ref().unwrap().charge(budget::Resource::Sockets, 1).unwrap();
                    prop_assert_eq!(above.usage().sockets, before + 1);
                    child.budget.as_ref().unwrap().give_back(budget::Resource::Sockets, 1);
                }
                has_stdin = child.wasi.has_stdin(false);
                parent = child;
            }
        }
    }

    #[test]
    fn what_is_fixed_stays_so() {
        let config = |clock, random| Config {
            clock,
            random,
            ..Config::default()
        };
        let fixed = root()
            .narrowed(&config(Some(ClockRight::Fixed(1)), Some(RandomRight::Seed(1))), false)
            .unwrap();
        for (clock, random) in [(None, None), (Some(ClockRight::Real), Some(RandomRight::Real))] {
            let child = fixed.narrowed(&config(clock, random), false).unwrap();
            assert!(child.wasi.is_fixed());
        }
    }
}
