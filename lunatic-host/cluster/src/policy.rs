//! What the nodes of a cluster may do here, by their names: a file in TOML.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use lunatic_nodes::identity::is_name;
use lunatic_nodes::trust::PeerRights;
use lunatic_rights::config::Config;
use serde::Deserialize;

use crate::files;

/// The rules for the nodes of a cluster. The first one that fits a name counts; a node that none fits may send messages
/// to processes whose addresses it has, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Policy(Vec<Rule>);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    peer: Vec<Entry>,
}

/// An entry of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    spawn: bool,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    kill: bool,
    #[serde(default)]
    names: bool,
    #[serde(default)]
    modules: bool,
    run: Option<Vec<String>>,
    rights: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    peer: PeerRights,
    /// The modules that it may run here, by hash; `None` for all.
    run: Option<BTreeSet<[u8; 32]>>,
    /// The most that its processes get here, as a configuration; `None` for what the host gives to all.
    rights: Option<Arc<[u8]>>,
}

/// Why a node may not spawn a process, or the most that the process gets.
pub type Visit = Result<Option<Arc<[u8]>>, String>;

/// Why a policy is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError(String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// The policy if there is no file: every node of the cluster may do everything, and processes that it spawns get
    /// what the host gives to all.
    #[must_use]
    pub fn open() -> Self {
        Self(vec![Rule {
            name: "*".into(),
            peer: PeerRights::ALL,
            run: None,
            rights: None,
        }])
    }

    /// Reads a policy from a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is invalid.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::parse(&files::read(path)?).map_err(|error| files::of(path, error))
    }

    /// Parses a policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        file.peer.into_iter().map(Rule::new).collect::<Result<_, _>>().map(Self)
    }

    /// What a node may do here.
    #[must_use]
    pub fn rights(&self, node: &str) -> PeerRights {
        self.rule(node).map_or(PeerRights::MESSAGES, |rule| rule.peer)
    }

    /// Whether a node may spawn a process of the module with this hash, and the most that this process gets: the entries
    /// of a configuration.
    ///
    /// # Errors
    ///
    /// Why it may not, as text for people.
    pub fn visit(&self, node: &str, module: &[u8; 32]) -> Visit {
        let refused = |why: &str| Err(format!("by the policy of that node, node {node} {why}"));
        match self.rule(node) {
            Some(Rule { run: Some(run), .. }) if !run.contains(module) => refused("may not run this module there"),
            Some(rule) if rule.peer.spawn => Ok(rule.rights.clone()),
            _ => refused("may not spawn processes there"),
        }
    }

    fn rule(&self, node: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| fits(rule.name.as_bytes(), node.as_bytes()))
    }
}

impl Rule {
    fn new(entry: Entry) -> Result<Self, PolicyError> {
        let wrong = |text: String| PolicyError(format!("peer `{}`: {text}", entry.name));
        // Without its `*`, a pattern is a name or a part of one.
        let fixed = entry.name.replace('*', "");
        if !is_name(&fixed) && (fixed.len() == entry.name.len() || !fixed.is_empty()) {
            return Err(wrong(
                "no node has such a name: use letters, digits and `-_.@`, and `*` for any text".into(),
            ));
        }
        let hash = |text: &String| {
            let hash = parse_hash(text);
            hash.ok_or_else(|| {
                wrong(format!(
                    "`{text}` is not the hash of a module: write the 64 digits that `b3sum FILE` prints"
                ))
            })
        };
        let run = entry
            .run
            .as_ref()
            .map(|run| run.iter().map(hash).collect::<Result<_, _>>());
        let rights = entry.rights.as_ref().map(|entries| {
            if let Some(entry) = entries.iter().find(|entry| entry.contains('\0')) {
                return Err(wrong(format!("`{}` contains a zero byte", entry.escape_debug())));
            }
            let bytes: String = entries.iter().map(|entry| format!("{entry}\0")).collect();
            let config = Config::from_bytes(bytes.as_bytes()).map_err(|error| wrong(error.to_string()))?;
            if config.captures() || config.dirs.is_some() {
                let text = "folders and captured output cannot be given to processes of other nodes";
                return Err(wrong(text.into()));
            }
            Ok(bytes.into_bytes().into())
        });
        let may_ask = entry.rights.is_some() || entry.run.is_some();
        if may_ask && !entry.spawn {
            return Err(wrong(
                "`run` and `rights` are about spawned processes, so they need `spawn = true`".into(),
            ));
        }
        Ok(Self {
            run: run.transpose()?,
            rights: rights.transpose()?,
            peer: PeerRights {
                spawn: entry.spawn,
                link: entry.link,
                exit: entry.kill,
                names: entry.names,
                modules: entry.modules,
            },
            name: entry.name,
        })
    }
}

/// Whether a name fits a pattern, in which each `*` stands for any text.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // For each prefix of the pattern in turn, the lengths of the prefixes of the name that it fits.
    let mut fitting = vec![false; name.len() + 1];
    fitting[0] = true;
    for sign in pattern {
        if *sign == b'*' {
            let first = fitting.iter().position(|fits| *fits).unwrap_or(fitting.len());
            fitting[first..].fill(true);
        } else {
            for at in (0..name.len()).rev() {
                fitting[at + 1] = fitting[at] && name[at] == *sign;
            }
            fitting[0] = false;
        }
    }
    fitting[name.len()]
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit() {
        for (pattern, name, fit) in [
            ("*", "", true),
            ("*", "a@host1", true),
            ("a@host1", "a@host1", true),
            ("a@host1", "a@host12", false),
            ("a@*", "a@host1", true),
            ("a@*", "b@host1", false),
            ("*@host1", "a@host1", true),
            ("*@host1", "a@host2", false),
            ("w*-*e", "web-1-house", true),
            ("w*-*e", "web1house", false),
            ("", "a", false),
            ("**", "a", true),
            ("a", "", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), fit, "{pattern} {name}");
        }
        // No pattern takes long.
        assert!(!fits("*a".repeat(64).as_bytes(), "a".repeat(63).as_bytes()));
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let hash = "ab".repeat(32);
        let policy = Policy::parse(&format!(
            "[[peer]]\nname = 'web@*'\nspawn = true\nlink = true\nrun = ['{hash}']\nrights = ['allow=spawn', \
             'max-memory=64M']\n[[peer]]\nname = 'a@*'\nkill = true\nnames = true\nmodules = true\n[[peer]]\nname = \
             '*@host1'\nspawn = true\n"
        ))
        .unwrap();
        let web = policy.rights("web@host1");
        assert!(web.spawn && web.link && !web.exit && !web.names && !web.modules);
        let rights = policy.visit("web@host1", &[0xab; 32]).unwrap().unwrap();
        assert_eq!(&*rights, b"allow=spawn\0max-memory=64M\0");
        assert!(
            policy
                .visit("web@host1", &[0; 32])
                .unwrap_err()
                .contains("may not run this module")
        );
        let a = policy.rights("a@host1");
        assert!(!a.spawn && !a.link && a.exit && a.names && a.modules);
        assert!(policy.visit("a@host1", &[0; 32]).unwrap_err().contains("may not spawn"));
        assert_eq!(policy.visit("b@host1", &[0; 32]), Ok(None));
        assert_eq!(policy.rights("b@host2"), PeerRights::MESSAGES);
        assert!(policy.visit("b@host2", &[0; 32]).is_err());
        assert_eq!(Policy::default().rights("a"), PeerRights::MESSAGES);
        assert_eq!(Policy::open().rights("a"), PeerRights::ALL);
        assert_eq!(Policy::open().visit("a", &[0; 32]), Ok(None));
    }

    #[test]
    fn a_pattern_is_a_part_of_a_name() {
        for name in ["a@host1", "*", "**", "web-*", "*@host.example_1"] {
            assert!(Policy::parse(&format!("[[peer]]\nname = '{name}'")).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_invalid_policy_is_refused_with_a_reason() {
        for (text, part) in [
            ("peer = 1", "invalid type"),
            ("[[peer]]\nspawn = true", "name"),
            ("[[peer]]\nname = 'a'\nspwan = true", "spwan"),
            ("[[peer]]\nname = 'a'\nspawn = true\nrun = ['x']", "not the hash"),
            (
                "[[peer]]\nname = 'a'\nspawn = true\nrights = ['everything']",
                "everything",
            ),
            ("[[peer]]\nname = 'a'\nspawn = true\nrights = ['dir=/::/']", "folders"),
            (
                "[[peer]]\nname = 'a'\nspawn = true\nrights = [\"a\\u0000b\"]",
                "zero byte",
            ),
            ("[[peer]]\nname = 'a'\nrights = []", "need `spawn = true`"),
            ("[[peer]]\nname = 'a, b'", "no node has such a name"),
            ("[[peer]]\nname = 'web *'", "no node has such a name"),
            ("[[peer]]\nname = ''", "no node has such a name"),
        ] {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
