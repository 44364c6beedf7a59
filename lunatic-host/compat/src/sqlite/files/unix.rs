//! Other Unix systems: the host opens the folder of a file, and the file in it, which must not be a link.
//!
//! A file is never opened to query its properties: when it is closed, the system would drop the locks of the database.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use lunatic_host::rights::files::Folder;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

/// Opens a file.
pub(super) fn open(folder: &Folder, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let (parent, name) = split(folder, path)?;
    rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, mode)
}

/// Returns the properties of a file.
pub(super) fn stat(folder: &Folder, path: &Path) -> Result<libc::stat> {
    let (parent, name) = split(folder, path)?;
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: all zero bytes are valid properties, which are plain numbers.
    let mut properties: libc::stat = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the folder is open, the name ends with a zero byte, and `properties` is valid for writes during the call.
    match unsafe { libc::fstatat(parent.as_raw_fd(), name.as_ptr(), &mut properties, flags) } {
        0 if properties.st_mode & libc::S_IFMT == libc::S_IFLNK => Err(Errno::LOOP),
        0 => Ok(properties),
        _ => Err(super::last_error()),
    }
}

/// Opens a folder, to remove something in it.
pub(super) fn folder(folder: &Folder, path: &Path) -> Result<OwnedFd> {
    let opened = folder.open_beneath(path);
    opened.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))
}

/// Opens the folder that contains a file, and returns the file's name in it.
fn split<'a>(within: &Folder, path: &'a Path) -> Result<(OwnedFd, &'a OsStr)> {
    let (parent, name) = match path.file_name() {
        Some(name) => (path.parent().unwrap_or(path), name),
        // The path of a folder, such as `.` or `a/..`.
        None => (path, OsStr::new(".")),
    };
    // The parent of a single name.
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    Ok((folder(within, parent)?, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::super::platform;
    use super::*;

    #[test]
    fn files_are_found_as_on_linux_and_links_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        std::fs::create_dir_all(data.join("inner")).unwrap();
        std::fs::write(temp.path().join("outside"), "secret").unwrap();
        std::fs::write(data.join("inner/file"), "12345").unwrap();
        symlink("inner", data.join("link")).unwrap();
        symlink("inner/file", data.join("to-file")).unwrap();
        symlink("../outside", data.join("leaves")).unwrap();
        symlink("..", data.join("up")).unwrap();
        let given = Folder::open(&data, "/".into(), false).unwrap();
        let number = std::fs::metadata(data.join("inner/file")).unwrap().ino();
        for path in ["inner/file", "link/file", "./inner/file"] {
            for properties in [stat(&given, path.as_ref()), platform::stat(&given, path.as_ref())] {
                assert_eq!(properties.unwrap().st_ino, number, "{path}");
            }
            assert!(
                open(&given, path.as_ref(), OFlags::RDWR, Mode::empty()).is_ok(),
                "{path}"
            );
        }
        for (path, error) in [
            ("to-file", Errno::LOOP),
            ("leaves", Errno::LOOP),
            ("up/outside", Errno::XDEV),
            ("../outside", Errno::XDEV),
            ("missing", Errno::NOENT),
        ] {
            assert_eq!(stat(&given, path.as_ref()).err(), Some(error), "{path}");
            let opened = open(&given, path.as_ref(), OFlags::RDONLY, Mode::empty());
            assert_eq!(opened.err(), Some(error), "{path}");
        }
        let flags = OFlags::RDWR | OFlags::CREATE;
        assert!(open(&given, "link/new".as_ref(), flags, Mode::RUSR).is_ok());
        assert!(data.join("inner/new").exists());
        assert!(folder(&given, "link".as_ref()).is_ok() && folder(&given, "up".as_ref()).is_err());
        assert!(stat(&given, ".".as_ref()).is_ok());
    }
}
