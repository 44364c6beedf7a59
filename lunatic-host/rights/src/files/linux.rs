//! Linux: paths are resolved by `openat2`, and `/proc` has a path for everything that is open.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::walk;

/// Opens a folder within `dir`; links may not lead outside.
pub(super) fn open_beneath(dir: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile, so the kernel could not tell whether this leads outside.
            Err(Errno::AGAIN) => {}
            // Before Linux 5.6, and in emulators.
            Err(Errno::NOSYS) => return walk::open_beneath(dir, path),
            result => return result,
        }
    }
}

/// Returns a path of something that is open.
pub(super) fn path(open: BorrowedFd<'_>) -> io::Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())))
}

/// An existing entry of a folder that is no link.
#[derive(Debug)]
pub struct Entry(OwnedFd);

impl Entry {
    pub(super) fn find(parent: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        // With these two flags, a link is opened itself.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        // The target of a link has not been checked.
        if FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode) == FileType::Symlink {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self(entry))
    }

    /// Returns a path that leads to this entry, whatever is renamed, as long as this value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
