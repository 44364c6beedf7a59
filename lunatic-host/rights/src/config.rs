//! The request of a spawn: the rights of a child, as its parent wrote them.
//!
//! A configuration is a list of entries `KEY` or `KEY=VALUE`, with the syntax of the command line. In the memory of a
//! guest, each entry ends with a zero byte. The keys are those of the [table], and `NAME:KEY` for what only the
//! extension NAME of the host understands.

use std::fmt;
use std::time::Duration;

use crate::flags::{self, Dir};
use crate::net::{Rule, RuleError};
use crate::size::parse_size;
use crate::table::{self, Entry, Value};
use crate::{MAY_ALL, May};

/// The most entries of a configuration.
pub const ENTRIES_MAX: usize = 4096;

/// Where a standard stream of a child leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// To where its parent's leads.
    Inherit,
    /// Nowhere.
    Discard,
    /// To its parent, which fetches the output.
    Capture,
}

/// An environment variable of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// Set to this value.
    Set(String, String),
    /// Passed on with its parent's value, if the parent has the variable.
    Pass(String),
}

/// The time that clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockRight {
    /// The machine's time.
    Real,
    /// A time in nanoseconds since 1970 at the start of the process, which advances by a microsecond at each reading.
    Fixed(u64),
}

/// The source of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomRight {
    /// The operating system's generator.
    Real,
    /// A generator with this seed, so that every run gets the same numbers.
    Seed(u64),
}

/// The budget that is asked for; `None` means no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Living processes, including the child.
    pub processes: Option<u64>,
    /// Bytes of linear memory.
    pub memory: Option<u64>,
    /// Open sockets.
    pub sockets: Option<u64>,
    /// Total CPU time.
    pub cpu: Option<Duration>,
    /// The share of one core, in percent; more than 100 means more than one core.
    pub cpu_share: Option<u32>,
}

/// An entry `EXTENSION:KEY=VALUE`. Only the extension knows its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// The extension's name.
    pub extension: String,
    /// The key, without that name.
    pub key: String,
    /// The value; empty if there is none.
    pub value: String,
}

/// The request of a spawn. A right that is `None` is the parent's if the configuration [inherits](Self::inherit),
/// otherwise the child does not have it. Standard output and error, clocks, random numbers and limits are inherited in
/// any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Inherit everything from the parent, except what the other fields say.
    pub inherit: bool,
    /// Folders: `host` is the parent's name for one, `guest` the child's.
    pub dirs: Option<Vec<Dir>>,
    /// Environment variables.
    pub env: Option<Vec<Variable>>,
    /// Arguments.
    pub args: Option<Vec<String>>,
    /// Rules for the network.
    pub net: Option<Vec<Rule>>,
    /// Standard input.
    pub stdin: Option<Stream>,
    /// Standard output.
    pub stdout: Option<Stream>,
    /// Standard error.
    pub stderr: Option<Stream>,
    /// Clocks.
    pub clock: Option<ClockRight>,
    /// Random numbers.
    pub random: Option<RandomRight>,
    /// The allowed rights. A configuration that inherits allows all of them.
    pub allow: May,
    /// The denied rights, even if they are allowed.
    pub deny: May,
    /// The largest memory in bytes.
    pub max_memory: Option<usize>,
    /// The most messages in the mailbox.
    pub max_mailbox: Option<usize>,
    /// The most files and folders that are open at a time, and the most sockets.
    pub max_files: Option<u32>,
    /// A budget of its own, if a cap is given or use must be measured.
    pub budget: Option<Limits>,
    /// The entries for extensions, in the order in which they were written.
    pub other: Vec<Other>,
}

/// Why a configuration is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl From<String> for ConfigError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Config {
    /// Parses entries that each end with a zero byte.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which entry is invalid, and what to write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let text = std::str::from_utf8(bytes).map_err(|_| "a configuration is not UTF-8".to_owned())?;
        if text.is_empty() {
            return Ok(config);
        }
        let entries = text
            .strip_suffix('\0')
            .ok_or_else(|| "the last entry of a configuration does not end with a zero byte".to_owned())?;
        if entries.split('\0').count() > ENTRIES_MAX {
            return Err(format!("a configuration has at most {ENTRIES_MAX} entries").into());
        }
        for entry in entries.split('\0') {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            config.set(key, value)?;
        }
        Ok(config)
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], as for [`Self::from_bytes`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if let Some(entry) = table::entries().find(|entry| entry.key == key) {
            return entry.put(self, value);
        }
        match key.split_once(':') {
            Some((extension, own)) if !extension.is_empty() && !own.is_empty() => {
                self.other.push(Other {
                    extension: extension.into(),
                    key: own.into(),
                    value: value.into(),
                });
                Ok(())
            }
            _ => Err(unknown(key)),
        }
    }

    /// Refuses entries for extensions that the host does not have. Such an entry may ask for fewer rights, so it must
    /// not be ignored.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first entry whose extension is not in `extensions`.
    pub fn check_extensions(&self, extensions: &[&str]) -> Result<(), ConfigError> {
        let known = |other: &&Other| extensions.contains(&&*other.extension);
        match self.other.iter().find(|other| !known(other)) {
            None => Ok(()),
            Some(Other { extension, key, .. }) => Err(format!(
                "a configuration has no entry `{extension}:{key}`: this host has no extension `{extension}`"
            )
            .into()),
        }
    }

    /// Returns the entries of one extension as pairs of key and value, in the order in which they were written.
    pub fn of_extension<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let own = self.other.iter().filter(move |other| other.extension == name);
        own.map(|other| (&*other.key, &*other.value))
    }

    /// Returns whether output of the child is captured for its parent.
    pub fn captures(&self) -> bool {
        [self.stdout, self.stderr].contains(&Some(Stream::Capture))
    }

    /// The budget; creates one without caps if there is none.
    pub(crate) fn limits(&mut self) -> &mut Limits {
        self.budget.get_or_insert_default()
    }
}

impl Entry {
    /// Parses the value of such an entry and stores it in a configuration.
    fn put(&self, config: &mut Config, value: &str) -> Result<(), ConfigError> {
        let key = self.key;
        match self.value {
            Value::Nothing(put) => put(config),
            Value::Folder(put) => put(config, flags::parse_dir(value).map_err(|error| error.to_string())?),
            Value::Variable(put) => put(config, variable(key, value)?),
            Value::Text(put) => put(config, value.to_owned()),
            Value::Rule(put) => put(config, value.parse().map_err(|error: RuleError| error.to_string())?),
            Value::Input(put) => put(config, stream(key, value, false)?),
            Value::Output(put) => put(config, stream(key, value, true)?),
            Value::Start(put) if value == "real" => put(config, None),
            Value::Start(put) => put(config, Some(number(key, value)?)),
            Value::Size(put) => put(config, parse_size(value).map_err(|error| error.to_string())?),
            Value::Number(put) => put(config, number(key, value)?),
            Value::Percent(put) => put(config, percent(key, value)?),
            Value::Word(put) => put(config, may(value)?),
        }
        Ok(())
    }
}

fn variable(key: &str, value: &str) -> Result<Variable, ConfigError> {
    let variable = match value.split_once('=') {
        Some((name, value)) => Variable::Set(name.into(), value.into()),
        None => Variable::Pass(value.into()),
    };
    let (Variable::Set(name, _) | Variable::Pass(name)) = &variable;
    if name.is_empty() {
        return Err(format!("`{key}={value}` names no variable").into());
    }
    Ok(variable)
}

fn stream(key: &str, value: &str, is_output: bool) -> Result<Stream, ConfigError> {
    match value {
        "inherit" => Ok(Stream::Inherit),
        "discard" => Ok(Stream::Discard),
        "capture" if is_output => Ok(Stream::Capture),
        _ => Err(format!("`{key}={value}`: a stream is `inherit` or `discard`, output can be `capture`").into()),
    }
}

fn number(key: &str, value: &str) -> Result<u64, ConfigError> {
    value
        .parse()
        .map_err(|_| format!("`{key}={value}` needs a whole number").into())
}

fn percent(key: &str, value: &str) -> Result<u32, ConfigError> {
    match number(key, value.trim_end_matches('%'))? {
        percent @ 1..=1_000_000 => Ok(percent as u32),
        _ => Err(format!("`{key}={value}` is not a share of a core: give at least 1 percent").into()),
    }
}

fn may(value: &str) -> Result<May, ConfigError> {
    match table::may(value) {
        Some(may) => Ok(may),
        None if value == table::ALL => Ok(MAY_ALL),
        None => {
            let words: Vec<_> = table::words().collect();
            let (words, all) = (words.join(", "), table::ALL);
            Err(format!("`{value}` cannot be allowed or denied: write {words} or {all}").into())
        }
    }
}

/// The error for a key that is not in the table. If a known key has a similar spelling, the error suggests it.
fn unknown(key: &str) -> ConfigError {
    let keys: Vec<_> = table::entries().map(|entry| entry.key).collect();
    let near = keys
        .iter()
        .map(|known| (distance(key, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min_by_key(|(distance, _)| *distance);
    let meant = near.map_or(String::new(), |(_, known)| format!("did you mean `{known}`? "));
    let keys = keys.join(", ");
    format!("a configuration has no entry `{key}`: {meant}the entries are {keys}, and `EXTENSION:KEY`").into()
}

/// The edit distance of two words. If `one` is more than twice as long as `other`, the result is only a lower bound:
/// guests choose `one`, and may make it 64 KiB long.
fn distance(one: &str, other: &str) -> usize {
    let longer = one.len().abs_diff(other.len());
    if longer > other.len() {
        return longer;
    }
    // The distances of the letters of `one` so far to all prefixes of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (to, other) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != other);
            before = row[to + 1];
            row[to + 1] = changed.min(before + 1).min(row[to] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries() {
        let bytes = b"inherit\0dir=/data::/d:ro\0env=A=b=c\0env=HOME\0arg=\0arg=x=y\0net=bind:127.0.0.1:0\0allow=spawn\0max-memory=2M\0tree-cpu-ms=5\0cpu-share=50%\0stdout=discard\0clock=7\0random=1\0";
        let config = Config::from_bytes(bytes).unwrap();
        assert!(config.inherit);
        let dir = &config.dirs.as_ref().unwrap()[0];
        assert_eq!(
            (dir.host.to_str(), &*dir.guest, dir.read_only),
            (Some("/data"), "/d", true)
        );
        let env = [Variable::Set("A".into(), "b=c".into()), Variable::Pass("HOME".into())];
        assert_eq!(config.env.as_deref(), Some(&env[..]));
        assert_eq!(config.args, Some(vec!["".into(), "x=y".into()]));
        assert_eq!(
            (config.max_memory, config.stdout),
            (Some(2 << 20), Some(Stream::Discard))
        );
        assert_eq!(config.clock, Some(ClockRight::Fixed(7)));
        assert_eq!(config.random, Some(RandomRight::Seed(1)));
        assert_eq!(config.allow, May::SPAWN);
        let limits = config.budget.unwrap();
        assert_eq!(
            (limits.cpu, limits.cpu_share),
            (Some(Duration::from_millis(5)), Some(50))
        );
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_a_reason() {
        for (bytes, part) in [
            (&b"dir=/x"[..], "zero byte"),
            (b"\0", "no entry ``"),
            (b"dirs=/x\0", "no entry `dirs`"),
            (b"dir=\0", "names no folder"),
            (b"env==x\0", "names no variable"),
            (b"net=a:b:c d\0", "no network rule"),
            (b"stdin=file\0", "`inherit` or `discard`"),
            (b"stdin=capture\0", "`inherit` or `discard`"),
            (b"max-memory=much\0", "is not a size"),
            (b"tree-processes=-1\0", "whole number"),
            (b"cpu-share=0\0", "at least 1 percent"),
            (b"allow=everything\0", "cannot be allowed"),
            (b"\xff\0", "not UTF-8"),
        ] {
            let error = Config::from_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let many = b"measured\0".repeat(ENTRIES_MAX + 1);
        assert!(Config::from_bytes(&many).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn an_unknown_key_is_told_what_was_meant() {
        for (key, meant) in [
            ("dirs", "dir"),
            ("max-file", "max-files"),
            ("tree-mem", "tree-memory"),
            ("Inherit", "inherit"),
            ("cpu_share", "cpu-share"),
        ] {
            let error = Config::from_bytes(format!("{key}=1\0").as_bytes()).unwrap_err();
            assert!(
                error.to_string().contains(&format!("did you mean `{meant}`?")),
                "{error}"
            );
        }
        for key in [
            "",
            ":",
            "x:",
            ":x",
            "memory",
            "gpu",
            "spawn",
            &"max-memory".repeat(1000),
        ] {
            let error = Config::default().set(key, "").unwrap_err().to_string();
            assert!(!error.contains("did you mean"), "{error}");
            assert!(table::entries().all(|entry| error.contains(entry.key)), "{error}");
        }
    }

    #[test]
    fn entries_of_extensions_are_kept_in_order() {
        let config = Config::from_bytes(b"sql:file=a=b\0inherit\0gpu:max-cores=4\0sql:file=\0").unwrap();
        let of = |name| config.of_extension(name).collect::<Vec<_>>();
        assert_eq!(of("sql"), [("file", "a=b"), ("file", "")]);
        assert_eq!(of("gpu"), [("max-cores", "4")]);
        assert_eq!(of("max"), []);
        assert!(config.inherit);
        config.check_extensions(&["gpu", "sql"]).unwrap();
        let error = config.check_extensions(&["sql"]).unwrap_err().to_string();
        assert!(error.contains("no extension `gpu`"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "([a-z:-]{3,14}(=[a-z0-9:*./]{0,9})?\0){0,5}") {
            let _ = Config::from_bytes(&bytes);
            let _ = Config::from_bytes(text.as_bytes());
        }
    }
}
