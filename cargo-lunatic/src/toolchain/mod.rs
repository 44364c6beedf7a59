//! Finds or makes what is needed to compile for [`TARGET`].
//!
//! There are four ways. They are tried in this order, and the first that works is used:
//!
//! 1. The Rust in use has the target (`RUSTC`, `RUSTUP_TOOLCHAIN`, `rust-toolchain.toml` and cargo's `build.rustc` are
//!    respected).
//! 2. A toolchain that way 4 has made earlier.
//! 3. `rustup target add`, for the toolchain in use.
//! 4. On Debian and its derivatives, a toolchain made from Debian's packages and kept in the user's cache folder.
//!
//! `LUNATIC_TOOLCHAIN` restricts them: `auto` (the default) allows all, `rustup` only 1 and 3, `debian` only 2 and 4.

mod attempt;
pub(crate) mod c;
mod cache;
#[cfg(target_os = "linux")]
pub(crate) mod debian;
#[cfg(not(target_os = "linux"))]
#[path = "no_debian.rs"]
pub(crate) mod debian;
mod installed;
mod lock;
mod process;
mod rustup;

use std::path::{Path, PathBuf};

pub use attempt::{Attempt, Missing};
pub(crate) use cache::{cache_folder, folder_size};

use crate::TARGET;
use crate::config::Config;
use crate::environment::Environment;
use crate::shell::Shell;
use lock::Lock;

/// The variable that restricts the ways.
pub const TOOLCHAIN_VARIABLE: &str = "LUNATIC_TOOLCHAIN";

/// A compiler with the standard library for [`TARGET`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Toolchain {
    /// How it was found.
    pub way: Way,
    /// The cargo to call.
    pub cargo: PathBuf,
    /// The rustc for cargo to use; `None` leaves the choice to cargo.
    pub rustc: Option<PathBuf>,
    /// The rustdoc of the same toolchain.
    pub rustdoc: Option<PathBuf>,
    /// The folder that contains the standard library for the target.
    pub library_folder: PathBuf,
}

/// How a [`Toolchain`] was found or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// The Rust in use had the target.
    Installed,
    /// `rustup target add` has just installed it.
    Rustup,
    /// Made from Debian's packages, now or earlier.
    Debian,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Way::Installed => "the Rust in use has it",
            Way::Rustup => "added with rustup",
            Way::Debian => "made from Debian's packages",
        })
    }
}

/// The ways that [`TOOLCHAIN_VARIABLE`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Auto,
    Rustup,
    Debian,
}

impl Allowed {
    fn from_env(env: &Environment) -> Result<Allowed, Attempt> {
        match env.text(TOOLCHAIN_VARIABLE).as_deref() {
            None | Some("auto") => Ok(Allowed::Auto),
            Some("rustup") => Ok(Allowed::Rustup),
            Some("debian") => Ok(Allowed::Debian),
            Some(other) => Err(Attempt {
                way: format!("{TOOLCHAIN_VARIABLE}={other}"),
                why: "the variable takes auto, rustup or debian".to_string(),
                help: Some(format!("unset {TOOLCHAIN_VARIABLE}")),
            }),
        }
    }

    fn rustup(self) -> bool {
        self != Allowed::Debian
    }

    fn debian(self) -> bool {
        self != Allowed::Rustup
    }
}

/// Where to search, and which settings to respect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The folder that cargo is called in, for which `rust-toolchain.toml` is looked up.
    pub(crate) folder: &'a Path,
    pub(crate) config: &'a Config,
    pub(crate) env: &'a Environment,
    pub(crate) shell: Shell,
}

impl Search<'_> {
    /// Finds an existing toolchain; changes nothing and costs very little.
    pub(crate) fn find(&self) -> Result<Toolchain, Missing> {
        let mut missing = Missing::default();
        let allowed = missing.note(Allowed::from_env(self.env))?;
        if allowed.rustup() {
            match installed::find(self) {
                Ok(toolchain) => return Ok(toolchain),
                Err(attempt) => missing.attempts.push(attempt),
            }
        }
        if allowed.debian() {
            match debian::find_made(self.env) {
                Ok(toolchain) => return Ok(toolchain),
                Err(attempt) => missing.attempts.push(attempt),
            }
        }
        Err(missing)
    }

    /// Finds an existing toolchain or makes one; reports slow steps on stderr.
    pub(crate) fn find_or_make(&self) -> Result<Toolchain, Missing> {
        let mut missing = match self.find() {
            Ok(toolchain) => return Ok(toolchain),
            Err(missing) => missing,
        };
        let Ok(allowed) = Allowed::from_env(self.env) else {
            return Err(missing);
        };
        let lock = self.lock();
        // The previous holder of the lock may have made it.
        if let Ok(toolchain) = self.find() {
            return Ok(toolchain);
        }
        if allowed.rustup() {
            match rustup::add_target(self) {
                Ok(toolchain) => return Ok(toolchain),
                Err(attempt) => missing.attempts.push(attempt),
            }
        }
        if allowed.debian() {
            // The failed attempt to make one explains more than the fact that none was made earlier.
            missing.attempts.retain(|attempt| attempt.way != debian::MADE_EARLIER);
            match lock.and_then(|_lock| debian::make(self)) {
                Ok(toolchain) => return Ok(toolchain),
                Err(attempt) => missing.attempts.push(attempt),
            }
        }
        Err(missing)
    }
}

impl Search<'_> {
    fn lock(&self) -> Result<Option<Lock>, Attempt> {
        let Some(folder) = debian::toolchains_folder(self.env) else {
            return Ok(None);
        };
        Lock::take(&folder, self.shell).map(Some).map_err(|why| {
            Attempt::new("the cache folder", why).help("set LUNATIC_CACHE to a folder that can be written")
        })
    }
}

/// Whether `folder`, as printed by `rustc --print target-libdir`, contains a standard library.
fn has_std(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    let names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ["libcore-", "libstd-"].iter().all(|prefix| {
        names
            .iter()
            .any(|name| name.starts_with(prefix) && name.ends_with(".rlib"))
    })
}

/// Where a toolchain in `root` keeps its standard library for the target.
fn library_folder_in(root: &Path) -> PathBuf {
    root.join("lib/rustlib").join(TARGET).join("lib")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<Allowed>) {
        let env = Environment::fixed(&[(TOOLCHAIN_VARIABLE, value)]);
        assert_eq!(Allowed::from_env(&env).ok(), expected, "{value}");
    }

    #[test]
    fn the_variable_chooses_the_ways() {
        check("", Some(Allowed::Auto));
        check("auto", Some(Allowed::Auto));
        check("rustup", Some(Allowed::Rustup));
        check("debian", Some(Allowed::Debian));
        check("Debian", None);
        assert!(!Allowed::Debian.rustup() && !Allowed::Rustup.debian());
    }

    #[test]
    fn where_nothing_works_each_way_is_named() {
        let home = tempfile::tempdir().unwrap();
        let rustc = home.path().join("rustc");
        let env = Environment::fixed(&[
            ("HOME", home.path().to_str().unwrap()),
            ("PATH", "/nonexistent"),
            ("RUSTC", rustc.to_str().unwrap()),
        ]);
        let config = Config::default();
        let search = Search {
            folder: home.path(),
            config: &config,
            env: &env,
            shell: Shell::new(true, None),
        };
        let missing = search.find_or_make().unwrap_err();
        let ways: Vec<&str> = missing.attempts.iter().map(|attempt| attempt.way.as_str()).collect();
        assert_eq!(
            ways,
            [
                "the Rust in use",
                "`rustup target add wasm32-wasip1`",
                "a toolchain made from Debian's packages"
            ]
        );
        assert!(missing.attempts[0].why.starts_with("cannot start `rustc`"), "{missing}");
        assert_eq!(missing.attempts[1].why, "rustup is not installed");
    }

    #[test]
    fn a_standard_library_is_core_and_std() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_std(folder.path()));
        std::fs::write(folder.path().join("libcore-1.rlib"), "").unwrap();
        assert!(!has_std(folder.path()));
        std::fs::write(folder.path().join("libstd-1.so"), "").unwrap();
        assert!(!has_std(folder.path()));
        std::fs::write(folder.path().join("libstd-1.rlib"), "").unwrap();
        assert!(has_std(folder.path()));
        assert!(!has_std(&folder.path().join("missing")));
    }
}
