//! macOS: the host resolves paths itself, and the system has a path for each file by its number.
//!
//! `/.vol/VOLUME/NUMBER` leads to a file whatever it is called now. The system keeps it for its own volumes (APFS and
//! HFS+); on others, such as those of a network, the name that the folder has now is used. There, whoever renames
//! a folder in the moment in which it is used can put another one in its place.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Stat};

pub(super) use super::walk::open_beneath;

/// Returns a path of a folder that is open.
pub(super) fn path(open: BorrowedFd<'_>) -> io::Result<PathBuf> {
    let numbers = rustix::fs::fstat(open)?;
    if let Some(path) = by_number(&numbers) {
        return Ok(path);
    }
    let name = rustix::fs::getpath(open)?;
    Ok(OsStr::from_bytes(name.as_bytes()).into())
}

/// An existing entry of a folder that is no link.
#[derive(Debug)]
pub struct Entry(PathBuf);

impl Entry {
    pub(super) fn find(parent: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let numbers = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        // The target of a link has not been checked.
        if FileType::from_raw_mode(numbers.st_mode) == FileType::Symlink {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // A name would not do: a link could be there by the time it is used.
        by_number(&numbers).map(Self).ok_or(io::ErrorKind::Unsupported.into())
    }

    /// Returns a path that leads to this entry, whatever is renamed.
    pub fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

/// The path of a file by its number; `None` if its volume has no such paths.
fn by_number(numbers: &Stat) -> Option<PathBuf> {
    let path = PathBuf::from(format!("/.vol/{}/{}", numbers.st_dev, numbers.st_ino));
    let there = rustix::fs::lstat(&path).ok()?;
    (there.st_dev == numbers.st_dev && there.st_ino == numbers.st_ino).then_some(path)
}
