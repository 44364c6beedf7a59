//! Sockets of processes of this interface: those of `lunatic-net`, referred to by numbers, with additional state.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lunatic_host::wasm::Process;
use lunatic_host::wasm::Socket;
use lunatic_net::handles::Charge;

/// A stream, a listener or a socket for datagrams. All clones and all handles that travel in messages share it; it
/// closes with the last of them.
pub(crate) struct Open {
    pub(crate) socket: Arc<Socket>,
    /// Milliseconds, or `NO_TIMEOUT`.
    peek_ms: AtomicU64,
    /// A process is writing; others wait until it has finished.
    is_written: AtomicBool,
    /// It says goodbye to its peer when it closes.
    is_tls: bool,
    _charge: Charge,
}

impl Open {
    pub(crate) fn new(socket: Arc<Socket>, charge: Charge, is_tls: bool) -> Arc<Self> {
        Arc::new(Self {
            socket,
            peek_ms: AtomicU64::new(lunatic_sys::compat::NO_TIMEOUT),
            is_written: AtomicBool::new(false),
            is_tls,
            _charge: charge,
        })
    }

    pub(crate) fn peek_ms(&self) -> u64 {
        self.peek_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_peek_ms(&self, ms: u64) {
        self.peek_ms.store(ms, Ordering::Relaxed);
    }

    /// The right to write, until it is dropped; `None` while another process has it.
    pub(crate) fn begin_write(self: &Arc<Self>) -> Option<Writing> {
        let was_written = self.is_written.swap(true, Ordering::Acquire);
        (!was_written).then(|| Writing(self.clone()))
    }
}

impl AsRef<Socket> for Open {
    fn as_ref(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_tls {
            // If this fails, there is nobody left to notify.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }
}

/// Shows that a process is writing.
pub(crate) struct Writing(Arc<Open>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.is_written.store(false, Ordering::Release);
    }
}

/// Why a process may not have another socket, if so.
pub(crate) fn too_many(process: &Process, open: usize) -> Option<String> {
    let max = process.local.rights().files_max;
    (open >= max as usize).then(|| {
        format!("the process cannot open another socket: the limit is {max}; close some, or raise `--max-files`")
    })
}
