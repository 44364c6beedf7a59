//! The rights of each process, and the log of denied operations.
//!
//! [`lunatic_rights`] defines which rights there are, how they are written, and how each narrows from parent to child.
//! This module holds the rights of processes, with what belongs to a runtime: a scope of names, open folders and
//! streams, and the budget.
//!
//! | module | purpose |
//! |---|---|
//! | `denial` | the log of denied operations |

pub mod denial;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lunatic_kernel::budget::{Budget, Caps, Receipt};
use lunatic_kernel::registry::Scope;
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::Stock;
use lunatic_rights::narrow::limit;
pub use lunatic_rights::net;
pub use lunatic_rights::{Denied, MAY_ALL, May, config, files};

use self::config::{Config, Limits};
use self::net::Net;
use crate::states::Inherited;
use crate::wasi::Wasi;

/// The default of the most files and folders that a process can have open.
pub(crate) const FILES_MAX: u32 = 1024;

/// How many nested budgets take separate turns.
const TURNS_DEPTH_MAX: usize = 8;

/// The rights and limits of a process. Shared by all processes that were spawned without a configuration.
#[derive(Clone)]
pub struct Rights {
    /// The scope of names.
    pub scope: Arc<Scope>,
    /// The rights that are granted by a word.
    pub may: May,
    /// The largest memory in bytes.
    pub max_memory: usize,
    /// The most messages in the mailbox.
    pub mailbox_max: usize,
    /// The most files and folders that are open at a time.
    pub files_max: u32,
    /// Hosts and ports.
    pub net: Arc<Net>,
    /// Arguments, environment, folders, streams, clocks and random numbers.
    pub wasi: Arc<Wasi>,
    /// The budget that it shares with its descendants.
    pub budget: Option<Arc<Budget>>,
    /// The group with which it shares scarce resources of the host: the processes that were spawned with the same
    /// configuration, and their descendants.
    pub group: Arc<Group>,
    /// The descriptors of all processes, which groups share.
    pub descriptors: Arc<Stock>,
    /// The numbers of its budgets, the outermost first, without the system's own: budgets take turns at scarce
    /// resources. At most `TURNS_DEPTH_MAX`.
    pub turns: Arc<[u64]>,
    /// The approximate number of instructions that it may run in all, if limited.
    pub fuel: Option<u64>,
    /// What extensions have given to it or to an ancestor.
    pub inherited: Inherited,
    /// The charge for these rights to the process that had them made.
    pub paid: Option<Arc<Receipt>>,
}

impl Rights {
    /// Approximate bytes that they take up, without what they share with the parent's.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.wasi.size() + self.net.size()
    }

    /// Returns the rights of a child whose parent has these rights and asks for `config`: never more than these.
    ///
    /// `has_stdin` says whether the parent reads the system's standard input. A budget of the child's own begins to
    /// fill at `now`. The rights of extensions are the same as the parent's.
    pub fn narrowed(&self, config: &Config, has_stdin: bool, now: Instant) -> Result<Self, Denied> {
        let (budget, turns) = match config.budget {
            Some(limits) => {
                let budget = Budget::new(self.budget.clone(), caps(limits), now);
                let budget = budget.map_err(|error| Denied(error.to_string()))?;
                (Some(budget), turns_within(&self.turns))
            }
            None => (self.budget.clone(), self.turns.clone()),
        };
        let group = Group::within(&self.group);
        let wasi = self.wasi.narrowed(config, has_stdin, &self.descriptors, &group)?;
        Ok(Self {
            scope: self.scope.clone(),
            may: config.may_of_child(self.may),
            max_memory: limit(self.max_memory, config.max_memory),
            mailbox_max: limit(self.mailbox_max, config.max_mailbox),
            files_max: limit(self.files_max, config.max_files),
            net: config.net_of_child(&self.net)?,
            wasi: Arc::new(wasi),
            budget,
            group,
            descriptors: self.descriptors.clone(),
            turns,
            fuel: self.fuel,
            inherited: self.inherited.clone(),
            paid: None,
        })
    }
}

/// The turns of processes with a new budget within another, whose turns are `outer`. If that is nested too deeply, they
/// share its turns.
fn turns_within(outer: &Arc<[u64]>) -> Arc<[u64]> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if outer.len() >= TURNS_DEPTH_MAX {
        return outer.clone();
    }
    let new = NEXT.fetch_add(1, Ordering::Relaxed);
    outer.iter().copied().chain([new]).collect()
}

/// The caps of a budget for which a configuration asks.
pub(crate) fn caps(limits: Limits) -> Caps {
    let Limits {
        processes,
        memory,
        sockets,
        cpu,
        cpu_share,
    } = limits;
    Caps {
        processes,
        memory,
        sockets,
        cpu,
        cpu_share,
        messages: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::config::{ClockRight, RandomRight};
    use super::*;
    use crate::wasi::WasiConfig;

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
            group: Group::new(),
            descriptors: Stock::new(100),
            turns: Arc::default(),
            fuel: None,
            inherited: Inherited::default(),
            paid: None,
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
                let child = parent.narrowed(&config, has_stdin, Instant::now()).unwrap();
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
                    child.budget.as_ref().unwrap().charge(lunatic_kernel::budget::Resource::Sockets, 1).unwrap();
                    prop_assert_eq!(above.usage().sockets, before + 1);
                    child.budget.as_ref().unwrap().give_back(lunatic_kernel::budget::Resource::Sockets, 1);
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
            .narrowed(
                &config(Some(ClockRight::Fixed(1)), Some(RandomRight::Seed(1))),
                false,
                Instant::now(),
            )
            .unwrap();
        for (clock, random) in [(None, None), (Some(ClockRight::Real), Some(RandomRight::Real))] {
            let child = fixed.narrowed(&config(clock, random), false, Instant::now()).unwrap();
            assert!(child.wasi.is_fixed());
        }
    }
}
