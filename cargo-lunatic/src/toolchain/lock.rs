//! Lets only one process at a time make a toolchain: locks a file in the cache folder. The operating system releases
//! the lock however its holder ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::shell::Shell;

/// Held while a toolchain is made.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other process holds the lock of `folder`, which is created if it is missing.
    pub(super) fn take(folder: &Path, shell: Shell) -> Result<Lock, String> {
        let path = folder.join("lock");
        let file = std::fs::create_dir_all(folder)
            .and_then(|()| File::options().create(true).truncate(false).write(true).open(&path))
            .map_err(|error| format!("cannot write in the cache folder `{}`: {error}", folder.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                shell.status("Waiting", "for another cargo-lunatic that is making the toolchain");
                file.lock()
                    .map_err(|error| format!("cannot lock `{}`: {error}", path.display()))?;
            }
            // Some network file systems have no locks; the final rename still leaves nothing half-made.
            Err(TryLockError::Error(_)) => {}
        }
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_second_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let shell = Shell::new(true, None);
        let first = Lock::take(&path, shell).unwrap();
        let (sender, receiver) = mpsc::channel();
        let second = {
            let path = path.clone();
            std::thread::spawn(move || {
                sender.send("started").unwrap();
                let _second = Lock::take(&path, shell).unwrap();
                sender.send("locked").unwrap();
            })
        };
        assert_eq!(receiver.recv(), Ok("started"));
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(first);
        assert_eq!(receiver.recv(), Ok("locked"));
        second.join().unwrap();
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Lock::take(&file.join("cache"), Shell::new(true, None)).unwrap_err();
        assert!(error.starts_with("cannot write in the cache folder"), "{error}");
    }
}
