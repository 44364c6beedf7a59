//! The table of all rights: the only place where each of them is spelled.
//!
//! A row says how a right is written in a configuration, on the command line and in `lunatic.toml`, which methods of
//! the SDK's `ProcessConfig` write it, what a child has that does not ask for it, and how it narrows. Configurations
//! are parsed with these rows, the host's flags take their help from them, and `lunatic::rights::allows` its questions.
//! Tests compare with the table what cannot be generated from it: the SDK's methods, which are guest code, the names of
//! flags and of keys in `lunatic.toml`, `docs/abi.md` and `docs/security.md`.
//!
//! A new right is a row here, a field of [`Config`], and a function of [`crate::narrow`] if it narrows in a new way.

use std::time::Duration;

use crate::May;
use crate::config::{ClockRight, Config, RandomRight, Stream, Variable};
use crate::flags::Dir;
use crate::net::Rule;

/// A right.
#[derive(Debug, Clone, Copy)]
pub struct Right {
    /// Its name in `docs/security.md`.
    pub name: &'static str,
    /// How a configuration asks for it.
    pub asked: Asked,
    /// How the user grants it to the main process, if there is a flag for it.
    pub flag: Option<Flag>,
    /// What a child has if its configuration neither mentions the right nor inherits.
    pub unasked: Unasked,
    /// How a child's part follows from its parent's.
    pub narrows: Narrows,
}

/// How a configuration asks for a right.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// With entries of its own.
    Entries(&'static [Entry]),
    /// With `allow=WORD`; `deny=WORD` takes it away. `lunatic::rights::allows` accepts the word as a question.
    Word(&'static str, May),
}

/// A kind of entry in a configuration: `KEY` or `KEY=VALUE`.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The part before the `=`.
    pub key: &'static str,
    /// The forms of the part after the `=`, as `docs/abi.md` writes them; empty for an entry without a value.
    pub forms: &'static [&'static str],
    /// The methods of the SDK's `ProcessConfig` that write such an entry.
    pub calls: &'static [&'static str],
    /// How the value is parsed, and where it is stored.
    pub value: Value,
}

/// How the value of an entry is parsed, and where it is stored in a configuration.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// The entry has no value.
    Nothing(fn(&mut Config)),
    /// A folder: `PATH::GUEST[:ro]`.
    Folder(fn(&mut Config, Dir)),
    /// A variable: `NAME=VALUE` or `NAME`.
    Variable(fn(&mut Config, Variable)),
    /// Any text.
    Text(fn(&mut Config, String)),
    /// A rule for the network.
    Rule(fn(&mut Config, Rule)),
    /// `inherit` or `discard`.
    Input(fn(&mut Config, Stream)),
    /// `inherit`, `discard` or `capture`.
    Output(fn(&mut Config, Stream)),
    /// A whole number that is the start of a reproducible sequence; or `real`, which is `None`.
    Start(fn(&mut Config, Option<u64>)),
    /// Bytes, with an optional unit.
    Size(fn(&mut Config, usize)),
    /// A whole number.
    Number(fn(&mut Config, u64)),
    /// A share of one core, in percent.
    Percent(fn(&mut Config, u32)),
    /// One of the rights that are granted by a word, or all of them.
    Word(fn(&mut Config, May)),
}

/// A flag of the command line. `lunatic.toml` has a key of the same name.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The flag without its dashes.
    pub name: &'static str,
    /// The name of its value.
    pub value: &'static str,
    /// The help text.
    pub help: &'static str,
}

/// What a child has if its configuration neither mentions a right nor inherits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// Nothing.
    Nothing,
    /// As much as its parent.
    Parents,
}

/// How a child's part of a right follows from its parent's and from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrows {
    /// Each requested folder must lie in one of the parent's; otherwise the spawn is denied:
    /// [`Config::folders_of_child`].
    Inside,
    /// The child has what the configuration asks for *and* the parent has: [`Config::net_of_child`],
    /// [`Config::may_of_child`].
    Common,
    /// The parent chooses the words freely, because they give access to nothing: [`Config::args_of_child`],
    /// [`Config::env_of_child`].
    Free,
    /// A stream leads to where the parent's leads, if the parent has it; or nowhere; or to the parent.
    Given,
    /// A source that is fixed for the parent stays fixed for the child: [`ClockRight::narrowed`],
    /// [`RandomRight::narrowed`].
    Fixed,
    /// The lower of the parent's limit and the requested one: [`limit`](crate::narrow::limit).
    Lower,
    /// A budget within the parent's: use is charged to both.
    Charged,
}

/// Entries that concern more than one right.
pub const GENERAL: &[Entry] = &[
    Entry {
        key: "inherit",
        forms: &[],
        calls: &["inherit"],
        value: Value::Nothing(|config| config.inherit = true),
    },
    Entry {
        key: "allow",
        forms: &["WHAT"],
        calls: &["allow"],
        value: Value::Word(|config, may| config.allow |= may),
    },
    Entry {
        key: "deny",
        forms: &["WHAT"],
        calls: &["deny"],
        value: Value::Word(|config, may| config.deny |= may),
    },
];

/// The word for all rights that are granted by a word.
pub const ALL: &str = "all";

/// All rights, in the order of `docs/security.md`.
pub const RIGHTS: &[Right] = &[
    FILES,
    ENVIRONMENT,
    ARGUMENTS,
    STDIN,
    STDOUT,
    STDERR,
    NETWORK,
    TREE_SOCKETS,
    CLOCKS,
    RANDOM,
    SPAWN,
    CONFIGURE,
    NAMES,
    COMPILE,
    INSPECT,
    METRICS,
    TRACE,
    UPGRADE,
    NODES,
    MEMORY,
    OPEN_FILES,
    MAILBOX,
    TREE_MEMORY,
    TREE_PROCESSES,
    TREE_TIME,
    TREE_SHARE,
    TREE_USE,
];

/// Folders, with everything in them.
pub const FILES: Right = Right {
    name: "files",
    asked: Asked::Entries(&[
        Entry {
            key: "dir",
            forms: &["PATH::GUEST[:ro]"],
            calls: &["dir", "dir_read_only"],
            value: Value::Folder(|config, dir| config.dirs.get_or_insert_default().push(dir)),
        },
        Entry {
            key: "no-dirs",
            forms: &[],
            calls: &["no_dirs"],
            value: Value::Nothing(|config| _ = config.dirs.get_or_insert_default()),
        },
    ]),
    flag: Some(Flag {
        name: "dir",
        value: "HOST[::GUEST][:ro]",
        help: "Give the program access to a folder: HOST, or HOST::GUEST to rename it inside; `:ro` makes it read-only",
    }),
    unasked: Unasked::Nothing,
    narrows: Narrows::Inside,
};

/// Environment variables.
pub const ENVIRONMENT: Right = Right {
    name: "environment",
    asked: Asked::Entries(&[
        Entry {
            key: "env",
            forms: &["NAME=VALUE", "NAME"],
            calls: &["env", "pass_env"],
            value: Value::Variable(|config, variable| config.env.get_or_insert_default().push(variable)),
        },
        Entry {
            key: "no-env",
            forms: &[],
            calls: &["no_env"],
            value: Value::Nothing(|config| _ = config.env.get_or_insert_default()),
        },
    ]),
    flag: Some(Flag {
        name: "env",
        value: "NAME[=VALUE]",
        help: "Set an environment variable of the program, or pass on your own",
    }),
    unasked: Unasked::Nothing,
    narrows: Narrows::Free,
};

/// Arguments.
pub const ARGUMENTS: Right = Right {
    name: "arguments",
    asked: Asked::Entries(&[Entry {
        key: "arg",
        forms: &["TEXT"],
        calls: &["arg"],
        value: Value::Text(|config, text| config.args.get_or_insert_default().push(text)),
    }]),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Free,
};

/// Standard input.
pub const STDIN: Right = Right {
    name: "standard input",
    asked: Asked::Entries(&[Entry {
        key: "stdin",
        forms: &["inherit"],
        calls: &["stdin"],
        value: Value::Input(|config, stream| config.stdin = Some(stream)),
    }]),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Given,
};

/// Standard output.
pub const STDOUT: Right = Right {
    name: "standard output",
    asked: Asked::Entries(&[Entry {
        key: "stdout",
        forms: &["discard", "capture"],
        calls: &["discard_stdout", "capture_stdout"],
        value: Value::Output(|config, stream| config.stdout = Some(stream)),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Given,
};

/// Standard error.
pub const STDERR: Right = Right {
    name: "standard error",
    asked: Asked::Entries(&[Entry {
        key: "stderr",
        forms: &["discard", "capture"],
        calls: &["discard_stderr", "capture_stderr"],
        value: Value::Output(|config, stream| config.stderr = Some(stream)),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Given,
};

/// Hosts and ports.
pub const NETWORK: Right = Right {
    name: "connect, bind, look up",
    asked: Asked::Entries(&[
        Entry {
            key: "net",
            forms: &["RULE"],
            calls: &["allow_net"],
            value: Value::Rule(|config, rule| config.net.get_or_insert_default().push(rule)),
        },
        Entry {
            key: "no-net",
            forms: &[],
            calls: &["no_net"],
            value: Value::Nothing(|config| _ = config.net.get_or_insert_default()),
        },
    ]),
    flag: Some(Flag {
        name: "allow-net",
        value: "RULE",
        help: "Let the program connect to HOST, HOST:PORT, 10.0.0.0/8:8000-8099 or *.example.com:443; with `bind:` \
               before it, listen there; with `resolve:`, look it up; '*' allows everything",
    }),
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Sockets of a process and its descendants.
pub const TREE_SOCKETS: Right = Right {
    name: "sockets of a subtree",
    asked: Asked::Entries(&[Entry {
        key: "tree-sockets",
        forms: &["N"],
        calls: &["tree_sockets"],
        value: Value::Number(|config, sockets| config.limits().sockets = Some(sockets)),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Charged,
};

/// The time that clocks show.
pub const CLOCKS: Right = Right {
    name: "clocks",
    asked: Asked::Entries(&[Entry {
        key: "clock",
        forms: &["NS"],
        calls: &["fixed_clock"],
        value: Value::Start(|config, ns| config.clock = Some(ns.map_or(ClockRight::Real, ClockRight::Fixed))),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Fixed,
};

/// The source of random numbers.
pub const RANDOM: Right = Right {
    name: "random numbers",
    asked: Asked::Entries(&[Entry {
        key: "random",
        forms: &["SEED"],
        calls: &["random_seed"],
        value: Value::Start(|config, seed| config.random = Some(seed.map_or(RandomRight::Real, RandomRight::Seed))),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Fixed,
};

/// Spawning processes.
pub const SPAWN: Right = Right {
    name: "spawn",
    asked: Asked::Word("spawn", May::SPAWN),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Spawning processes with a configuration.
pub const CONFIGURE: Right = Right {
    name: "configure children",
    asked: Asked::Word("configure", May::CONFIGURE),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Registering names and joining groups.
pub const NAMES: Right = Right {
    name: "register names",
    asked: Asked::Word("names", May::NAMES),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Compiling modules.
pub const COMPILE: Right = Right {
    name: "compile modules",
    asked: Asked::Word("compile", May::COMPILE),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Inspecting other processes.
pub const INSPECT: Right = Right {
    name: "inspect processes",
    asked: Asked::Word("inspect", May::INSPECT),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Counting metrics.
pub const METRICS: Right = Right {
    name: "count metrics",
    asked: Asked::Word("metrics", May::METRICS),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Opening spans, and setting the trace that the process works for.
pub const TRACE: Right = Right {
    name: "trace",
    asked: Asked::Word("trace", May::TRACE),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Upgrading processes to another version of their code.
pub const UPGRADE: Right = Right {
    name: "upgrade",
    asked: Asked::Word("upgrade", May::UPGRADE),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Using other nodes of the cluster.
pub const NODES: Right = Right {
    name: "use other nodes",
    asked: Asked::Word("nodes", May::NODES),
    flag: None,
    unasked: Unasked::Nothing,
    narrows: Narrows::Common,
};

/// Memory of one process.
pub const MEMORY: Right = Right {
    name: "memory of a process",
    asked: Asked::Entries(&[Entry {
        key: "max-memory",
        forms: &["SIZE"],
        calls: &["max_memory"],
        value: Value::Size(|config, bytes| config.max_memory = Some(bytes)),
    }]),
    flag: Some(Flag {
        name: "max-memory",
        value: "SIZE",
        help: "Largest memory of one process, such as 64M or 2G [default: 1G]",
    }),
    unasked: Unasked::Parents,
    narrows: Narrows::Lower,
};

/// Files and sockets that one process has open.
pub const OPEN_FILES: Right = Right {
    name: "open files of a process, and its sockets, each",
    asked: Asked::Entries(&[Entry {
        key: "max-files",
        forms: &["N"],
        calls: &["max_files"],
        value: Value::Number(|config, files| config.max_files = Some(files.try_into().unwrap_or(u32::MAX))),
    }]),
    flag: Some(Flag {
        name: "max-files",
        value: "N",
        help: "Largest number of files and folders, and of sockets, that one process has open at a time [default: 1024]",
    }),
    unasked: Unasked::Parents,
    narrows: Narrows::Lower,
};

/// Messages in the mailbox of one process.
pub const MAILBOX: Right = Right {
    name: "mailbox of a process",
    asked: Asked::Entries(&[Entry {
        key: "max-mailbox",
        forms: &["N"],
        calls: &["max_mailbox"],
        value: Value::Number(|config, messages| config.max_mailbox = Some(messages as usize)),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Lower,
};

/// Memory of a process and its descendants.
pub const TREE_MEMORY: Right = Right {
    name: "memory of a subtree",
    asked: Asked::Entries(&[Entry {
        key: "tree-memory",
        forms: &["SIZE"],
        calls: &["tree_memory"],
        value: Value::Size(|config, bytes| config.limits().memory = Some(bytes as u64)),
    }]),
    flag: Some(Flag {
        name: "max-total-memory",
        value: "SIZE",
        help: "Largest memory of all processes together, such as 4G [default: three quarters of the machine's memory]",
    }),
    unasked: Unasked::Parents,
    narrows: Narrows::Charged,
};

/// The number of living processes among a process and its descendants.
pub const TREE_PROCESSES: Right = Right {
    name: "processes of a subtree",
    asked: Asked::Entries(&[Entry {
        key: "tree-processes",
        forms: &["N"],
        calls: &["tree_processes"],
        value: Value::Number(|config, processes| config.limits().processes = Some(processes)),
    }]),
    flag: Some(Flag {
        name: "max-processes",
        value: "N",
        help: "Largest number of processes that are alive at a time [default: 16777216]",
    }),
    unasked: Unasked::Parents,
    narrows: Narrows::Charged,
};

/// Total CPU time of a process and its descendants.
pub const TREE_TIME: Right = Right {
    name: "time of a subtree",
    asked: Asked::Entries(&[Entry {
        key: "tree-cpu-ms",
        forms: &["N"],
        calls: &["cpu_time"],
        value: Value::Number(|config, ms| config.limits().cpu = Some(Duration::from_millis(ms))),
    }]),
    flag: Some(Flag {
        name: "max-cpu",
        value: "SECONDS",
        help: "Largest CPU time of all processes together, in seconds; when it is used up, processes that compute end [default: no limit]",
    }),
    unasked: Unasked::Parents,
    narrows: Narrows::Charged,
};

/// The share of one core that a process and its descendants use.
pub const TREE_SHARE: Right = Right {
    name: "share of a core of a subtree",
    asked: Asked::Entries(&[Entry {
        key: "cpu-share",
        forms: &["PERCENT"],
        calls: &["cpu_share"],
        value: Value::Percent(|config, percent| config.limits().cpu_share = Some(percent)),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Charged,
};

/// Measuring the use of a process and its descendants.
pub const TREE_USE: Right = Right {
    name: "use of a subtree",
    asked: Asked::Entries(&[Entry {
        key: "measured",
        forms: &[],
        calls: &["measured"],
        value: Value::Nothing(|config| _ = config.limits()),
    }]),
    flag: None,
    unasked: Unasked::Parents,
    narrows: Narrows::Charged,
};

impl Right {
    /// Returns the entries that concern only this right.
    pub fn entries(&self) -> &'static [Entry] {
        match self.asked {
            Asked::Entries(entries) => entries,
            Asked::Word(..) => &[],
        }
    }

    /// Returns its word for `allow` and `deny`.
    pub fn word(&self) -> Option<&'static str> {
        match self.asked {
            Asked::Entries(_) => None,
            Asked::Word(word, _) => Some(word),
        }
    }

    /// Returns the name of its flag's value.
    ///
    /// # Panics
    ///
    /// If it has no flag: code that declares flags refers only to rights that have one.
    pub const fn value_name(&self) -> &'static str {
        self.flag.expect("the right has a flag").value
    }

    /// Returns the help of its flag.
    ///
    /// # Panics
    ///
    /// As [`Self::value_name`].
    pub const fn help(&self) -> &'static str {
        self.flag.expect("the right has a flag").help
    }

    /// Returns its key in `lunatic.toml`, which is the name of its flag, if it has one.
    pub fn toml(&self) -> Option<&'static str> {
        self.flag.map(|flag| flag.name)
    }
}

/// Returns all kinds of entries; those that concern more than one right come first.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    GENERAL.iter().chain(RIGHTS.iter().flat_map(Right::entries))
}

/// Returns the right of `allow=WORD`, `deny=WORD` and the question `WORD`.
pub fn may(word: &str) -> Option<May> {
    RIGHTS.iter().find_map(|right| match right.asked {
        Asked::Word(own, may) if own == word => Some(may),
        _ => None,
    })
}

/// Returns the words that `allow`, `deny` and questions accept.
pub fn words() -> impl Iterator<Item = &'static str> {
    RIGHTS.iter().filter_map(Right::word)
}

/// Returns the words of the rights in a set.
pub fn words_of(set: May) -> impl Iterator<Item = &'static str> {
    words().filter(move |word| may(word).is_some_and(|may| set.contains(may)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::MAY_ALL;

    #[test]
    fn every_right_is_in_the_table_and_every_name_is_used_once() {
        let declared = include_str!("table.rs").matches(": Right = Right {\n").count();
        assert_eq!(declared, RIGHTS.len(), "a constant is missing in `RIGHTS`");
        let mut names = HashSet::new();
        let keys = entries().map(|entry| entry.key);
        let flags = RIGHTS
            .iter()
            .filter_map(|right| right.flag.map(|flag| ["--", flag.name].concat()));
        for name in keys.chain(words()).map(str::to_owned).chain(flags) {
            assert!(!name.contains([':', '=']), "`{name}` would be an extension's, or cut");
            assert!(names.insert(name.clone()), "`{name}` has two meanings");
        }
    }

    #[test]
    fn words_are_all_that_may_be_allowed() {
        let all = words().fold(May::default(), |all, word| all | may(word).unwrap());
        assert_eq!(all, MAY_ALL);
        assert_eq!((may(ALL), may("dir"), may("")), (None, None, None));
    }
}
