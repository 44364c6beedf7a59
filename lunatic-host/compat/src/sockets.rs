//! Sockets of processes of this interface: those of `lunatic-net`, by numbers, with what they have besides.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lunatic_host::wasm::Process;
use lunatic_host::wasm::Socket;
use lunatic_net::handles::Charge;

/// A stream, a listener or a socket for datagrams. Clones, and handles that travel in messages, are the same one: it
/// closes with the last of them.
pub(crate) struct Open {
    pub(crate) socket: Arc<Socket>,
    /// Milliseconds, or `NO_TIMEOUT`.
    peek_ms: AtomicU64,
    /// A process writes: others wait for it to have written.
    is_written: AtomicBool,
    /// It says goodbye to the other side when it closes.
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

    /// The right to write, which ends when it is dropped; nothing while somebody else has it.
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
            // Nobody is there who could be told that it did not get through.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }
}

/// A process writes.
pub(crate) struct Writing(Arc<Open>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.is_written.store(false, Ordering::Release);
    }
}

/// Why a process may not have one socket more.
pub(crate) fn too_many(process: &Process, open: usize) -> Option<String> {
    let max = process.local.rights().files_max;
    (open >= max as usize)
        .then(|| format!("the process has {max} sockets open, more it may not: close some, or raise `--max-files`"))
}
