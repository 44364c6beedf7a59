//! Derives the rights of a child from those of its parent and from its configuration.
//!
//! There is a function for each way of narrowing. Whatever the configuration says, each gives the child no more than
//! its parent has. The host combines the results, and adds what only it can do: opening streams and charging budgets.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::config::{ClockRight, Config, RandomRight, Variable};
use crate::files::Folder;
use crate::flags::Dir;
use crate::net::{DEPTH_MAX, Net, RULES_MAX};
use crate::{MAY_ALL, May};

/// A configuration asks for something that cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied(pub String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Denied {}

/// Returns the limit of a child: its parent's, or the requested one if that is lower.
pub fn limit<T: Ord>(parent: T, asked: Option<T>) -> T {
    match asked {
        Some(asked) => parent.min(asked),
        None => parent,
    }
}

impl ClockRight {
    /// Returns the clocks of a child. Fixed clocks stay fixed: a process with a fixed clock cannot give a child a real
    /// one.
    #[must_use]
    pub fn narrowed(self, asked: Option<Self>) -> Self {
        match (self, asked) {
            (Self::Real, Some(clock)) => clock,
            (Self::Fixed(_), Some(Self::Fixed(at))) => Self::Fixed(at),
            (own, _) => own,
        }
    }
}

impl RandomRight {
    /// Returns the source of a child's random numbers. As with clocks, a real source cannot be regained.
    #[must_use]
    pub fn narrowed(self, asked: Option<Self>) -> Self {
        match (self, asked) {
            (Self::Real, Some(random)) => random,
            (Self::Seed(_), Some(Self::Seed(seed))) => Self::Seed(seed),
            (own, _) => own,
        }
    }
}

impl Config {
    /// Returns those of the requested rights that the parent has.
    pub fn may_of_child(&self, parent: May) -> May {
        let asked = if self.inherit { MAY_ALL } else { self.allow };
        parent & asked & !self.deny
    }

    /// Returns the network access that its parent's rules *and* its own rules allow.
    ///
    /// # Errors
    ///
    /// [`Denied`] if the child would be subject to more rule sets, or rules, than possible.
    pub fn net_of_child(&self, parent: &Arc<Net>) -> Result<Arc<Net>, Denied> {
        match &self.net {
            Some(rules) => Net::narrowed(parent, rules.clone()).ok_or_else(|| {
                Denied(format!(
                    "network rules can be narrowed at most {DEPTH_MAX} times, and can be at most {RULES_MAX} together"
                ))
            }),
            None if self.inherit => Ok(parent.clone()),
            None => Ok(Arc::default()),
        }
    }

    /// Returns the child's arguments. These are only words and give no access, so any are permitted.
    pub fn args_of_child(&self, parent: &[String]) -> Vec<String> {
        match &self.args {
            Some(args) => args.clone(),
            None if self.inherit => parent.to_vec(),
            None => Vec::new(),
        }
    }

    /// Returns the child's environment variables: with the given value, or with the parent's if the parent has the
    /// variable.
    pub fn env_of_child(&self, parent: &[(String, String)]) -> Vec<(String, String)> {
        let variables = match &self.env {
            Some(variables) => variables,
            None if self.inherit => return parent.to_vec(),
            None => return Vec::new(),
        };
        // There may be thousands of both. Of two variables with one name, the first is found.
        let own = parent.iter().rev();
        let own: HashMap<&str, &str> = own.map(|(name, value)| (&**name, &**value)).collect();
        let mut env: Vec<(String, String)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for variable in variables {
            let (name, value) = match variable {
                Variable::Set(name, value) => (name, &**value),
                Variable::Pass(name) => match own.get(&**name) {
                    Some(value) => (name, *value),
                    None => continue,
                },
            };
            match places.entry(name.as_str()) {
                // The last value of a variable counts.
                Entry::Occupied(place) => env[*place.get()].1 = value.to_owned(),
                Entry::Vacant(place) => {
                    place.insert(env.len());
                    env.push((name.clone(), value.to_owned()));
                }
            }
        }
        env
    }

    /// Returns the child's folders, each opened through one of its parent's; `None` if they are all of the parent's,
    /// unchanged.
    ///
    /// # Errors
    ///
    /// [`Denied`] names the first folder that lies in none of the parent's, or that cannot be opened.
    pub fn folders_of_child(&self, parent: &[Folder]) -> Result<Option<Vec<Folder>>, Denied> {
        let dirs = match &self.dirs {
            Some(dirs) => dirs.as_slice(),
            None if self.inherit => return Ok(None),
            None => &[],
        };
        let mut folders: Vec<Folder> = Vec::with_capacity(dirs.len());
        let mut names = HashSet::new();
        for Dir { host, guest, read_only } in dirs {
            let path = host.to_string_lossy();
            if !names.insert(guest) {
                return Err(Denied(format!("two folders would be called {guest} in the child")));
            }
            let folder = Folder::within(parent, &path, guest.clone(), *read_only)
                .map_err(|error| Denied(format!("the folder {path} cannot be given to a child: {}", why(&error))))?;
            folders.push(folder);
        }
        Ok(Some(folders))
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder".to_owned(),
        io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::CrossesDevices => {
            "it is not in a folder of the parent".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::{RIGHTS, Unasked};

    /// What a parent has of the rights that are plain data.
    struct Held {
        may: May,
        net: Arc<Net>,
        args: Vec<String>,
        env: Vec<(String, String)>,
        folders: Vec<Folder>,
        clock: ClockRight,
        random: RandomRight,
        max_memory: usize,
    }

    fn parent() -> Held {
        Held {
            may: MAY_ALL,
            net: Arc::new(Net::new(vec!["*".parse().unwrap()])),
            args: vec!["x".into()],
            env: vec![("A".into(), "1".into())],
            folders: vec![Folder::open("/".as_ref(), "/".into(), false).unwrap()],
            clock: ClockRight::Fixed(1),
            random: RandomRight::Seed(1),
            max_memory: 10,
        }
    }

    impl Held {
        fn child(&self, config: &Config) -> Self {
            Self {
                may: config.may_of_child(self.may),
                net: config.net_of_child(&self.net).unwrap(),
                args: config.args_of_child(&self.args),
                env: config.env_of_child(&self.env),
                folders: config
                    .folders_of_child(&self.folders)
                    .unwrap()
                    .unwrap_or_else(|| self.folders.clone()),
                clock: self.clock.narrowed(config.clock),
                random: self.random.narrowed(config.random),
                max_memory: limit(self.max_memory, config.max_memory),
            }
        }

        /// Whether it has anything of a right of the table; `None` for those that only the host holds.
        fn has(&self, right: &str) -> Option<bool> {
            Some(match right {
                "files" => !self.folders.is_empty(),
                "environment" => !self.env.is_empty(),
                "arguments" => !self.args.is_empty(),
                "connect, bind, look up" => self.net.answers("connect:127.0.0.1:1").unwrap(),
                "spawn" => self.may.contains(May::SPAWN),
                "configure children" => self.may.contains(May::CONFIGURE),
                "register names" => self.may.contains(May::NAMES),
                "compile modules" => self.may.contains(May::COMPILE),
                "inspect processes" => self.may.contains(May::INSPECT),
                "count metrics" => self.may.contains(May::METRICS),
                "trace" => self.may.contains(May::TRACE),
                "upgrade" => self.may.contains(May::UPGRADE),
                "use other nodes" => self.may.contains(May::NODES),
                "clocks" => self.clock == ClockRight::Fixed(1),
                "random numbers" => self.random == RandomRight::Seed(1),
                "memory of a process" => self.max_memory == 10,
                _ => return None,
            })
        }
    }

    #[test]
    fn a_child_that_asks_for_nothing_has_what_the_table_says() {
        let (new, heir) = (
            Config::default(),
            Config {
                inherit: true,
                ..Config::default()
            },
        );
        let (new, heir) = (parent().child(&new), parent().child(&heir));
        let mut seen = 0;
        for right in RIGHTS {
            if let (Some(new), Some(heir)) = (new.has(right.name), heir.has(right.name)) {
                assert_eq!(new, right.unasked == Unasked::Parents, "{}", right.name);
                assert!(heir, "{}", right.name);
                seen += 1;
            }
        }
        assert_eq!(seen, 16, "a name in this test is not the table's");
    }

    #[test]
    fn variables_are_set_or_passed_on() {
        let config = Config::from_bytes(b"env=A\0env=B\0env=C=3\0env=C=4\0").unwrap();
        let env = parent().child(&config).env;
        assert_eq!(
            env,
            [("A", "1"), ("C", "4")].map(|(name, value)| (name.into(), value.into()))
        );
    }

    #[test]
    fn folders_that_cannot_be_given_are_denied() {
        for (entries, part) in [
            (&b"dir=/::/a\0dir=/::/a\0"[..], "two folders would be called /a"),
            (b"dir=/no such folder::/a\0", "there is no such folder"),
            (b"dir=/proc/version::/a\0", "it is not a folder"),
            (b"dir=elsewhere::/a\0", "it is not in a folder of the parent"),
        ] {
            let config = Config::from_bytes(entries).unwrap();
            let denied = config.folders_of_child(&parent().folders).unwrap_err();
            assert!(denied.to_string().contains(part), "{denied}");
        }
    }

    proptest! {
        /// Whatever is asked for, clocks that are fixed stay so, and limits do not grow.
        #[test]
        fn nothing_is_won_back(
            fixed in prop::option::of(any::<u64>()),
            asked in prop::option::of(prop::option::of(any::<u64>())),
            (own, other) in (any::<u32>(), prop::option::of(any::<u32>())),
        ) {
            let clock = |ns: Option<u64>| ns.map_or(ClockRight::Real, ClockRight::Fixed);
            let random = |seed: Option<u64>| seed.map_or(RandomRight::Real, RandomRight::Seed);
            prop_assert!(fixed.is_none() || clock(fixed).narrowed(asked.map(clock)) != ClockRight::Real);
            prop_assert!(fixed.is_none() || random(fixed).narrowed(asked.map(random)) != RandomRight::Real);
            prop_assert!(limit(own, other) <= own);
        }
    }
}
