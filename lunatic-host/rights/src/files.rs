//! Folders that a process may use, and how they are narrowed for a child.
//!
//! A folder is an open directory: its holder can open what is in it and nothing else, wherever links lead and whatever
//! is renamed meanwhile. A child's folder is opened through its parent's, so it cannot lie outside.
//!
//! `linux.rs` and `apple.rs` are twins: the same functions for two systems. `walk.rs` resolves a path where the system has
//! no call that does.

#[cfg_attr(target_vendor = "apple", path = "files/apple.rs")]
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "files/linux.rs")]
mod system;
mod walk;

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
compile_error!(
    "the host of Lunatic needs Linux or macOS; on Windows, build and run it in WSL 2 (`wsl --install`). To port it, write a \
     twin of files/linux.rs"
);

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

pub use self::system::Entry;

/// A folder of the host, with its name for a process.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Its name inside.
    pub guest: String,
    /// Whether nothing in it may be changed.
    pub read_only: bool,
    /// The open directory.
    pub dir: Arc<File>,
    /// Its name in the [normal] form; `None` if it has none, so that nothing is in it.
    normal: Option<Arc<str>>,
}

impl Folder {
    /// Opens a folder by its name on the host.
    ///
    /// # Errors
    ///
    /// Errors of the file system.
    pub fn open(host: &Path, guest: String, read_only: bool) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(host, flags, Mode::empty())?;
        Ok(Self {
            normal: normal_name(&guest),
            guest,
            read_only,
            dir: Arc::new(File::from(dir)),
        })
    }

    /// Returns the folder of `folders` that contains `path`, and the components of the path within it.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if none contains it, or if it contains `..`.
    pub fn nearest<'a>(folders: &'a [Folder], path: &str) -> io::Result<(&'a Folder, Vec<String>)> {
        let wanted = normal(path)?;
        let found = folders
            .iter()
            .rev()
            .filter_map(|folder| Some((folder, wanted.strip_prefix(folder.normal.as_deref()?)?)));
        // Folders may be nested; the innermost counts, as in libc.
        let (folder, rest) = found
            .min_by_key(|(_, rest)| rest.len())
            .ok_or(io::ErrorKind::PermissionDenied)?;
        Ok((folder, rest.split_terminator('/').map(str::to_owned).collect()))
    }

    /// Opens the folder that is called `path` in a process with `folders`, for a child of the process.
    ///
    /// # Errors
    ///
    /// Those of [`Self::nearest`]; `CrossesDevices` if links lead outside; and errors of the file system.
    pub fn within(folders: &[Folder], path: &str, guest: String, read_only: bool) -> io::Result<Self> {
        let (folder, rest) = Self::nearest(folders, path)?;
        let rest = if rest.is_empty() {
            ".".to_owned()
        } else {
            rest.join("/")
        };
        Ok(Self {
            normal: normal_name(&guest),
            guest,
            read_only: read_only || folder.read_only,
            dir: Arc::new(File::from(folder.open_beneath(rest.as_ref())?)),
        })
    }

    /// Resolves `path` in a process with `folders`; the place must not be in a read-only folder.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if the place is not allowed; `InvalidInput` if it is itself one of the folders; and errors of
    /// the file system.
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
        let parent = match folder.open_beneath(parent.as_ref()) {
            // A path that leads outside is refused like one that was not granted.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            opened => opened?,
        };
        Ok(Place { parent, name })
    }

    /// Opens a folder by its path within this one.
    ///
    /// # Errors
    ///
    /// `CrossesDevices` if the path or a link in it leads outside, and errors of the file system.
    pub fn open_beneath(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(system::open_beneath(self.dir.as_fd(), path)?)
    }

    /// Returns a path with which this process of the host can open the folder again, as long as this value lives.
    ///
    /// # Errors
    ///
    /// Errors of the file system; none on Linux.
    pub fn path(&self) -> io::Result<PathBuf> {
        system::path(self.dir.as_fd())
    }
}

/// An entry of an open folder, by its name there, whether it exists or not.
#[derive(Debug)]
pub struct Place {
    parent: OwnedFd,
    name: String,
}

impl Place {
    /// Returns a path at which something can be created, for system calls that accept only paths and do not follow a
    /// link at the end of one. Valid while this value lives.
    ///
    /// # Errors
    ///
    /// Errors of the file system; none on Linux.
    pub fn new_path(&self) -> io::Result<PathBuf> {
        Ok(system::path(self.parent.as_fd())?.join(&self.name))
    }

    /// Finds the existing entry, which must not be a link, so that what was checked is what is used.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if it is a link, and errors of the file system.
    pub fn existing(&self) -> io::Result<Entry> {
        Entry::find(self.parent.as_fd(), &self.name)
    }
}

/// A path in a form in which it begins with another exactly if it lies in that one: its components without `.`, each
/// followed by a slash. `..` is refused.
fn normal(path: &str) -> io::Result<String> {
    let mut normal = String::with_capacity(path.len() + 2);
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => normal.push_str(&name.to_string_lossy()),
            Component::ParentDir => return Err(io::ErrorKind::PermissionDenied.into()),
            Component::RootDir => normal.push('/'),
            Component::CurDir | Component::Prefix(_) => continue,
        }
        normal.push('/');
    }
    Ok(normal)
}

fn normal_name(guest: &str) -> Option<Arc<str>> {
    normal(guest).ok().map(Arc::from)
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
