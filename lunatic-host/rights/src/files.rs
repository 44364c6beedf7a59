//! Folders that a process may use, and narrowing them for a child.
//!
//! A folder is an open directory: whoever has it can open what is in it and nothing else, wherever links lead and
//! whatever is renamed meanwhile. A child's folder is opened through its parent's, so it cannot lie outside.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

/// A folder of the host under the name that a process knows it by.
#[derive(Debug, Clone)]
pub struct Folder {
    /// What it is called inside.
    pub guest: String,
    /// Nothing in it may be changed.
    pub read_only: bool,
    /// The open directory.
    pub dir: Arc<File>,
}

impl Folder {
    /// Opens a folder by its name on the host.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn open(host: &Path, guest: String, read_only: bool) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(host, flags, Mode::empty())?;
        Ok(Self {
            guest,
            read_only,
            dir: Arc::new(File::from(dir)),
        })
    }

    /// The folder of `folders` in which `path` is, and the parts of the path in it.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it is in none of them, or has `..` in it.
    pub fn nearest<'a>(folders: &'a [Folder], path: &str) -> io::Result<(&'a Folder, Vec<String>)> {
        let wanted = normal(path)?;
        let found = folders.iter().filter_map(|folder| {
            let own = normal(&folder.guest).ok()?;
            Some((own.len(), folder, wanted.strip_prefix(&*own)?))
        });
        // Folders may be in each other; the nearest has the last word, as it has in libc.
        let (_, folder, rest) = found
            .max_by_key(|(depth, ..)| *depth)
            .ok_or(io::ErrorKind::PermissionDenied)?;
        Ok((folder, rest.to_vec()))
    }

    /// Opens what a process that has `folders` calls `path` as a folder for its child.
    ///
    /// # Errors
    ///
    /// As [`Self::nearest`]; `CrossesDevices` if links lead outside; and those of the system.
    pub fn within(folders: &[Folder], path: &str, guest: String, read_only: bool) -> io::Result<Self> {
        let (folder, rest) = Self::nearest(folders, path)?;
        let rest = if rest.is_empty() {
            ".".to_owned()
        } else {
            rest.join("/")
        };
        Ok(Self {
            guest,
            read_only: read_only || folder.read_only,
            dir: Arc::new(File::from(open_beneath(&folder.dir, &rest)?)),
        })
    }

    /// Where a process that has `folders` calls something `path`: not in a folder that is read-only.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it may not be there, `InvalidInput` if it is a folder itself, and those of the system.
    pub fn place(folders: &[Folder], path: &str) -> io::Result<Place> {
        let (folder, mut rest) = Self::nearest(folders, path)?;
        if folder.read_only {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let name = rest.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = if rest.is_empty() {
            ".".to_owned()
        } else {
            rest.join("/")
        };
        let parent = match open_beneath(&folder.dir, &parent) {
            // What leads outside is refused as what was not given.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            opened => opened?,
        };
        Ok(Place { parent, name })
    }

    /// A path by which this process of the host can open the folder again.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.dir.as_raw_fd())
    }
}

/// Something in an open folder, by its name there, whether it exists or not.
#[derive(Debug)]
pub struct Place {
    parent: OwnedFd,
    name: String,
}

impl Place {
    /// A path at which something can be made, for calls of the system that know nothing else and follow no link at the
    /// end of a path. Good while this lives.
    pub fn new_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{}", self.parent.as_raw_fd(), self.name))
    }

    /// What is there, held open so that it is what is used; not a link.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it is a link, and those of the system.
    pub fn existing(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        loop {
            match rustix::fs::openat2(&self.parent, &self.name, flags, Mode::empty(), resolve) {
                Err(rustix::io::Errno::AGAIN) => {}
                opened => {
                    let opened = opened?;
                    // Where a link leads, nobody has checked.
                    let mode = rustix::fs::fstat(&opened)?.st_mode;
                    if FileType::from_raw_mode(mode) == FileType::Symlink {
                        return Err(io::ErrorKind::PermissionDenied.into());
                    }
                    return Ok(opened);
                }
            }
        }
    }
}

fn open_beneath(dir: &File, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve) {
            // Something was renamed meanwhile: the kernel could not tell whether this leads outside.
            Err(rustix::io::Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
}

/// The parts of a path without `.`; `..` is refused. `/a` and `a` are the same, as they are for libc.
fn normal(path: &str) -> io::Result<Vec<String>> {
    let parts = Path::new(path).components().filter_map(|part| match part {
        Component::Normal(name) => Some(Ok(name.to_string_lossy().into_owned())),
        Component::ParentDir => Some(Err(io::ErrorKind::PermissionDenied.into())),
        Component::RootDir => Some(Ok("/".into())),
        Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `outside`, and beside it `data` with `inner`, a file, and links to inside and outside.
    fn folders() -> (tempfile::TempDir, Vec<Folder>) {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        std::fs::create_dir_all(data.join("inner/deep")).unwrap();
        std::fs::create_dir(temp.path().join("outside")).unwrap();
        std::fs::write(data.join("file"), "").unwrap();
        std::os::unix::fs::symlink("../outside", data.join("leaves")).unwrap();
        std::os::unix::fs::symlink("/", data.join("root")).unwrap();
        std::os::unix::fs::symlink("inner/deep", data.join("stays")).unwrap();
        let folders = vec![
            Folder::open(&data, "/data".into(), false).unwrap(),
            Folder::open(&data.join("inner"), "/data/inner".into(), true).unwrap(),
        ];
        (temp, folders)
    }

    #[test]
    fn a_childs_folder_is_in_its_parents() {
        let (_temp, folders) = folders();
        for path in ["/data", "/data/.", "/data/stays", "/data//inner/deep"] {
            let child = Folder::within(&folders, path, "/x".into(), false).unwrap();
            assert_eq!(child.read_only, path.contains("inner"), "{path}");
        }
    }

    #[test]
    fn nothing_outside_can_be_had() {
        let (_temp, folders) = folders();
        for path in [
            "/",
            "",
            "data",
            "/outside",
            "/data/../outside",
            "/data/leaves",
            "/data/root",
            "/data/root/etc",
            "/data/file",
            "/data/missing",
            "/data/leaves/..",
            "/database",
            "/proc/self/cwd",
        ] {
            assert!(Folder::within(&folders, path, "/x".into(), false).is_err(), "{path}");
        }
        assert!(Folder::within(&[], "/", "/x".into(), false).is_err());
    }
}
