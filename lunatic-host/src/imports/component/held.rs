//! What a process pays for an open file, folder or list of a folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::stock::{EXHAUSTED, Portion};
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::rights::denial;
use crate::wasm::Process;

/// The size of an open file in the host, in bytes.
pub(super) const FILE_SIZE: usize = 1 << 10;

/// One descriptor of the host, one of the files that a process may open, and bytes. All of them are given back when the
/// last user of the file has let go of it, which may be an operation that nobody waits for.
pub(super) struct Held {
    _descriptor: Portion,
    _paid: Receipt,
    open: Arc<AtomicU32>,
    /// Whether it is one of the files that the process has open.
    is_counted: AtomicBool,
}

impl Held {
    /// Charges a process that has `open` files, before another one is opened.
    ///
    /// # Errors
    ///
    /// The code of the refusal.
    pub(super) fn of(process: &Process, open: &Arc<AtomicU32>, bytes: usize) -> Result<Arc<Self>, ErrorCode> {
        let rights = &process.local.rights;
        // Only the process itself opens files, one after another; others can only be fewer meanwhile.
        if open.load(Ordering::Relaxed) >= rights.files_max {
            let max = rights.files_max.to_string();
            denial::log(process, "may not open more files than", &max, "--max-files N");
            return Err(ErrorCode::Quota);
        }
        let mut paid = Receipt::new(process.purse().to_account(), Resource::Bodies);
        paid.grow(bytes).map_err(|_| ErrorCode::InsufficientMemory)?;
        let Some(descriptor) = Portion::take(&rights.descriptors, &rights.group, 1) else {
            denial::log(process, "may not open a file", EXHAUSTED, "");
            return Err(ErrorCode::Quota);
        };
        open.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Self {
            _descriptor: descriptor,
            _paid: paid,
            open: open.clone(),
            is_counted: AtomicBool::new(true),
        }))
    }

    /// The process has dropped a handle of the file, which will be closed soon. `references` are those that end with the
    /// handle: if there are no others, the process may open another file at once.
    pub(super) fn leave(self: &Arc<Self>, references: usize) {
        if Arc::strong_count(self) <= references {
            self.uncount();
        }
    }

    fn uncount(&self) {
        if self.is_counted.swap(false, Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.uncount();
    }
}
