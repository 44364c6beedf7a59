//! What a spawn asks for: the rights of a child, as its parent wrote them down.
//!
//! A configuration is a list of entries `KEY` or `KEY=VALUE`, in the language of the command line. In memory of a guest
//! each entry ends with a zero byte. `docs/abi.md` lists the keys.

use std::fmt;
use std::time::Duration;

use super::budget::Caps;
use super::net::Rule;
use super::{MAY_ALL, May};
use crate::cli::parse_size;
use crate::wasi::{Dir, flags};

/// The most entries of a configuration.
const ENTRIES_MAX: usize = 4096;

/// Where a standard stream of a child leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Where its parent's does.
    Inherit,
    /// Nowhere.
    Discard,
    /// To its parent, which asks for it.
    Capture,
}

/// An environment variable of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Variable {
    /// With this value.
    Set(String, String),
    /// With its parent's value, if that has it.
    Pass(String),
}

/// What clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockRight {
    Real,
    /// Nanoseconds after 1970 at the start of the process; a microsecond more at each look.
    Fixed(u64),
}

/// Where random numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RandomRight {
    Real,
    Seed(u64),
}

/// What a spawn asks for. `None` is as the parent has it if the configuration [inherits](Self::inherit), else nothing;
/// standard output and error, clocks, random numbers and limits are inherited in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Config {
    pub(crate) inherit: bool,
    pub(crate) dirs: Option<Vec<Dir>>,
    pub(crate) env: Option<Vec<Variable>>,
    pub(crate) args: Option<Vec<String>>,
    pub(crate) net: Option<Vec<Rule>>,
    pub(crate) stdin: Option<Stream>,
    pub(crate) stdout: Option<Stream>,
    pub(crate) stderr: Option<Stream>,
    pub(crate) clock: Option<ClockRight>,
    pub(crate) random: Option<RandomRight>,
    pub(crate) allow: May,
    pub(crate) deny: May,
    pub(crate) max_memory: Option<usize>,
    pub(crate) max_mailbox: Option<usize>,
    pub(crate) max_files: Option<u32>,
    /// A budget of its own, if any cap is given or it is only to be measured.
    pub(crate) budget: Option<Caps>,
}

/// Why a configuration cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError(String);

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
    /// Reads entries that each end with a zero byte.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigError> {
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

    /// Adds one entry.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        match key {
            "inherit" => self.inherit = true,
            "no-dirs" => _ = self.dirs.get_or_insert_default(),
            "no-env" => _ = self.env.get_or_insert_default(),
            "no-net" => _ = self.net.get_or_insert_default(),
            "dir" => {
                let dir = flags::parse_dir(value).map_err(|error| error.to_string())?;
                self.dirs.get_or_insert_default().push(dir);
            }
            "env" => {
                let variable = match value.split_once('=') {
                    Some((name, value)) => Variable::Set(name.into(), value.into()),
                    None => Variable::Pass(value.into()),
                };
                let (Variable::Set(name, _) | Variable::Pass(name)) = &variable;
                if name.is_empty() {
                    return Err(format!("`env={value}` names no variable").into());
                }
                self.env.get_or_insert_default().push(variable);
            }
            "arg" => self.args.get_or_insert_default().push(value.into()),
            "net" => {
                let rule = value.parse().map_err(|error| format!("{error}"))?;
                self.net.get_or_insert_default().push(rule);
            }
            "stdin" => self.stdin = Some(stream(key, value)?),
            "stdout" => self.stdout = Some(stream(key, value)?),
            "stderr" => self.stderr = Some(stream(key, value)?),
            "clock" => {
                self.clock = Some(match value {
                    "real" => ClockRight::Real,
                    at => ClockRight::Fixed(number(key, at)?),
                });
            }
            "random" => {
                self.random = Some(match value {
                    "real" => RandomRight::Real,
                    seed => RandomRight::Seed(number(key, seed)?),
                });
            }
            "allow" => self.allow |= May::parse(value)?,
            "deny" => self.deny |= May::parse(value)?,
            "max-memory" => self.max_memory = Some(parse_size(value).map_err(|error| error.to_string())?),
            "max-mailbox" => self.max_mailbox = Some(number(key, value)? as usize),
            "max-files" => self.max_files = Some(number(key, value)?.try_into().unwrap_or(u32::MAX)),
            "measured" => _ = self.budget.get_or_insert_default(),
            "tree-processes" => self.caps().processes = Some(number(key, value)?),
            "tree-memory" => {
                let bytes = parse_size(value).map_err(|error| error.to_string())?;
                self.caps().memory = Some(bytes as u64);
            }
            "tree-sockets" => self.caps().sockets = Some(number(key, value)?),
            "tree-cpu-ms" => self.caps().cpu = Some(Duration::from_millis(number(key, value)?)),
            "cpu-share" => {
                let percent = number(key, value.trim_end_matches('%'))?;
                if !(1..=1_000_000).contains(&percent) {
                    return Err(format!("`cpu-share={value}` is no share of a core: give at least 1 percent").into());
                }
                self.caps().cpu_share = Some(percent as u32);
            }
            _ => return Err(format!("a configuration has no entry `{key}`").into()),
        }
        Ok(())
    }

    /// Whether output of the child is kept for its parent.
    pub(crate) fn captures(&self) -> bool {
        [self.stdout, self.stderr].contains(&Some(Stream::Capture))
    }

    fn caps(&mut self) -> &mut Caps {
        self.budget.get_or_insert_default()
    }
}

fn number(key: &str, value: &str) -> Result<u64, ConfigError> {
    value
        .parse()
        .map_err(|_| format!("`{key}={value}` needs a whole number").into())
}

fn stream(key: &str, value: &str) -> Result<Stream, ConfigError> {
    match value {
        "inherit" => Ok(Stream::Inherit),
        "discard" => Ok(Stream::Discard),
        "capture" if key != "stdin" => Ok(Stream::Capture),
        _ => Err(format!("`{key}={value}`: a stream is `inherit` or `discard`, output can be `capture`").into()),
    }
}

impl May {
    fn parse(value: &str) -> Result<Self, ConfigError> {
        Ok(match value {
            "spawn" => May::SPAWN,
            "configure" => May::CONFIGURE,
            "names" => May::NAMES,
            "compile" => May::COMPILE,
            "all" => MAY_ALL,
            _ => {
                return Err(format!(
                    "`{value}` is nothing to allow or deny: write spawn, configure, names, compile or all"
                )
                .into());
            }
        })
    }
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
        let caps = config.budget.unwrap();
        assert_eq!((caps.cpu, caps.cpu_share), (Some(Duration::from_millis(5)), Some(50)));
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
            (b"max-memory=much\0", "is no size"),
            (b"tree-processes=-1\0", "whole number"),
            (b"cpu-share=0\0", "at least 1 percent"),
            (b"allow=everything\0", "nothing to allow"),
            (b"\xff\0", "not UTF-8"),
        ] {
            let error = Config::from_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let many = b"measured\0".repeat(ENTRIES_MAX + 1);
        assert!(Config::from_bytes(&many).unwrap_err().to_string().contains("at most"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "([a-z-]{3,14}(=[a-z0-9:*./]{0,9})?\0){0,5}") {
            let _ = Config::from_bytes(&bytes);
            let _ = Config::from_bytes(text.as_bytes());
        }
    }
}
