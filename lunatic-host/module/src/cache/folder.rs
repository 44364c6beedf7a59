//! The folder of the entries: who may write there, what it contains, and what must be removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::entry::{self, ReadError};
use super::{Disabled, Key, PutError};

/// How old a modification time may become before a hit renews it.
const USED_PRECISION: Duration = Duration::from_secs(60 * 60);
/// How old an unfinished file must be to count as left by an interrupted write.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// The prefix of the names of unfinished files.
const UNFINISHED_PREFIX: &str = ".unfinished-";

/// A folder that belongs to this user alone.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// An entry among others, without its payload.
struct Listed {
    path: PathBuf,
    used: SystemTime,
    size: u64,
}

impl Folder {
    /// Opens the folder, or creates it.
    pub(super) fn open(path: &Path) -> Result<Self, Disabled> {
        let io = |source| Disabled::Io {
            folder: path.to_owned(),
            source,
        };
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
                fs::metadata(path).map_err(io)?
            }
            metadata => metadata.map_err(io)?,
        };
        check_owner(path, &metadata)?;
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn place_of(&self, key: &Key) -> PathBuf {
        self.path.join(key.file_name())
    }

    pub(super) fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.place_of(key);
        // Never wait for a pipe in its place, and never follow a link out of the folder.
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).ok()?;
        let metadata = file.metadata().ok()?;
        // Whoever can rename the parent folder can replace this one, but cannot create files of this user.
        if metadata.uid() != user() {
            return None;
        }
        match entry::read(&file, metadata.len(), key) {
            Ok(payload) => {
                renew(&file, metadata.modified().ok());
                Some(payload)
            }
            Err(ReadError::Damaged) => {
                // If it still exists next time, it is found damaged again.
                let _ = fs::remove_file(&path);
                None
            }
            Err(ReadError::Io) => None,
        }
    }

    pub(super) fn put(&self, key: &Key, payload: &[u8]) -> Result<(), PutError> {
        let unfinished = self.unfinished_place();
        let io = |source| PutError::Io {
            path: unfinished.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(io)?;
        // Not synced: an entry that a crash leaves incomplete is found damaged when it is read.
        let written = entry::write(&mut file, key, payload).and_then(|()| fs::rename(&unfinished, self.place_of(key)));
        written.map_err(|error| {
            // If it cannot be removed now, it is removed later as too old.
            let _ = fs::remove_file(&unfinished);
            io(error)
        })
    }

    /// A name that no other thread and no other process uses.
    fn unfinished_place(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Processes in different containers may share the folder and have the same id: the rest distinguishes them.
        let random = rand::random::<u64>();
        self.path.join(format!(
            "{UNFINISHED_PREFIX}{}-{count}-{random:016x}",
            std::process::id()
        ))
    }

    /// Removes the least recently used entries until the rest has at most `size_max` bytes.
    ///
    /// The entry of `keep` stays, and so do files that are not entries. If two processes do this at the same time, they
    /// may remove more than necessary.
    pub(super) fn shrink_to(&self, size_max: u64, keep: &Key) {
        let mut entries = self.list();
        let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
        if size <= size_max {
            return;
        }
        let keep = self.place_of(keep);
        entries.retain(|entry| entry.path != keep);
        entries.sort_by_key(|entry| entry.used);
        for entry in entries {
            if size <= size_max {
                break;
            }
            // A file that is already gone does not count any more; one that cannot be removed still counts.
            match fs::remove_file(&entry.path) {
                Ok(()) => size -= entry.size,
                Err(error) if error.kind() == ErrorKind::NotFound => size -= entry.size,
                Err(_) => {}
            }
        }
    }

    /// Lists all entries. Removes unfinished ones that nobody will finish.
    fn list(&self) -> Vec<Listed> {
        let Ok(files) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        let mut entries = Vec::new();
        for file in files.flatten() {
            let Ok(name) = file.file_name().into_string() else {
                continue;
            };
            let Ok(metadata) = file.metadata() else { continue };
            let Ok(used) = metadata.modified() else { continue };
            if Key::is_file_name(&name) {
                entries.push(Listed {
                    path: file.path(),
                    used,
                    size: metadata.len(),
                });
            } else if name.starts_with(UNFINISHED_PREFIX) && age(used) > UNFINISHED_AGE_MAX {
                // If it cannot be removed now, this is tried again at the next write.
                let _ = fs::remove_file(file.path());
            }
        }
        entries
    }
}

/// Refuses a folder in which other users can create files.
fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), Disabled> {
    let folder = path.to_owned();
    if !metadata.is_dir() {
        return Err(Disabled::NotAFolder { folder });
    }
    if metadata.uid() != user() {
        return Err(Disabled::ForeignOwner {
            folder,
            owner: metadata.uid(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Disabled::WritableByOthers { folder, mode });
    }
    Ok(())
}

/// The effective user of this program.
fn user() -> u32 {
    // SAFETY: takes no arguments, cannot fail, and touches no memory.
    unsafe { libc::geteuid() }
}

/// How long ago `time` was; the longest duration if it is in the future because of a wrong clock.
fn age(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or(Duration::MAX)
}

/// Records that an entry was used now.
fn renew(file: &File, used: Option<SystemTime>) {
    if used.is_some_and(|used| age(used) > USED_PRECISION) {
        // A folder that cannot be written to loses entries in the order in which they were made, or none.
        let _: io::Result<()> = file.set_modified(SystemTime::now());
    }
}
