//! Linux: cookies are the file system's own positions in a folder, so a call continues where the last one ended, even
//! if files have come or gone meanwhile.
//!
//! A position may be valid only while the folder stays open, and finding it may take long. Therefore the folder that
//! was listed last stays open with a position of its own, at the cost of a descriptor. If there is no descriptor left,
//! it is opened for each call.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RawDirEntry, SeekFrom, openat, seek, statat};
use wasmtime::{Caller, Result};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::filesystem::Descriptor;

use super::super::{ProcessWasi, blocking, errno};
use super::Arguments;
use crate::guest_memory;
use crate::imports::pieces;
use crate::instance::Ctx;

/// How many bytes of entries are listed between two checks of the time slice.
const PIECE: u32 = 64 << 10;
/// The size of an entry without its name, in bytes: `dirent` of WASI.
const HEAD: usize = 24;
/// WASI's file type of a folder.
const DIRECTORY: u8 = 3;
/// The operating system needs room for at least one entry.
const ENTRY_MAX: usize = 512;

/// A folder that is open for listing.
pub(in super::super) struct Listing {
    fd: i32,
    folder: File,
    /// Its device, and its inode number there.
    identity: (u64, u64),
}

/// The result of one call: entries, the position at which to continue, and whether the list is complete.
struct Listed {
    entries: Vec<u8>,
    cookie: u64,
    is_all: bool,
}

pub(super) async fn list(caller: &mut Caller<'_, Ctx>, arguments: Arguments) -> Result<i32> {
    let (fd, to, len, cookie, out) = arguments;
    let (to, len, out) = (to.cast_unsigned(), len.cast_unsigned(), out.cast_unsigned());
    guest_memory::slice(caller, to, len)?;
    guest_memory::slice(caller, out, 4)?;
    let (mut done, mut cookie) = (0, cookie.cast_unsigned());
    while done < len {
        let room = (len - done).min(PIECE);
        let is_last = done + room == len;
        let permit = blocking::permit(caller).await;
        let listed = blocking::run(caller, permit, move |wasi| {
            wasi.list(fd, cookie, room as usize, is_last)
        });
        let Listed {
            entries,
            cookie: next,
            is_all,
        } = match listed.await? {
            Ok(Some(listed)) => listed,
            // This happens only if wasmtime-wasi assigns inode numbers differently than when this was written.
            Ok(None) => return super::list_all(caller, arguments).await,
            Err(code) => return Ok(code),
        };
        guest_memory::write(caller, to + done, &entries)?;
        done += u32::try_from(entries.len())?;
        cookie = next;
        if is_all || is_last {
            break;
        }
        pieces::pause(caller).await;
    }
    guest_memory::write(caller, out, &done.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

impl ProcessWasi {
    /// Lists at most `room` bytes of entries of a folder, from a position on; if `is_last`, the last entry may be cut
    /// off. Returns an error code if this fails, and `None` if the folder is not found.
    fn list(&mut self, fd: i32, cookie: u64, room: usize, is_last: bool) -> Result<Option<Listed>, i32> {
        if let Some(listing) = self.listing.as_ref().filter(|listing| listing.fd == fd) {
            return listing.list(cookie, room, is_last).map(Some);
        }
        self.stop_listing();
        let Some(folder) = self.folder(fd)? else {
            return Ok(None);
        };
        let listing = Listing::open(fd, &folder).map_err(|error| code(&error))?;
        let listed = listing.list(cookie, room, is_last)?;
        if self.descriptors.grow(1) {
            self.listing = Some(listing);
        }
        Ok(Some(listed))
    }

    /// The folder that is open as `fd`, or an identical one, which is equivalent.
    fn folder(&mut self, fd: i32) -> Result<Option<Arc<File>>, i32> {
        /// The offsets of the inode number and the file type in a `filestat`.
        const NUMBER: usize = 8;
        const KIND: usize = 16;
        let stat = self.filestat(fd)?;
        if stat[KIND] != DIRECTORY {
            return Err(errno::NOTDIR);
        }
        let wanted = u64::from_le_bytes(stat[NUMBER..][..8].try_into().expect("eight bytes"));
        let mut folders =
            self.context
                .ctx()
                .table
                .iter_mut()
                .filter_map(|entry| match entry.downcast_ref::<Descriptor>()? {
                    Descriptor::Dir(folder) => Some(folder.dir.clone()),
                    Descriptor::File(_) => None,
                });
        let is_wanted = |folder: &Arc<File>| identity(folder).is_ok_and(|identity| number(identity) == wanted);
        Ok(folders.find(is_wanted))
    }
}

impl Listing {
    /// Opens the folder again, with a position of its own.
    fn open(fd: i32, folder: &File) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let folder = File::from(openat(folder, ".", flags, Mode::empty())?);
        let identity = identity(&folder)?;
        Ok(Self { fd, folder, identity })
    }

    /// The number of the folder.
    pub(in super::super) fn fd(&self) -> i32 {
        self.fd
    }

    fn list(&self, cookie: u64, room: usize, is_last: bool) -> Result<Listed, i32> {
        seek(&self.folder, SeekFrom::Start(cookie)).map_err(|error| code(&error.into()))?;
        let mut listed = Listed {
            entries: Vec::with_capacity(room),
            cookie,
            is_all: false,
        };
        let mut buffer = vec![MaybeUninit::uninit(); room.max(ENTRY_MAX)];
        let mut entries = RawDir::new(&self.folder, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| code(&error.into()))?;
            let name = entry.file_name().to_bytes();
            if std::str::from_utf8(name).is_err() {
                return Err(errno::ILSEQ);
            }
            let head = self.head(&entry);
            let left = room - listed.entries.len();
            if left < HEAD + name.len() {
                if is_last {
                    let cut = head.iter().chain(name).take(left);
                    listed.entries.extend(cut);
                }
                return Ok(listed);
            }
            listed.entries.extend_from_slice(&head);
            listed.entries.extend_from_slice(name);
            listed.cookie = entry.next_entry_cookie();
        }
        listed.is_all = true;
        Ok(listed)
    }

    /// The head of an entry, before its name.
    fn head(&self, entry: &RawDirEntry<'_>) -> [u8; HEAD] {
        let name = entry.file_name().to_bytes();
        // The guest must not learn about anything outside of the folder.
        let identity = match name {
            b"." | b".." => self.identity,
            _ => (self.identity.0, entry.ino()),
        };
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&entry.next_entry_cookie().to_le_bytes());
        head[8..16].copy_from_slice(&number(identity).to_le_bytes());
        head[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
        head[20] = self.kind(entry);
        head
    }

    /// The file type of an entry, as WASI's number.
    fn kind(&self, entry: &RawDirEntry<'_>) -> u8 {
        let kind = match entry.file_type() {
            // Some file systems do not report it, and the file may be gone.
            FileType::Unknown => statat(&self.folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
            kind => kind,
        };
        match kind {
            FileType::BlockDevice => 1,
            FileType::CharacterDevice => 2,
            FileType::Directory => DIRECTORY,
            FileType::RegularFile => 4,
            FileType::Symlink => 7,
            _ => 0,
        }
    }
}

/// The device and the inode number of a file.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The inode number that guests see, computed as wasmtime-wasi does.
fn number(identity: (u64, u64)) -> u64 {
    let mut hasher = DefaultHasher::new();
    identity.hash(&mut hasher);
    hasher.finish()
}

/// The WASI code for an error of the operating system.
fn code(error: &io::Error) -> i32 {
    lunatic_net::errno::of(error)
}
