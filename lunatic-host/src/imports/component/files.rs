//! `wasi:filesystem`: operations on files and folders. wasmtime-wasi does the work, on a thread that may block
//! ([`aside`]). Denials are logged, paths that a process did not get are remembered for the report of its failure, and the
//! limit of open files is enforced.

use std::sync::Arc;

use lunatic_kernel::budget::{Payer as _, Receipt, Resource as Charged};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    Filesize, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::aside::{self, Aside};
use super::file_streams::{FileInput, FileOutput, OpenFile, Place};
use super::held::{FILE_SIZE, Held};
use super::listing::{LISTING_SIZE, Listing};
use super::state::{State, View};
use crate::imports::wasi::blocking::now;
use crate::imports::wasi::bounds::PATH_LEN_MAX;
use crate::report::files::Refusal;
use crate::rights::denial;

/// Calls a function of wasmtime-wasi on a thread that may block.
macro_rules! aside {
    ($view:ident.$name:ident($($argument:ident),*)) => {
        aside::run($view, move |state| now(state.context.filesystem().$name($($argument),*))).await.map_err(FsError::trap)?
    };
}

/// The same for a function that gets a path, which is refused if it is too long. `what` is the text of a denial.
macro_rules! on_path {
    ($view:ident.$name:ident($($argument:ident),*), $what:literal, $path:ident $(, $other:ident)?) => {{
        if is_too_long(&$path) $(|| is_too_long(&$other))? {
            return Err(ErrorCode::NameTooLong.into());
        }
        let named = $path.clone();
        let result = aside!($view.$name($($argument),*));
        $view.noted(result, $what, &named)
    }};
}

fn is_too_long(path: &str) -> bool {
    path.len() > PATH_LEN_MAX as usize
}

impl View<'_> {
    /// If the result says that a path is denied or not there, remembers that for the report of a failure; logs a denial.
    fn noted<T>(&self, result: FsResult<T>, what: &'static str, path: &str) -> FsResult<T> {
        let denied = match result.as_ref().err().and_then(FsError::downcast_ref) {
            Some(ErrorCode::NotPermitted | ErrorCode::ReadOnly) => Some(what),
            Some(ErrorCode::NoEntry) => None,
            _ => return result,
        };
        let refused = Refusal::new(path.as_bytes(), denied);
        let process = self.process();
        if denied.is_some() {
            denial::log(process, what, &refused.path, "--dir HOST::GUEST");
        }
        process.local.remember_refusal(refused, process.purse());
        result
    }

    /// Charges the process for one more file, before it is opened.
    fn hold(&mut self, bytes: usize) -> Result<Arc<Held>, ErrorCode> {
        let open = self.state().open.clone();
        Held::of(self.process(), &open, bytes)
    }

    /// Gives the process a stream of a file, which holds the file open.
    fn stream<T: Send + 'static>(
        &mut self,
        fd: &Resource<Descriptor>,
        writes: bool,
        make: impl FnOnce(OpenFile) -> T,
    ) -> FsResult<Resource<T>> {
        let aside = Aside::of(self);
        self.giving(FsError::trap, |state| {
            let file = match state.table().get(fd)? {
                Descriptor::File(file) => file.clone(),
                Descriptor::Dir(_) if writes => return Err(ErrorCode::BadDescriptor.into()),
                Descriptor::Dir(_) => return Err(ErrorCode::IsDirectory.into()),
            };
            if writes && file.perms.write_not_permitted() {
                return Err(ErrorCode::NotPermitted.into());
            }
            let held = state.files.get(&fd.rep()).cloned();
            let open = OpenFile::new(file.file, held.clone(), aside);
            let stream = state.table().push(make(open))?;
            if let Some(held) = held {
                state.streams.insert(stream.rep(), held);
            }
            Ok(stream)
        })
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        let count = self.process().local.rights.wasi.folder_count();
        for _ in 0..count {
            self.gives()?;
        }
        preopens::Host::get_directories(&mut self.state().context.filesystem())
    }
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> Result<Option<ErrorCode>> {
        self.state().context.filesystem().filesystem_error_code(error)
    }
}

impl HostDescriptor for View<'_> {
    fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        self.stream(&fd, false, |open| -> DynInputStream {
            Box::new(FileInput::new(open, offset))
        })
    }

    fn write_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        self.stream(&fd, true, |open| -> DynOutputStream {
            Box::new(FileOutput::new(open, Place::At(offset)))
        })
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.stream(&fd, true, |open| -> DynOutputStream {
            Box::new(FileOutput::new(open, Place::End))
        })
    }

    async fn advise(&mut self, fd: Resource<Descriptor>, at: Filesize, len: Filesize, advice: Advice) -> FsResult<()> {
        aside!(self.advise(fd, at, len, advice))
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        aside!(self.sync_data(fd))
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        aside!(self.get_flags(fd))
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        aside!(self.get_type(fd))
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        aside!(self.set_size(fd, size))
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        aside!(self.set_times(fd, access, change))
    }

    async fn read(&mut self, fd: Resource<Descriptor>, len: Filesize, at: Filesize) -> FsResult<(Vec<u8>, bool)> {
        aside!(self.read(fd, len, at))
    }

    /// While it waits for its turn, the process pays for the bytes.
    async fn write(&mut self, fd: Resource<Descriptor>, bytes: Vec<u8>, at: Filesize) -> FsResult<Filesize> {
        let mut paid = Receipt::new(self.process().purse().to_account(), Charged::Buffers);
        paid.grow(bytes.len()).map_err(|_| ErrorCode::InsufficientMemory)?;
        let written = move |state: &mut State| {
            let _paid = paid;
            now(state.context.filesystem().write(fd, bytes, at))
        };
        aside::run(self, written).await.map_err(FsError::trap)?
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        aside!(self.sync(fd))
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        aside!(self.stat(fd))
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        aside!(self.metadata_hash(fd))
    }

    async fn is_same_object(&mut self, one: Resource<Descriptor>, other: Resource<Descriptor>) -> Result<bool> {
        aside::run(self, move |state| {
            now(state.context.filesystem().is_same_object(one, other))
        })
        .await?
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        on_path!(self.create_directory_at(fd, path), "may not create", path)
    }

    async fn stat_at(&mut self, fd: Resource<Descriptor>, flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        on_path!(self.stat_at(fd, flags, path), "may not look at", path)
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        access: NewTimestamp,
        change: NewTimestamp,
    ) -> FsResult<()> {
        on_path!(
            self.set_times_at(fd, flags, path, access, change),
            "may not change",
            path
        )
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        to: Resource<Descriptor>,
        name: String,
    ) -> FsResult<()> {
        on_path!(self.link_at(fd, flags, path, to, name), "may not link", path, name)
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        on_path!(self.readlink_at(fd, path), "may not read", path)
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        on_path!(self.remove_directory_at(fd, path), "may not remove", path)
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        to: Resource<Descriptor>,
        name: String,
    ) -> FsResult<()> {
        on_path!(self.rename_at(fd, path, to, name), "may not rename", path, name)
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        if is_too_long(&target) || is_too_long(&path) {
            return Err(ErrorCode::NameTooLong.into());
        }
        let named = path.clone();
        let made = aside!(self.symlink_at(fd, target, path));
        self.noted(made, "may not create", &named)
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        on_path!(self.unlink_file_at(fd, path), "may not remove", path)
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        on_path!(self.metadata_hash_at(fd, flags, path), "may not look at", path)
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        if is_too_long(&path) {
            return Err(ErrorCode::NameTooLong.into());
        }
        let held = self.hold(FILE_SIZE)?;
        self.gives().map_err(FsError::trap)?;
        let named = path.clone();
        let open = move |state: &mut State| {
            let opened = now(state
                .context
                .filesystem()
                .open_at(fd, path_flags, path, open_flags, flags));
            // Here, and not when the process continues, which it may never do.
            if let Ok(opened) = &opened {
                state.files.insert(opened.rep(), held);
            }
            opened
        };
        let opened = aside::run(self, open).await.map_err(FsError::trap)?;
        if opened.is_err() {
            self.dropped();
        }
        self.noted(opened, "may not open", &named)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let held = self.hold(LISTING_SIZE)?;
        self.gives().map_err(FsError::trap)?;
        let open = move |state: &mut State| -> FsResult<Resource<DirectoryEntryStream>> {
            let folder = match state.table().get(&fd)? {
                Descriptor::Dir(folder) => folder.dir.clone(),
                Descriptor::File(_) => return Err(ErrorCode::NotDirectory.into()),
            };
            let listing = Listing::open(folder, held.clone())?;
            let rep = state.table().push(listing)?.rep();
            state.streams.insert(rep, held);
            // Guests know it by this type.
            Ok(Resource::new_own(rep))
        };
        let opened = aside::run(self, open).await.map_err(FsError::trap)?;
        if opened.is_err() {
            self.dropped();
        }
        opened
    }

    /// Closing the last handle of a file may block.
    fn drop(&mut self, fd: Resource<Descriptor>) -> Result<()> {
        let aside = Aside::of(self);
        self.dropping(|state| {
            let held = state.files.remove(&fd.rep());
            let descriptor = state.table().delete(fd)?;
            if let Some(held) = held {
                held.leave(1);
                aside.close((descriptor, held));
            }
            Ok(())
        })
    }
}

impl HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = || Resource::<Listing>::new_borrow(stream.rep());
        if self.state().table().get(&listing())?.must_read() {
            let list = listing();
            let read = move |state: &mut State| state.table().get_mut(&list).map(Listing::read);
            aside::run(self, read).await.map_err(FsError::trap)??;
        }
        Ok(self.state().table().get_mut(&listing())?.take()?)
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> Result<()> {
        let aside = Aside::of(self);
        self.dropping(|state| {
            let held = state.streams.remove(&stream.rep());
            let listing = state.table().delete(Resource::<Listing>::new_own(stream.rep()))?;
            // The list has another reference.
            held.inspect(|held| held.leave(2));
            aside.close(listing);
            Ok(())
        })
    }
}
