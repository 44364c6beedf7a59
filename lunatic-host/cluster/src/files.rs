//! Files: private ones, and ones that are read again when they change.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The most bytes of a file: a list of a hundred thousand revoked certificates fits.
const LEN_MAX: u64 = 8 << 20;

/// An error about a file.
pub(crate) fn of(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    read_from(path, File::open(path).map_err(|error| of(path, error))?)
}

/// Reads a file with a private key, which nobody but its owner may be able to read.
pub(crate) fn read_private(path: &Path) -> io::Result<String> {
    let file = File::open(path).map_err(|error| of(path, error))?;
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

/// Writes a file that only its owner can read: a whole new one in place of the old one, so that nobody reads a part.
///
/// # Errors
///
/// If it cannot be written; without `replaces`, also if it exists.
pub(crate) fn write(path: &Path, text: &str, replaces: bool) -> io::Result<()> {
    let mut own = path.as_os_str().to_owned();
    own.push(format!(".{}.new", std::process::id()));
    let own = PathBuf::from(own);
    let written = write_new(&own, text).and_then(|()| match replaces {
        true => fs::rename(&own, path),
        // Fails if the file exists.
        false => fs::hard_link(&own, path),
    });
    if written.is_err() || !replaces {
        // It was renamed, or is not needed.
        _ = fs::remove_file(&own);
    }
    written.map_err(|error| of(path, error))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // A former attempt may have left it behind.
    _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
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
        write(&path, "one", false).unwrap();
        for path in [&inner, &path] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0);
        }
        assert!(write(&path, "two", false).is_err());
        assert_eq!(read_private(&path).unwrap(), "one");
        write(&path, "three", true).unwrap();
        assert_eq!(read_private(&path).unwrap(), "three");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_private(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn changes_are_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut watched = Watched::new(&path);
        assert!(!watched.has_changed());
        for text in ["one", "two"] {
            write(&path, text, true).unwrap();
            assert!(watched.has_changed() && !watched.has_changed());
        }
        fs::remove_file(&path).unwrap();
        assert!(!watched.has_changed());
    }
}
