//! The folder of dumps: names that no guest chooses, private files, and room for one more.
//!
//! All operations use the folder that was opened at the start, even if its path now leads elsewhere.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use lunatic_kernel::address::Id;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

/// The suffix of an incomplete file.
const PART: &str = ".part";

/// The name of a dump: the time, by which dumps are ordered, the host's process id, and the process.
pub(super) fn name(time: Duration, id: Id) -> String {
    let id = id.to_string();
    let (time, pid) = (time.as_millis(), std::process::id());
    format!("lunatic-{time:013}-{pid}-{}.wasm", id.trim_start_matches('#'))
}

/// Whether a file has the name of a dump, complete or not.
fn is_dump(name: &str) -> bool {
    let whole = name.strip_suffix(PART).unwrap_or(name);
    let parts = whole
        .strip_prefix("lunatic-")
        .and_then(|rest| rest.strip_suffix(".wasm"));
    let parts: Vec<&str> = parts.map_or_else(Vec::new, |parts| parts.split('-').collect());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    parts.len() == 3 && parts[0].len() >= 13 && parts.iter().all(|part| is_number(part))
}

pub(super) struct Folder(OwnedFd);

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Removes files of earlier runs, the oldest first, until there is room for `wanted` bytes and one file more.
    /// Returns the bytes for which there is room.
    pub(super) fn make_room(
        &self,
        own: &[(String, u64)],
        limit: usize,
        bytes_max: u64,
        wanted: u64,
    ) -> io::Result<u64> {
        let others = self.others(own)?;
        let mut bytes: u64 = own.iter().chain(&others).map(|(_, len)| len).sum();
        let mut oldest = others.into_iter();
        while oldest.len() > 0 && (own.len() + oldest.len() >= limit || bytes.saturating_add(wanted) > bytes_max) {
            let Some((name, len)) = oldest.next() else { break };
            rustix::fs::unlinkat(&self.0, &*name, AtFlags::empty())?;
            bytes -= len;
        }
        Ok(bytes_max.saturating_sub(bytes))
    }

    /// The dumps that are not in `own`, the oldest first, and their sizes.
    fn others(&self, own: &[(String, u64)]) -> io::Result<Vec<(String, u64)>> {
        let mut others = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if is_dump(name) && own.iter().all(|(own, _)| own != name) {
                others.extend(self.len(name).map(|len| (name.to_owned(), len)));
            }
        }
        others.sort();
        Ok(others)
    }

    /// The size of a file; `None` if it does not exist or is not a regular file.
    fn len(&self, name: &str) -> Option<u64> {
        let found = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        u64::try_from(found.st_size).ok().filter(|_| is_file)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.len(name).is_some()
    }

    /// Creates a private file, with another name until it is [complete](Self::complete).
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::openat(&self.0, format!("{name}{PART}"), flags, mode)?.into())
    }

    pub(super) fn complete(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, format!("{name}{PART}"), &self.0, name)?)
    }

    /// Removes what exists of a file that cannot be written.
    pub(super) fn give_up(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.0, format!("{name}{PART}"), AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_and_sort_by_time() {
        let id = "#17.2".parse().unwrap();
        let names = [9, 10_000, 1_764_281_735_000].map(|ms| name(Duration::from_millis(ms), id));
        assert!(names.is_sorted() && names.iter().all(|name| is_dump(name)), "{names:?}");
        assert!(is_dump(&format!("{}{PART}", names[0])));
        for other in [
            "lunatic.toml",
            "lunatic-.wasm",
            "lunatic-1-2-3.wasm",
            "lunatic-1764281735000-1-x.wasm",
            "",
        ] {
            assert!(!is_dump(other), "{other}");
        }
    }

    #[test]
    fn earlier_dumps_make_room_the_oldest_first_and_nothing_else_goes() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("new/folder")).unwrap();
        let write = |name: &str, len: usize| {
            std::fs::write(place.path().join("new/folder").join(name), vec![0; len]).unwrap();
        };
        let dump = |at: u64| name(Duration::from_millis(at), "1".parse().unwrap());
        (1..=5).for_each(|at| write(&dump(at), 100));
        write("notes.wasm", 7);
        let own = [(dump(1), 100)];
        assert_eq!(folder.make_room(&own, 5, 1000, 100).unwrap(), 600);
        let is_there = |at| folder.has(&dump(at));
        assert_eq!([1, 2, 3, 4, 5].map(is_there), [true, false, true, true, true]);
        assert_eq!(folder.make_room(&own, 5, 350, 200).unwrap(), 250);
        assert_eq!([1, 3, 4, 5].map(is_there), [true, false, false, false]);
        assert!(folder.has("notes.wasm"));
    }

    #[test]
    fn a_file_is_its_owners_alone_and_replaces_none() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("dumps");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder.create("a").unwrap());
        assert!(folder.create("a").is_err(), "it is there already");
        folder.complete("a").unwrap();
        assert_eq!(
            std::fs::metadata(path.join("a")).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::os::unix::fs::symlink("/dev/null", path.join("b.part")).unwrap();
        assert!(folder.create("b").is_err(), "a link is not followed");
        folder.give_up("b");
        assert!(folder.create("b").is_ok());
    }
}
