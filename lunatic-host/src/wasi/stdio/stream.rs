//! The standard streams of one process for wasmtime-wasi.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::{Output, lines::WriterId};
use crate::report::panic::PanicCapture;

/// The most bytes of one write. wasmtime-wasi splits writes of guests at 4,096 bytes anyway.
const WRITE_LEN_MAX: usize = 64 << 10;

/// Makes the streams from one process to an [`Output`].
pub(crate) struct ProcessOutput {
    pub(crate) output: Output,
    /// Standard error detects the text of a panic.
    pub(crate) panic: Option<PanicCapture>,
}

impl ProcessOutput {
    fn stream(&self) -> ProcessStream {
        ProcessStream {
            writer: self.output.writer(),
            output: self.output.clone(),
            panic: self.panic.clone(),
            room: None,
        }
    }
}

impl IsTerminal for ProcessOutput {
    fn is_terminal(&self) -> bool {
        self.output.is_terminal()
    }
}

impl StdoutStream for ProcessOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.stream())
    }
}

/// Makes handles of one stream from a process to an [`Output`]: the stream ends with the process, not with a handle.
pub(crate) struct SharedOutput {
    output: Output,
    shared: Arc<Mutex<Promised>>,
}

/// The stream of a process, and what it was promised last. A promise remains valid while others fill the output, so there
/// is one for all handles: a process can make any number of handles.
struct Promised {
    stream: ProcessStream,
    /// The handles that have been made. The number of a handle is its place among them.
    handles: u64,
    /// The handle that has asked last, and how many bytes its next write may have.
    holder: u64,
    permit: usize,
}

impl SharedOutput {
    pub(crate) fn new(output: Output, panic: Option<PanicCapture>) -> Self {
        let stream = ProcessOutput { output, panic }.stream();
        Self {
            output: stream.output.clone(),
            shared: Arc::new(Mutex::new(Promised {
                stream,
                handles: 0,
                holder: 0,
                permit: 0,
            })),
        }
    }
}

impl IsTerminal for SharedOutput {
    fn is_terminal(&self) -> bool {
        self.output.is_terminal()
    }
}

impl StdoutStream for SharedOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        let (output, panic) = (self.output.clone(), self.shared.lock().stream.panic.clone());
        Box::new(ProcessOutput { output, panic }.stream())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        let mut shared = self.shared.lock();
        shared.handles += 1;
        Box::new(SharedStream {
            output: self.output.clone(),
            handle: shared.handles,
            shared: self.shared.clone(),
        })
    }
}

/// A handle of a stream. It accepts no more than the stream has promised, so that a process cannot fill the backlog.
struct SharedStream {
    output: Output,
    handle: u64,
    shared: Arc<Mutex<Promised>>,
}

#[wasmtime_wasi::async_trait]
impl OutputStream for SharedStream {
    fn write(&mut self, text: Bytes) -> StreamResult<()> {
        let mut shared = self.shared.lock();
        let permit = match shared.holder == self.handle {
            true => std::mem::take(&mut shared.permit),
            false => 0,
        };
        if text.len() > permit {
            return Err(StreamError::trap(
                "a write is longer than `check-write` has permitted on this handle, if it was the last to ask",
            ));
        }
        shared.stream.write(text)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut shared = self.shared.lock();
        shared.holder = self.handle;
        shared.permit = if self.output.has_room() { WRITE_LEN_MAX } else { 0 };
        Ok(shared.permit)
    }

    async fn blocking_write_and_flush(&mut self, text: Bytes) -> StreamResult<()> {
        self.output.wait_room().await;
        self.shared.lock().stream.write(text)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for SharedStream {
    async fn ready(&mut self) {
        self.output.wait_room().await;
    }
}

/// One process's access to an [`Output`]. Dropping it ends an unfinished line of the process.
struct ProcessStream {
    output: Output,
    writer: WriterId,
    panic: Option<PanicCapture>,
    room: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl ProcessStream {
    fn put(&self, text: &[u8]) -> io::Result<()> {
        match &self.panic {
            None => self.output.write(self.writer, text),
            Some(panic) => match panic.filter(text) {
                text if text.is_empty() => Ok(()),
                text => self.output.write(self.writer, &text),
            },
        }
    }
}

impl Drop for ProcessStream {
    fn drop(&mut self) {
        let text = self.panic.as_ref().map(PanicCapture::release).unwrap_or_default();
        self.output.end(self.writer, &text);
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for ProcessStream {
    fn write(&mut self, text: Bytes) -> StreamResult<()> {
        self.put(&text)
            .map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.output.has_room() { WRITE_LEN_MAX } else { 0 })
    }

    // Like the provided method, but without asking for room a second time: this stream never buffers text.
    async fn blocking_write_and_flush(&mut self, text: Bytes) -> StreamResult<()> {
        self.output.wait_room().await;
        self.write(text)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for ProcessStream {
    async fn ready(&mut self) {
        self.output.wait_room().await;
    }
}

impl AsyncWrite for ProcessStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        if !self.output.has_room() && self.room.is_none() {
            let output = self.output.clone();
            self.room = Some(Box::pin(async move { output.wait_room().await }));
        }
        if let Some(room) = &mut self.room {
            std::task::ready!(room.as_mut().poll(cx));
            self.room = None;
        }
        let text = &text[..text.len().min(WRITE_LEN_MAX)];
        Poll::Ready(self.put(text).map(|()| text.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
