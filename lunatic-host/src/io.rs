//! Threads for waits outside: for files and terminals of guests, and for work that blocks a thread.

use std::io;
use std::ops::Deref;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

/// At least as many descriptors as tokio opens when it starts.
const DESCRIPTORS: usize = 8;

/// The executor of a runtime. Processes are not tasks of it.
pub(crate) struct Io(Option<Runtime>);

impl Io {
    pub(crate) fn new() -> io::Result<Self> {
        // If tokio gets no descriptors for signals, or cannot start its thread, it panics.
        let pairs: io::Result<Vec<_>> = (0..DESCRIPTORS / 2).map(|_| UnixStream::pair()).collect();
        drop(pairs?);
        let probe = std::thread::Builder::new().name("lunatic-io".into()).spawn(|| ())?;
        // A thread that does nothing does not panic.
        let _ = probe.join();
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("lunatic-io").enable_all();
        builder.build().map(|runtime| Self(Some(runtime)))
    }
}

impl Deref for Io {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken only to be dropped")
    }
}

/// Does not wait for anything: work that blocks a thread may take any time, and on a thread of an executor tokio would
/// panic.
impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
