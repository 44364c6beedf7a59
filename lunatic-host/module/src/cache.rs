//! Compiled modules on disk, found by what they were made from.
//!
//! An entry is one file, named after its [`Key`], in one folder. Processes share the folder without locks: an entry is
//! written beside its final place and moved there in one step, so readers see all of it or none. Anyone may delete
//! anything here at any time, which costs only a compilation.
//!
//! An entry is code that the host will run, so nothing about it is trusted: the folder must belong to the user alone,
//! and each read checks the length, and a hash over the key and the payload. An entry that does not match is deleted
//! and counts as missing. The hash detects damage, not forgery; the folder's mode protects against forgery.
//!
//! When a new entry would make the folder larger than its limit, the least recently used entries are removed. The time
//! of the last use is the file's modification time, updated at most once an hour.

mod entry;
mod folder;
mod key;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use self::folder::Folder;

pub use self::key::Key;

/// The largest total size of the entries, in bytes: 2 GiB.
pub const SIZE_MAX: u64 = 2 << 30;

/// A store of bytes by [`Key`] that may lose entries.
#[derive(Debug)]
pub struct Cache {
    folder: Result<Folder, Disabled>,
    size_max: u64,
}

/// Why a cache is disabled.
#[non_exhaustive]
#[derive(Debug)]
pub enum Disabled {
    /// On request.
    OnRequest,
    /// None of `LUNATIC_CACHE`, `XDG_CACHE_HOME` and `HOME` says where it should be.
    NoPlace,
    /// The folder does not exist and cannot be created, or cannot be examined.
    Io { folder: PathBuf, source: io::Error },
    /// The path is not a folder.
    NotAFolder { folder: PathBuf },
    /// The folder belongs to another user, who could put code there.
    ForeignOwner { folder: PathBuf, owner: u32 },
    /// Other users may write to the folder, and could put code there.
    WritableByOthers { folder: PathBuf, mode: u32 },
}

impl fmt::Display for Disabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnRequest => write!(f, "the cache is off"),
            Self::NoPlace => write!(f, "no folder for the cache was found: set LUNATIC_CACHE to a folder"),
            Self::Io { folder, .. } => write!(f, "cannot use the cache folder {}", folder.display()),
            Self::NotAFolder { folder } => {
                write!(
                    f,
                    "the cache cannot be at {}, which is not a folder: remove it",
                    folder.display()
                )
            }
            Self::ForeignOwner { folder, owner } => write!(
                f,
                "the cache folder {} belongs to the user {owner}: set LUNATIC_CACHE to a folder of your own",
                folder.display()
            ),
            Self::WritableByOthers { folder, mode } => write!(
                f,
                "other users may write to the cache folder (mode {mode:o}): run chmod 700 {}",
                folder.display()
            ),
        }
    }
}

impl std::error::Error for Disabled {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why an entry could not be stored.
#[non_exhaustive]
#[derive(Debug)]
pub enum PutError {
    /// The entry alone exceeds the limit of the cache.
    TooLarge {
        /// The size of the entry's file in bytes.
        size: u64,
        /// The limit of the cache in bytes.
        max: u64,
    },
    /// The file could not be written.
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, max } => write!(f, "an entry of {size} bytes does not fit a cache of {max} bytes"),
            Self::Io { path, .. } => write!(f, "cannot write the cache entry {}", path.display()),
        }
    }
}

impl std::error::Error for PutError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

impl Cache {
    /// Returns the user's cache: the folder `modules` in [`user_folder`].
    pub fn user() -> Self {
        match user_folder() {
            Some(folder) => Self::at(folder.join("modules")),
            None => Self::off(Disabled::NoPlace),
        }
    }

    /// Returns the cache in `folder`, which is created if it does not exist, accessible only to this user (mode 0700).
    ///
    /// If the folder cannot be used, or is not safe from other users, the cache is [disabled](Self::disabled_reason).
    pub fn at(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: Folder::open(folder.as_ref()),
            size_max: SIZE_MAX,
        }
    }

    /// Returns a separate cache in the folder `name` within this one, of at most `size_max` bytes: entries there evict
    /// nothing here. It is disabled if this one is.
    pub fn part(&self, name: &str, size_max: u64) -> Self {
        let Some(folder) = self.folder() else {
            return Self::disabled();
        };
        Self {
            folder: Folder::open(&folder.join(name)),
            size_max,
        }
    }

    /// Returns a cache that stores nothing.
    pub fn disabled() -> Self {
        Self::off(Disabled::OnRequest)
    }

    fn off(reason: Disabled) -> Self {
        Self {
            folder: Err(reason),
            size_max: SIZE_MAX,
        }
    }

    /// Limits the total size of the entries to `bytes`.
    #[cfg(test)]
    pub(crate) fn with_size_max(mut self, bytes: u64) -> Self {
        self.size_max = bytes;
        self
    }

    /// Returns why the cache is disabled, if it is.
    pub fn disabled_reason(&self) -> Option<&Disabled> {
        self.folder.as_ref().err()
    }

    /// Returns the folder of the entries.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().ok().map(Folder::path)
    }

    /// Returns the payload stored under `key`, if it exists and is undamaged. A damaged entry is deleted.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.folder.as_ref().ok()?.get(key)
    }

    /// Stores `payload` under `key`, replacing a former one, and removes old entries to stay within the limit.
    ///
    /// Does nothing in a disabled cache.
    ///
    /// # Errors
    ///
    /// A [`PutError`] says why the entry was not stored. The cache remains usable, and a caller that has the payload
    /// need only log the error.
    pub fn put(&self, key: &Key, payload: &[u8]) -> Result<(), PutError> {
        let Ok(folder) = &self.folder else { return Ok(()) };
        let size = entry::file_size(payload.len());
        if size > self.size_max {
            return Err(PutError::TooLarge {
                size,
                max: self.size_max,
            });
        }
        folder.put(key, payload)?;
        folder.shrink_to(self.size_max, key);
        Ok(())
    }
}

/// Returns the user's folder for files that can be made again: `LUNATIC_CACHE`, otherwise the folder `lunatic` in
/// `XDG_CACHE_HOME`, otherwise `.cache/lunatic` in `HOME`. `None` if none of them is set.
pub fn user_folder() -> Option<PathBuf> {
    user_folder_from(|name| std::env::var_os(name))
}

fn user_folder_from(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG specification requires relative paths to be ignored.
    let absolute = |name| path(name).filter(|path| path.is_absolute());
    let own = path("LUNATIC_CACHE").and_then(|path| std::path::absolute(path).ok());
    own.or_else(|| absolute("XDG_CACHE_HOME").map(|cache| cache.join("lunatic")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/lunatic")))
}

#[cfg(test)]
mod tests;
