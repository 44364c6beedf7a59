//! Files: private ones, and ones that are read again when they change.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// The most bytes of a file: a list of a hundred thousand revoked certificates fits.
const LEN_MAX: u64 = 8 << 20;

/// An error about a file.
pub(crate) fn of(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// An error of an operation on a file, with its kind.
fn failed(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    read_from(path, File::open(path).map_err(|error| failed(path, error))?)
}

/// Reads a file with a private key, which nobody but its owner may be able to read.
pub(crate) fn read_private(path: &Path) -> io::Result<String> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(of(
            path,
            "other users can read it, and it contains a private key: run `chmod 600` on it",
        ));
    }
    read_from(path, file)
}

fn read_from(path: &Path, file: File) -> io::Result<String> {
    let mut text = String::new();
    let read = file.take(LEN_MAX + 1).read_to_string(&mut text);
    match read.map_err(|error| of(path, error))? as u64 {
        0..=LEN_MAX => Ok(text),
        _ => Err(of(path, format!("it has more than {LEN_MAX} bytes"))),
    }
}

/// Makes a folder that only its owner can enter. There must be none.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| of(path, error))
}

/// Who can read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Only its owner.
    Owner,
    /// Everybody who can enter its folder.
    All,
}

/// Writes a new file that only its owner can read. On file systems with hard links, nobody reads a part of it.
///
/// # Errors
///
/// If it exists or cannot be written.
pub(crate) fn create(path: &Path, text: &str) -> io::Result<()> {
    create_by(path, text, |from, to| fs::hard_link(from, to))
}

/// Like [`create`]; `link` gives a file a second path, and fails if something else has it.
fn create_by(path: &Path, text: &str, link: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let beside = beside(path);
    let created = write_beside(&beside, text, None, Readers::Owner).and_then(|()| match link(&beside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => write_in_place(path, text),
        linked => linked,
    });
    _ = fs::remove_file(&beside);
    created.map_err(|error| of(path, error))
}

/// For file systems without hard links, such as those of most memory sticks.
fn write_in_place(path: &Path, text: &str) -> io::Result<()> {
    let mut file = open_new(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        _ = fs::remove_file(path);
    }
    written
}

/// Writes a file in place of the one at the path, if there is one, and lets its owner keep it. Nobody reads a part of
/// it.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn replace(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let beside = beside(path);
    let former = fs::metadata(path).ok();
    let written = write_beside(&beside, text, former.as_ref(), readers).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        _ = fs::remove_file(&beside);
    }
    written.map_err(|error| of(path, error))
}

/// Where a file is written before it gets its path.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    beside.into()
}

fn write_beside(path: &Path, text: &str, former: Option<&Metadata>, readers: Readers) -> io::Result<()> {
    // A former attempt may have left it behind.
    _ = fs::remove_file(path);
    let mut file = open_new(path)?;
    if let Some(former) = former {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (former.uid(), former.gid()) {
            // Only root can do this. Others keep the file that they have made.
            _ = fchown(&file, Some(former.uid()), Some(former.gid()));
        }
    }
    if readers == Readers::All {
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes a file that only its owner can read.
fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Waits until nobody else holds the lock of a file, which must exist. The lock ends with the value.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    // Some network file systems lock only files that are open for writing.
    let file = OpenOptions::new().read(true).write(true).open(path);
    let locked = file.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| of(path, error))
}

/// A file that is read again when it changes.
pub(crate) struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
}

/// By this, a change of a file is noticed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Watched {
    /// A file that has not been read yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            stamp: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file has changed since the last call. A file that is missing has not.
    pub(crate) fn has_changed(&mut self) -> bool {
        let stamp = fs::metadata(&self.path).ok().map(|found| Stamp {
            inode: found.ino(),
            len: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        });
        let has_changed = stamp.is_some() && stamp != self.stamp;
        if has_changed {
            self.stamp = stamp;
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        make_folder(&inner).unwrap();
        assert!(make_folder(&inner).is_err());
        let path = inner.join("key");
        create(&path, "one").unwrap();
        for path in [&inner, &path] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0);
        }
        assert!(create(&path, "two").is_err());
        assert_eq!(read_private(&path).unwrap(), "one");
        replace(&path, "three", Readers::Owner).unwrap();
        assert_eq!(read_private(&path).unwrap(), "three");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_private(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_file_system_without_hard_links_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        // FAT answers this.
        let link = |_: &Path, _: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        create_by(&path, "one", link).unwrap();
        assert_eq!(read_private(&path).unwrap(), "one");
        let error = create_by(&path, "two", link).unwrap_err().to_string();
        assert!(error.contains("exists"), "{error}");
        assert_eq!(read_private(&path).unwrap(), "one");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_replaced_file_keeps_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, "one").unwrap();
        // Only root can give a file away; for others, the file remains their own.
        let _ = std::os::unix::fs::chown(&path, Some(12_345), Some(12_345));
        let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
        let before = owner(&path);
        for readers in [Readers::Owner, Readers::All] {
            replace(&path, "two", readers).unwrap();
            assert_eq!(owner(&path), before);
        }
    }

    #[test]
    fn changes_are_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut watched = Watched::new(&path);
        assert!(!watched.has_changed());
        for text in ["one", "two"] {
            replace(&path, text, Readers::Owner).unwrap();
            assert!(watched.has_changed() && !watched.has_changed());
        }
        fs::remove_file(&path).unwrap();
        assert!(!watched.has_changed());
    }
}
