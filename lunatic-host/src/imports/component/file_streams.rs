//! Streams that read and write files, at a position of their own. Each operation runs on a thread that may block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use lunatic_kernel::budget::Receipt;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::aside::{Aside, Running};
use super::held::Held;

/// The most bytes of one operation.
pub(super) const PART_MAX: usize = 64 << 10;
/// What the host keeps for an operation besides its bytes, until it has ended: its task, its place in a queue, and the channel
/// for its result.
const TASK_SIZE: usize = 1 << 10;
/// How many bytes are read if the process has not said how many it wants.
const AHEAD: usize = 4 << 10;

/// An open file with its charge, for operations that may outlive the stream.
#[derive(Clone)]
pub(super) struct OpenFile {
    /// `None` while it is being dropped.
    file: Option<Arc<File>>,
    /// A file that the process was given has none.
    held: Option<Arc<Held>>,
    aside: Arc<Aside>,
}

impl OpenFile {
    pub(super) fn new(file: Arc<File>, held: Option<Arc<Held>>, aside: Aside) -> Self {
        Self {
            file: Some(file),
            held,
            aside: aside.into(),
        }
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("it is being dropped only once")
    }
}

/// The last reference closes the file, which may block, and it may be that of an operation that was given up, on a thread
/// that must not. Others are dropped in place, however many there are: the last ones are not more than the files that were
/// opened, and opening a file waits for its turn.
impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take().and_then(Arc::into_inner) {
            self.aside.close((file, self.held.take()));
        }
    }
}

/// Polls without being woken later.
fn poll_now<T>(running: &mut Running<T>) -> Poll<Option<T>> {
    let future = std::pin::Pin::new(running);
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn failed() -> io::Error {
    io::Error::other("an operation on a file failed")
}

/// A stream that reads a file.
pub(super) struct FileInput {
    open: OpenFile,
    at: u64,
    state: Reading,
}

enum Reading {
    Idle,
    Running(Running<io::Result<Read>>),
    Ready(Read),
    Failed(io::Error),
    Ended,
}

/// Bytes that were read, and what the process pays for them until it takes the last of them.
struct Read {
    bytes: Bytes,
    _paid: Receipt,
}

impl Read {
    /// `buffer` begins with `len` bytes that were read. `paid` is for all of it, and for the task.
    fn new(mut buffer: BytesMut, len: usize, mut paid: Receipt) -> Self {
        // A few bytes do not keep a large buffer.
        let (bytes, size) = match len < buffer.len() / 2 {
            true => (Bytes::copy_from_slice(&buffer[..len]), len),
            false => {
                let size = buffer.len();
                buffer.truncate(len);
                (buffer.freeze(), size)
            }
        };
        // A decrease is never refused.
        let _ = paid.settle(size);
        Self { bytes, _paid: paid }
    }
}

impl FileInput {
    pub(super) fn new(open: OpenFile, at: u64) -> Self {
        Self {
            open,
            at,
            state: Reading::Idle,
        }
    }

    /// Begins to read. `turn` is one of the reads that the process may have begun.
    fn begin(&mut self, len: usize, turn: OwnedSemaphorePermit) {
        let (open, at, len) = (self.open.clone(), self.at, len.min(PART_MAX));
        let paid = match self.open.aside.pay(len + TASK_SIZE) {
            Ok(paid) => paid,
            Err(error) => {
                self.state = Reading::Failed(error);
                return;
            }
        };
        self.state = Reading::Running(self.open.aside.start(move || {
            // All of it: the file is charged until the operation is over.
            let (open, _turn) = (open, turn);
            let mut bytes = BytesMut::zeroed(len);
            loop {
                match open.file().read_at(&mut bytes, at) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => return Ok(Read::new(bytes, read?, paid)),
                }
            }
        }));
    }

    fn finish(&mut self, read: Option<io::Result<Read>>) {
        self.state = match read.unwrap_or_else(|| Err(failed())) {
            Ok(read) if read.bytes.is_empty() => Reading::Ended,
            Ok(read) => Reading::Ready(read),
            Err(error) => Reading::Failed(error),
        };
    }

    /// Waits for `len` bytes or fewer, if none are there yet.
    async fn wait(&mut self, len: usize) {
        if matches!(self.state, Reading::Idle) {
            let turn = self.open.aside.reads.clone().acquire_owned().await;
            self.begin(len, turn.expect("nobody closes it"));
        }
        if let Reading::Running(running) = &mut self.state {
            let read = running.await;
            self.finish(read);
        }
    }

    /// Takes up to `len` bytes that are there.
    fn take(&mut self, len: usize) -> StreamResult<Bytes> {
        match std::mem::replace(&mut self.state, Reading::Idle) {
            Reading::Ready(mut read) => {
                let taken = read.bytes.split_to(len.min(read.bytes.len()));
                self.at += taken.len() as u64;
                if !read.bytes.is_empty() {
                    self.state = Reading::Ready(read);
                }
                Ok(taken)
            }
            Reading::Failed(error) => {
                self.state = Reading::Ended;
                Err(StreamError::LastOperationFailed(error.into()))
            }
            Reading::Ended => {
                self.state = Reading::Ended;
                Err(StreamError::Closed)
            }
            state @ (Reading::Idle | Reading::Running(_)) => {
                self.state = state;
                Ok(Bytes::new())
            }
        }
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for FileInput {
    fn read(&mut self, len: usize) -> StreamResult<Bytes> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        if matches!(self.state, Reading::Idle) {
            // If too many have begun, nothing is there yet, and a process that waits for this stream begins it later.
            let Ok(turn) = self.open.aside.reads.clone().try_acquire_owned() else {
                return Ok(Bytes::new());
            };
            self.begin(len, turn);
        }
        if let Reading::Running(running) = &mut self.state
            && let Poll::Ready(read) = poll_now(running)
        {
            self.finish(read);
        }
        self.take(len)
    }

    async fn blocking_read(&mut self, len: usize) -> StreamResult<Bytes> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        self.wait(len).await;
        self.take(len)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileInput {
    async fn ready(&mut self) {
        self.wait(AHEAD).await;
    }
}

/// Where a stream writes.
#[derive(Clone, Copy)]
pub(super) enum Place {
    At(u64),
    End,
}

/// A stream that writes a file.
pub(super) struct FileOutput {
    open: OpenFile,
    place: Place,
    state: Writing,
}

enum Writing {
    Ready,
    Running(Running<(usize, io::Result<()>)>),
    Failed(io::Error),
    Closed,
}

impl FileOutput {
    pub(super) fn new(open: OpenFile, place: Place) -> Self {
        Self {
            open,
            place,
            state: Writing::Ready,
        }
    }

    fn finish(&mut self, written: Option<(usize, io::Result<()>)>) {
        let (len, result) = written.unwrap_or_else(|| (0, Err(failed())));
        if let Place::At(at) = &mut self.place {
            *at += len as u64;
        }
        self.state = match result {
            Ok(()) => Writing::Ready,
            Err(error) => Writing::Failed(error),
        };
    }

    fn poll(&mut self) {
        if let Writing::Running(running) = &mut self.state
            && let Poll::Ready(written) = poll_now(running)
        {
            self.finish(written);
        }
    }

    /// Reports a failure, once.
    fn check(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, Writing::Closed) {
            Writing::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            Writing::Closed => Err(StreamError::Closed),
            state => {
                self.state = state;
                Ok(())
            }
        }
    }
}

/// Writes all of it; returns how much was written, and why not all.
fn write(file: &File, mut place: Place, mut bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while !bytes.is_empty() {
        let written = match place {
            Place::At(at) => file.write_at(bytes, at),
            Place::End => append(file, bytes),
        };
        match written {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(len) => {
                done += len;
                bytes = &bytes[len..];
                if let Place::At(at) = &mut place {
                    *at += len as u64;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

#[cfg(target_os = "linux")]
fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    use rustix::io::{ReadWriteFlags, pwritev2};
    let written = pwritev2(file, &[io::IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND);
    Ok(written?)
}

/// Not in one step: another writer of the same file may come in between.
#[cfg(not(target_os = "linux"))]
fn append(file: &File, bytes: &[u8]) -> io::Result<usize> {
    file.write_at(bytes, file.metadata()?.len())
}

#[wasmtime_wasi::async_trait]
impl OutputStream for FileOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.poll();
        self.check()?;
        if matches!(self.state, Writing::Running(_)) || bytes.len() > PART_MAX {
            return Err(StreamError::trap("a write is longer than `check-write` has permitted"));
        }
        let (open, place) = (self.open.clone(), self.place);
        let paid = match self.open.aside.pay(bytes.len() + TASK_SIZE) {
            Ok(paid) => paid,
            Err(error) => {
                self.state = Writing::Closed;
                return Err(StreamError::LastOperationFailed(error.into()));
            }
        };
        self.state = Writing::Running(self.open.aside.start(move || {
            // All of it, as above.
            let (open, _paid) = (open, paid);
            write(open.file(), place, &bytes)
        }));
        Ok(())
    }

    /// Nothing is buffered.
    fn flush(&mut self) -> StreamResult<()> {
        self.poll();
        self.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.poll();
        self.check()?;
        Ok(if matches!(self.state, Writing::Ready) {
            PART_MAX
        } else {
            0
        })
    }

    /// The process was told that the bytes are accepted, so they must be written.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for FileOutput {
    async fn ready(&mut self) {
        if let Writing::Running(running) = &mut self.state {
            let written = running.await;
            self.finish(written);
        }
    }
}
