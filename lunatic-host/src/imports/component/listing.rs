//! Lists of folders, read in pieces: a list takes up the same room, however many files the folder has.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::held::Held;

/// How many entries are read at a time.
const PIECE: usize = 64;
/// The size of a list in the host in bytes: the entries of a piece, with the longest names, and the buffer of the
/// operating system's library.
pub(super) const LISTING_SIZE: usize = PIECE * 320 + (36 << 10);

/// A folder that is being listed.
pub(super) struct Listing {
    folder: Arc<File>,
    entries: Dir,
    /// What was read and not taken.
    read: VecDeque<Result<DirectoryEntry, ErrorCode>>,
    is_all: bool,
    _held: Arc<Held>,
}

impl Listing {
    /// Begins a list. May block.
    pub(super) fn open(folder: Arc<File>, held: Arc<Held>) -> Result<Self, ErrorCode> {
        // A folder that the process was given may be open only as a place, and not for reading.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&*folder, ".", flags, Mode::empty()).map_err(code)?;
        let entries = Dir::new(opened).map_err(code)?;
        Ok(Self {
            folder,
            entries,
            read: VecDeque::new(),
            is_all: false,
            _held: held,
        })
    }

    /// Returns whether [`read`](Self::read) must be called before the next entry can be taken.
    pub(super) fn must_read(&self) -> bool {
        self.read.is_empty() && !self.is_all
    }

    /// Takes the next entry; `None` at the end.
    pub(super) fn take(&mut self) -> Result<Option<DirectoryEntry>, ErrorCode> {
        self.read.pop_front().transpose()
    }

    /// Reads the next entries. May block.
    pub(super) fn read(&mut self) {
        while self.read.len() < PIECE {
            let Some(entry) = self.entries.read() else {
                self.is_all = true;
                return;
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.read.push_back(Err(code(error)));
                    self.is_all = true;
                    return;
                }
            };
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = statat(&*self.folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                    stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
                }
                known => known,
            };
            let name = entry.file_name().to_str();
            self.read.push_back(match name {
                Ok(name) => Ok(DirectoryEntry {
                    type_: descriptor_type(kind),
                    name: name.to_owned(),
                }),
                Err(_) => Err(ErrorCode::IllegalByteSequence),
            });
        }
    }
}

fn code(error: rustix::io::Errno) -> ErrorCode {
    std::io::Error::from(error).into()
}

fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        _ => DescriptorType::Unknown,
    }
}
