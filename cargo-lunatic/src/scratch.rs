//! Folders for temporary files that other users of the machine can neither prepare nor read.

use std::fs::DirBuilder;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// How often another name is tried if there is something with that name already, which is improbable.
const ATTEMPTS: u32 = 16;

/// A new folder of this user alone. It is removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Creates a folder among the temporary files; `purpose` is a part of its name.
    pub(crate) fn new(purpose: &str) -> io::Result<Self> {
        let parent = std::env::temp_dir();
        let mut attempt = 0;
        loop {
            let number = RandomState::new().build_hasher().finish();
            let path = parent.join(format!("cargo-lunatic-{purpose}-{number:016x}"));
            attempt += 1;
            match create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Creates a folder that must not exist. What another user had put there could contain links to files of this user, or
/// be replaced after it was written.
fn create(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the folder for temporary files does no harm.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_is_new_and_for_its_user_alone() {
        let folders = [(); 2].map(|()| Scratch::new("test").unwrap());
        assert_ne!(folders[0].path(), folders[1].path());
        for folder in folders {
            let path = folder.path().to_path_buf();
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{path:?}");
            std::fs::write(path.join("file"), "").unwrap();
            drop(folder);
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_others_have_prepared_is_not_used() {
        let theirs = tempfile::tempdir().unwrap();
        let link = theirs.path().join("link");
        symlink(theirs.path(), &link).unwrap();
        for prepared in [theirs.path(), &link] {
            let error = create(prepared).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{prepared:?}");
        }
    }
}
