//! Linux: `openat2` opens a file within a folder, and links within the folder are followed. Before Linux 5.6, and in
//! emulators, there is no such call: then its twin does the work.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use lunatic_host::rights::files::Folder;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

use super::unix;

/// How often an operation is tried that others keep from succeeding.
const TRIES_MAX: usize = 100;

/// Opens a file.
pub(super) fn open(folder: &Folder, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    match beneath(folder, path, flags, mode) {
        Err(Errno::NOSYS) => unix::open(folder, path, flags, mode),
        opened => opened,
    }
}

/// Returns the properties of a file.
pub(super) fn stat(folder: &Folder, path: &Path) -> Result<libc::stat> {
    let file = match beneath(folder, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOSYS) => return unix::stat(folder, path),
        opened => opened?,
    };
    // SAFETY: all zero bytes are valid properties, which are plain numbers.
    let mut properties: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the file is open, and `properties` is valid for writes during the call.
    match unsafe { libc::fstat(file.as_raw_fd(), &mut properties) } {
        0 => Ok(properties),
        _ => Err(super::last_error()),
    }
}

/// Opens a folder, to remove something in it.
pub(super) fn folder(folder: &Folder, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match beneath(folder, path, flags, Mode::empty()) {
        Err(Errno::NOSYS) => unix::folder(folder, path),
        opened => opened,
    }
}

fn beneath(folder: &Folder, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    tried(|| rustix::fs::openat2(&folder.dir, path, flags, mode, resolve))
}

/// Tries to open a file until it is known whether that is possible.
fn tried<T>(mut open: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..TRIES_MAX {
        match open() {
            // Something was renamed meanwhile, so the kernel could not determine whether the path leads outside.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    // Whoever renames all the time must not keep a thread.
    Err(Errno::AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_keep_no_thread_by_renaming() {
        let mut tries = 0;
        let result = tried(|| -> Result<()> {
            tries += 1;
            Err(Errno::AGAIN)
        });
        assert_eq!((result, tries), (Err(Errno::AGAIN), TRIES_MAX));
        let mut results = [Err(Errno::AGAIN), Err(Errno::INTR), Ok(7)].into_iter();
        assert_eq!(tried(|| results.next().unwrap()), Ok(7));
        assert_eq!(tried(|| -> Result<()> { Err(Errno::NOENT) }), Err(Errno::NOENT));
    }
}
