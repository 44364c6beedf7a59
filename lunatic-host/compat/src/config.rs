//! The limits and folders of a child, as its parent sets them call by call.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lunatic_host::rights::config::{Config as Asked, Stream};
use lunatic_host::rights::{Denied, May, Rights, denial};
use lunatic_host::spawning::{child_rights, pay_for_rights};
use lunatic_host::wasi::Dir;
use lunatic_host::wasm::{Kernel, Process};

use crate::resources::Held;

/// How many bytes the texts of one configuration may have together, and how many texts there may be.
const TEXTS_SIZE_MAX: usize = 1 << 20;
const TEXTS_MAX: usize = 4096;
/// What a text costs in memory besides its bytes: twice its slot in a list, as lists double.
pub(crate) const TEXT_SIZE: usize = 2 * size_of::<(String, String)>();

/// The approximate number of instructions in a unit of fuel.
const FUEL_UNIT: u64 = 100_000;

/// A configuration of a child. The child does not get rights that the parent lacks.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) max_memory: u64,
    /// In units; 0 for no limit.
    pub(crate) max_fuel: u64,
    pub(crate) can_compile: bool,
    pub(crate) can_configure: bool,
    pub(crate) can_spawn: bool,
    dirs: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    size: usize,
}

impl Held for Config {
    fn held(&self) -> usize {
        self.size + self.count() * TEXT_SIZE
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_memory: u64::from(u32::MAX),
            max_fuel: 0,
            can_compile: false,
            can_configure: false,
            can_spawn: false,
            dirs: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            size: 0,
        }
    }
}

/// Why a text cannot be part of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadText {
    ZeroByte,
    TooMuch,
}

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroByte => write!(
                f,
                "an argument or variable contains a zero byte, which cannot be passed to a program"
            ),
            Self::TooMuch => write!(
                f,
                "a configuration has at most {TEXTS_MAX} arguments, variables and folders, of {TEXTS_SIZE_MAX} bytes together"
            ),
        }
    }
}

impl std::error::Error for BadText {}

impl Config {
    pub(crate) fn add_dir(&mut self, dir: String) -> Result<(), BadText> {
        self.admit(&[&dir])?;
        self.dirs.push(dir);
        Ok(())
    }

    pub(crate) fn add_argument(&mut self, argument: String) -> Result<(), BadText> {
        self.admit(&[&argument])?;
        self.args.push(argument);
        Ok(())
    }

    pub(crate) fn add_variable(&mut self, key: String, value: String) -> Result<(), BadText> {
        self.admit(&[&key, &value])?;
        self.env.push((key, value));
        Ok(())
    }

    fn count(&self) -> usize {
        self.dirs.len() + self.args.len() + self.env.len()
    }

    fn admit(&mut self, texts: &[&str]) -> Result<(), BadText> {
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(BadText::ZeroByte);
        }
        let size = self.size + texts.iter().map(|text| text.len()).sum::<usize>();
        if size > TEXTS_SIZE_MAX || self.count() >= TEXTS_MAX {
            return Err(BadText::TooMuch);
        }
        self.size = size;
        Ok(())
    }

    /// The rights of a child of `parent`: those that both the parent and this configuration have. The child gets the
    /// parent's network rights, as this interface has none.
    pub(crate) fn rights(&self, kernel: &Kernel, parent: &Process) -> Result<Arc<Rights>, Denied> {
        let may = [
            (self.can_compile, May::COMPILE),
            (self.can_configure, May::CONFIGURE),
            (self.can_spawn, May::SPAWN),
        ];
        let denied = may.into_iter().filter(|(can, _)| !can).map(|(_, may)| may);
        let dirs = self.dirs.iter().map(|dir| Dir {
            host: PathBuf::from(dir),
            guest: dir.clone(),
            read_only: false,
        });
        let asked = Asked {
            inherit: true,
            dirs: Some(dirs.collect()),
            env: Some(Vec::new()),
            args: Some(self.args.clone()),
            stdin: Some(Stream::Inherit),
            deny: denied.fold(May::default(), |all, may| all | may),
            max_memory: Some(usize::try_from(self.max_memory).unwrap_or(usize::MAX)),
            ..Asked::default()
        };
        let narrowed = child_rights(kernel, parent, &asked);
        let mut rights = narrowed.inspect_err(|denied| {
            denial::log(parent, &format!("may not configure a child so: {denied}"), "", "");
        })?;
        // Variables are not a right: the child gets those that were set for it, and none of its parent's.
        if let Some(wasi) = Arc::get_mut(&mut rights.wasi) {
            wasi.set_env(self.env.clone());
        }
        if self.max_fuel != 0 {
            let fuel = self.max_fuel.saturating_mul(FUEL_UNIT);
            rights.fuel = Some(rights.fuel.map_or(fuel, |own| own.min(fuel)));
        }
        pay_for_rights(&mut rights, parent, 0).map_err(|exhausted| Denied(exhausted.to_string()))?;
        Ok(Arc::new(rights))
    }
}
