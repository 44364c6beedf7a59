//! `wasi:io`: streams, pollables and errors. wasmtime-wasi does the work; what blocks in it are waits of the process.

use lunatic_kernel::budget::Resource as Charged;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};

use super::file_streams::PART_MAX;
use super::state::View;

/// The most pollables of a call, which all are asked whenever one of them is ready.
const POLLABLES_MAX: usize = 4096;
/// The bytes that wasmtime-wasi keeps for a pollable while the process waits. So many are free, as parts of the body of the
/// process: one that has no memory left can sleep.
const POLLABLE_COST: usize = 1024;
const POLLABLES_FREE: usize = 4;

impl error::Host for View<'_> {}

impl error::HostError for View<'_> {
    fn to_debug_string(&mut self, error: Resource<IoError>) -> Result<String> {
        error::HostError::to_debug_string(self.state().table(), error)
    }

    fn drop(&mut self, error: Resource<IoError>) -> Result<()> {
        self.dropping(|state| error::HostError::drop(state.table(), error))
    }
}

impl poll::Host for View<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        let count = pollables.len();
        if count > POLLABLES_MAX {
            return Err(Error::msg(format!(
                "the process polls {count} pollables in one call, but at most {POLLABLES_MAX} are allowed"
            )));
        }
        let cost = count.saturating_sub(POLLABLES_FREE) * POLLABLE_COST;
        let _paid = self.paid(Charged::Bodies, cost)?;
        let ready = poll::Host::poll(self.state().table(), pollables).await;
        self.stop_waiting_for_mail();
        ready
    }
}

impl poll::HostPollable for View<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        let blocked = poll::HostPollable::block(self.state().table(), pollable).await;
        self.stop_waiting_for_mail();
        blocked
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        let is_ready = poll::HostPollable::ready(self.state().table(), pollable).await;
        self.stop_waiting_for_mail();
        is_ready
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.dropping(|state| poll::HostPollable::drop(state.table(), pollable))
    }
}

impl streams::Host for View<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        if !matches!(error, StreamError::LastOperationFailed(_)) {
            return streams::Host::convert_stream_error(self.state().table(), error);
        }
        self.giving(
            |trap| trap,
            |state| streams::Host::convert_stream_error(state.table(), error),
        )
    }
}

impl streams::HostInputStream for View<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::read(self.state().table(), stream, len.min(PART_MAX as u64))
    }

    async fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        streams::HostInputStream::blocking_read(self.state().table(), stream, len.min(PART_MAX as u64)).await
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        streams::HostInputStream::skip(self.state().table(), stream, len.min(PART_MAX as u64))
    }

    async fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        streams::HostInputStream::blocking_skip(self.state().table(), stream, len.min(PART_MAX as u64)).await
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| streams::HostInputStream::subscribe(state.table(), stream),
        )
    }

    async fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        let mut dropped = self.dropping(|state| {
            let held = state.streams.remove(&stream.rep());
            state.table().delete(stream).map(|stream| (stream, held))
        })?;
        dropped.0.cancel().await;
        // The other reference is that of the stream. If it is the last user of the file, it has it closed.
        dropped.1.inspect(|held| held.leave(2));
        Ok(())
    }
}

impl streams::HostOutputStream for View<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        streams::HostOutputStream::check_write(self.state().table(), stream)
    }

    /// Each stream refuses what it has not permitted.
    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        let written = streams::HostOutputStream::write(self.state().table(), stream, bytes);
        self.settle().map_err(StreamError::Trap)?;
        written
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        let table = self.state().table();
        let written = streams::HostOutputStream::blocking_write_and_flush(table, stream, bytes).await;
        // A text that may be that of a panic is held back, or no longer.
        self.settle().map_err(StreamError::Trap)?;
        written
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::flush(self.state().table(), stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        streams::HostOutputStream::blocking_flush(self.state().table(), stream).await
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| streams::HostOutputStream::subscribe(state.table(), stream),
        )
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        let written = streams::HostOutputStream::write_zeroes(self.state().table(), stream, len);
        self.settle().map_err(StreamError::Trap)?;
        written
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        len: u64,
    ) -> StreamResult<()> {
        let table = self.state().table();
        let written = streams::HostOutputStream::blocking_write_zeroes_and_flush(table, stream, len).await;
        self.settle().map_err(StreamError::Trap)?;
        written
    }

    fn splice(&mut self, to: Resource<DynOutputStream>, from: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let spliced = streams::HostOutputStream::splice(self.state().table(), to, from, len.min(PART_MAX as u64));
        self.settle().map_err(StreamError::Trap)?;
        spliced
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let len = len.min(PART_MAX as u64);
        let spliced = streams::HostOutputStream::blocking_splice(self.state().table(), to, from, len).await;
        self.settle().map_err(StreamError::Trap)?;
        spliced
    }

    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        let mut dropped = self.dropping(|state| {
            let held = state.streams.remove(&stream.rep());
            state.table().delete(stream).map(|stream| (stream, held))
        })?;
        dropped.0.cancel().await;
        // The other reference is that of the stream. If it is the last user of the file, it has it closed.
        dropped.1.inspect(|held| held.leave(2));
        Ok(())
    }
}
