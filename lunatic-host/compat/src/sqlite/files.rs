//! Confines SQLite to the folders of a process: the kernel opens each file that SQLite opens, within such a folder.
//!
//! SQLite knows files only by paths, and derives the paths of journals from that of the database. So a database gets a
//! path `/@lunatic/NUMBER.KEY/PATH`, where the number stands for an open folder. The system calls in SQLite's own layer
//! for Unix that take a path are replaced: they resolve such a path beneath the folder. While a thread works for a guest,
//! all other paths fail, except the source of random numbers.
//!
//! The key is a number that nobody can guess. A guest can write any path into a journal, which SQLite then opens and
//! removes: without the key, it would reach the folders of other processes.
//!
//! `linux.rs` and `unix.rs` are twins: how a file in a folder is opened, with the calls of Linux and with those of every Unix.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
mod unix;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use libsqlite3_sys as sqlite;
use lunatic_host::rights::files::Folder;
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

#[cfg(not(target_vendor = "apple"))]
use libc::__errno_location as errno;
#[cfg(target_vendor = "apple")]
use libc::__error as errno;

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as platform;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unix as platform;

/// The layer of SQLite for databases that no other process of the system has open. It keeps what several connections to
/// one database share on the heap. The default layer maps a file, and whoever truncates that file would crash the host.
pub(super) const LAYER: &CStr = c"unix-excl";

const PREFIX: &str = "/@lunatic/";
const RANDOM: &CStr = c"/dev/urandom";

/// The open folders by their numbers, each with its key.
static FOLDERS: Mutex<BTreeMap<u64, (u64, Folder)>> = Mutex::new(BTreeMap::new());
static NUMBER: AtomicU64 = AtomicU64::new(0);

thread_local!(static IS_GUEST: Cell<bool> = const { Cell::new(false) });

/// While this lives, its thread works for a guest.
pub(super) struct Guest(bool);

impl Guest {
    pub(super) fn enter() -> Self {
        Self(IS_GUEST.replace(true))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        IS_GUEST.set(self.0);
    }
}

/// A file in an open folder, by a path that SQLite can use as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    pub(super) path: CString,
}

impl Place {
    /// `path` is relative to the folder; nobody can guess the `key`. `None` if it is not a valid path.
    pub(crate) fn new(folder: Folder, path: &str, key: u64) -> Option<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = CString::new(format!("{PREFIX}{number}.{key:x}/{path}")).ok()?;
        FOLDERS.lock().insert(number, (key, folder));
        Some(Self { number, path })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        FOLDERS.lock().remove(&self.number);
    }
}

/// The folder and the relative path that a path of SQLite stands for.
fn find(path: &CStr) -> Option<(Folder, PathBuf)> {
    let rest = path.to_bytes().strip_prefix(PREFIX.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let (number, key) = std::str::from_utf8(&rest[..end]).ok()?.split_once('.')?;
    let (number, key) = (number.parse().ok()?, u64::from_str_radix(key, 16).ok()?);
    let folder = match FOLDERS.lock().get(&number) {
        Some((own, folder)) if *own == key => folder.clone(),
        _ => return None,
    };
    let path = rest[end..].strip_prefix(b"/").filter(|path| !path.is_empty());
    let path = path.unwrap_or(b".");
    Some((folder, Path::new(std::ffi::OsStr::from_bytes(path)).to_path_buf()))
}

/// Opens a file in a folder.
fn open_beneath(folder: &Folder, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, c_int> {
    if folder.read_only && flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC) {
        return Err(libc::EACCES);
    }
    let mode = if flags.contains(OFlags::CREATE) {
        mode
    } else {
        Mode::empty()
    };
    platform::open(folder, path, flags | OFlags::CLOEXEC, mode).map_err(Errno::raw_os_error)
}

/// Returns the properties of the file of a path, and its folder.
fn look(path: &CStr) -> Result<(Folder, libc::stat), c_int> {
    let (folder, path) = find(path).ok_or(libc::EACCES)?;
    let properties = platform::stat(&folder, &path).map_err(Errno::raw_os_error)?;
    Ok((folder, properties))
}

/// The result of a system call: the value, or -1 with the error set.
fn returned(result: Result<c_int, c_int>) -> c_int {
    result.unwrap_or_else(|error| {
        // SAFETY: the location of this thread's error number always exists.
        unsafe { *errno() = error };
        -1
    })
}

/// The error of the system call that this thread made last.
fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// A path of SQLite.
///
/// # Safety
///
/// `path` is a string that ends with a zero byte and lives for `'a`.
unsafe fn text<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: the caller promises that.
    unsafe { CStr::from_ptr(path) }
}

unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: SQLite passes what it would pass to the system.
    let name = unsafe { text(path) };
    if !IS_GUEST.get() || (name == RANDOM && flags & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT) == 0) {
        // SAFETY: as above.
        return unsafe { libc::open(path, flags, mode) };
    }
    returned(find(name).ok_or(libc::EACCES).and_then(|(folder, path)| {
        let mode = Mode::from_bits_truncate(mode as _);
        let file = open_beneath(&folder, &path, OFlags::from_bits_retain(flags as _), mode)?;
        Ok(file.into_raw_fd())
    }))
}

unsafe extern "C" fn stat(path: *const c_char, out: *mut libc::stat) -> c_int {
    if !IS_GUEST.get() {
        // SAFETY: SQLite passes what it would pass to the system.
        return unsafe { libc::stat(path, out) };
    }
    // SAFETY: as above.
    let found = look(unsafe { text(path) });
    returned(found.map(|(_, properties)| {
        // SAFETY: SQLite passes a place for the properties.
        unsafe { out.write(properties) };
        0
    }))
}

/// SQLite calls this for all parts of a path to find links. The kernel resolves links itself, beneath the folder.
unsafe extern "C" fn lstat(path: *const c_char, out: *mut libc::stat) -> c_int {
    if !IS_GUEST.get() {
        // SAFETY: SQLite passes what it would pass to the system.
        return unsafe { libc::lstat(path, out) };
    }
    returned(Err(libc::ENOENT))
}

unsafe extern "C" fn readlink(path: *const c_char, out: *mut c_char, len: usize) -> isize {
    if !IS_GUEST.get() {
        // SAFETY: SQLite passes what it would pass to the system.
        return unsafe { libc::readlink(path, out, len) };
    }
    returned(Err(libc::EINVAL)) as isize
}

unsafe extern "C" fn access(path: *const c_char, mode: c_int) -> c_int {
    if !IS_GUEST.get() {
        // SAFETY: SQLite passes what it would pass to the system.
        return unsafe { libc::access(path, mode) };
    }
    // SAFETY: as above.
    let file = look(unsafe { text(path) });
    returned(
        file.and_then(|(folder, _)| match folder.read_only && mode & libc::W_OK != 0 {
            true => Err(libc::EACCES),
            false => Ok(0),
        }),
    )
}

unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    if !IS_GUEST.get() {
        // SAFETY: SQLite passes what it would pass to the system.
        return unsafe { libc::unlink(path) };
    }
    // SAFETY: as above.
    let found = find(unsafe { text(path) }).ok_or(libc::EACCES);
    returned(found.and_then(|(folder, path)| {
        if folder.read_only {
            return Err(libc::EACCES);
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = path.file_name().ok_or(libc::EACCES)?;
        let removed = platform::folder(&folder, parent.unwrap_or(Path::new(".")))
            .and_then(|parent| rustix::fs::unlinkat(&parent, name, rustix::fs::AtFlags::empty()));
        removed.map(|()| 0).map_err(Errno::raw_os_error)
    }))
}

/// Always fails, as whoever truncates a mapped file would crash the host.
unsafe extern "C" fn mmap(
    at: *mut c_void,
    len: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    if !IS_GUEST.get() {
        // SAFETY: SQLite passes what it would pass to the system.
        return unsafe { libc::mmap(at, len, protection, flags, file, offset) };
    }
    returned(Err(libc::ENOMEM));
    libc::MAP_FAILED
}

/// Replaces SQLite's system calls, once.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let calls: [(&CStr, *const ()); 7] = [
            (c"open", open as *const ()),
            (c"stat", stat as *const ()),
            (c"lstat", lstat as *const ()),
            (c"readlink", readlink as *const ()),
            (c"access", access as *const ()),
            (c"unlink", unlink as *const ()),
            (c"mmap", mmap as *const ()),
        ];
        // SAFETY: SQLite has a layer of this name on Unix, and its functions may be called at any time. Each function
        // has the type with which SQLite calls it: that of the system call of the same name.
        let replaced = unsafe {
            let layer = sqlite::sqlite3_vfs_find(LAYER.as_ptr());
            let set = layer.as_ref().and_then(|layer| layer.xSetSystemCall);
            let set = set.expect("SQLite was built for Unix");
            calls.into_iter().all(|(name, function)| {
                let function = std::mem::transmute::<*const (), unsafe extern "C" fn()>(function);
                set(layer, name.as_ptr(), Some(function)) == sqlite::SQLITE_OK
            })
        };
        assert!(
            replaced,
            "SQLite calls the system in another way: databases would be opened anywhere"
        );
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lunatic_kernel::shares::Group;
    use lunatic_kernel::stock::{Portion, Stock};

    use super::super::library::{Connection, Step};
    use super::super::memory::Account;
    use super::super::wire::Value;
    use super::*;

    /// A folder with a database of its own process.
    fn open(folder: &tempfile::TempDir, key: u64) -> Arc<Connection> {
        let given = Folder::open(folder.path(), "/".into(), false).unwrap();
        let place = Place::new(given, "db", key);
        let account = Account::new(Group::new(), None);
        let paid = Portion::none(&Stock::new(0), &Group::new());
        let _guest = Guest::enter();
        Arc::new(Connection::open(place, account, paid).unwrap())
    }

    /// The path by which SQLite knows the file of a database, as it tells guests.
    fn path(connection: &Arc<Connection>) -> String {
        let statement = connection.prepare("SELECT file FROM pragma_database_list").unwrap();
        assert_eq!(statement.step(), Ok(Step::Row));
        match statement.row().remove(0) {
            Value::Text(path) => path.into_owned(),
            other => panic!("{other:?} is no path"),
        }
    }

    /// A journal that names another file, as that of a transaction over several databases: when SQLite rolls the database
    /// back, it removes that file, if the file names the journal.
    fn journal(names: &str) -> Vec<u8> {
        let sum: u32 = names.bytes().map(u32::from).sum();
        let mut journal = b"no header".to_vec();
        journal.extend([0; 4]);
        journal.extend(names.bytes());
        journal.extend((names.len() as u32).to_be_bytes());
        journal.extend(sum.to_be_bytes());
        journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
        journal
    }

    #[test]
    fn a_journal_reaches_no_folder_of_another_process() {
        // SQLite accepts only names of this form.
        const PRECIOUS: &str = "precious-mj012345967";
        let [own, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let precious = other.path().join(PRECIOUS);
        let (victim, attacker) = (open(&other, 7), open(&own, 8));
        let _guest = Guest::enter();
        assert_eq!(attacker.execute("CREATE TABLE t (x)"), 0);
        drop(attacker);
        let of_victim = path(&victim);
        let (number, _) = of_victim[PREFIX.len()..].split_once('.').unwrap();
        let is_there_after = |folder: &str| {
            let attacker = open(&own, 9);
            std::fs::write(&precious, format!("{}-journal\0", path(&attacker))).unwrap();
            let names = format!("{PREFIX}{folder}/{PRECIOUS}");
            let rolled_back = own.path().join("db-journal");
            std::fs::write(&rolled_back, journal(&names)).unwrap();
            assert_eq!(attacker.execute("SELECT * FROM t"), 0, "{names}");
            assert!(!rolled_back.exists(), "{names}");
            precious.exists()
        };
        // What it can guess: the numbers of others, and its own key.
        for folder in [".8", ".0", ".", ".9", ""].map(|key| format!("{number}{key}")) {
            assert!(is_there_after(&folder), "{folder}");
        }
        // Whoever knew the key could do it.
        assert!(!is_there_after(&format!("{number}.7")));
    }
}
