//! Opening a folder within another without `openat2`: name by name, each in the folder that was opened before it.
//!
//! Links are read and followed here, never by the system, so that none of them leads outside.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The most names that are opened and links that are read for a path. Guests can make folders and links.
const STEPS_MAX: usize = 4096;
/// The most links that are followed: those of a path in Linux.
const LINKS_MAX: usize = 40;

/// Opens a folder within `dir`; links may not lead outside.
pub(super) fn open_beneath(dir: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let mut left = names(path)?;
    // The names that led from `dir` to `here`, none of which is a link.
    let mut done = Vec::new();
    let mut here = open(dir, OsStr::new("."))?;
    let mut links = 0;
    for _ in 0..STEPS_MAX {
        let Some(name) = left.pop() else {
            return Ok(here);
        };
        if name == ".." {
            // The `..` of the system may be outside by now, so this begins again.
            done.pop().ok_or(Errno::XDEV)?;
            left.extend(done.drain(..).rev());
            here = open(dir, OsStr::new("."))?;
            continue;
        }
        match open(here.as_fd(), &name) {
            Ok(opened) => {
                here = opened;
                done.push(name);
            }
            // A link, or no folder: systems differ in the error for a link.
            Err(error @ (Errno::NOTDIR | Errno::LOOP | Errno::MLINK)) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let Ok(target) = rustix::fs::readlinkat(&here, &name, Vec::new()) else {
                    return Err(error);
                };
                left.extend(names(Path::new(OsStr::from_bytes(target.as_bytes())))?);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP)
}

/// Opens a folder that is no link.
fn open(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// The names in a path, the last one first; `XDEV` if the path begins at the root, as from `openat2`.
fn names(path: &Path) -> rustix::io::Result<Vec<OsString>> {
    path.components()
        .rev()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::Normal(_) | Component::ParentDir => Ok(part.as_os_str().to_owned()),
            _ => Err(Errno::XDEV),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::files::system;

    /// Opens `path` as the system does and as this module does, which must come to the same.
    fn check(dir: &File, path: &str, expected: Result<&Path, Errno>) {
        let expected = expected.map(|path| std::fs::metadata(path).unwrap().ino());
        for (name, found) in [
            ("system", system::open_beneath(dir.as_fd(), path.as_ref())),
            ("walk", open_beneath(dir.as_fd(), path.as_ref())),
        ] {
            let found = found.map(|opened| File::from(opened).metadata().unwrap().ino());
            assert_eq!(found, expected, "{name}: {path}");
        }
    }

    #[test]
    fn both_ways_lead_to_the_same_places() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        std::fs::create_dir_all(data.join("a/b/c")).unwrap();
        std::fs::create_dir(temp.path().join("outside")).unwrap();
        std::fs::write(data.join("file"), "").unwrap();
        for (target, link) in [
            ("a/b", "stays"),
            ("../a", "a/up"),
            ("../../a/b/../../stays/c", "a/b/winds"),
            ("..", "leaves"),
            ("../outside", "outside"),
            ("../data/a", "returns"),
            ("/", "root"),
            ("file", "to-file"),
            ("missing", "to-nothing"),
            ("loop", "loop"),
        ] {
            symlink(target, data.join(link)).unwrap();
        }
        let dir = File::open(&data).unwrap();
        for (path, expected) in [
            (".", "."),
            ("a/b/c", "a/b/c"),
            ("./a//b/", "a/b"),
            ("stays", "a/b"),
            ("stays/c", "a/b/c"),
            ("a/up/up/b", "a/b"),
            ("a/b/winds", "a/b/c"),
            ("a/..", "."),
        ] {
            check(&dir, path, Ok(&data.join(expected)));
        }
        for (path, error) in [
            ("..", Errno::XDEV),
            ("/", Errno::XDEV),
            ("leaves", Errno::XDEV),
            ("outside", Errno::XDEV),
            ("returns", Errno::XDEV),
            ("root", Errno::XDEV),
            ("root/etc", Errno::XDEV),
            ("file", Errno::NOTDIR),
            ("file/x", Errno::NOTDIR),
            ("to-file", Errno::NOTDIR),
            ("missing", Errno::NOENT),
            ("to-nothing", Errno::NOENT),
            ("loop", Errno::LOOP),
        ] {
            check(&dir, path, Err(error));
        }
    }

    #[test]
    fn a_long_way_ends_in_an_error() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        let dir = File::open(temp.path()).unwrap();
        let path = "a/b/../../".repeat(STEPS_MAX);
        assert_eq!(open_beneath(dir.as_fd(), path.as_ref()).unwrap_err(), Errno::LOOP);
    }
}
