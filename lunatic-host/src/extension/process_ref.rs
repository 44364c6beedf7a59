//! References to processes for native threads.

use std::fmt;
use std::sync::{Arc, Weak};

use lunatic_kernel::address::Id;
use lunatic_kernel::channel::SendRefusal;

use crate::instance::Ctx;
use crate::wasm::{Kernel, System};

/// A process to which native threads can send; [`Ctx::this`] makes one.
///
/// It keeps neither the process nor the runtime alive. While a reference exists, the process's system is never
/// considered deadlocked, because a message may still arrive through the reference; and if the system has paused its
/// clock, the clock does not advance.
pub struct ProcessRef {
    kernel: Weak<Kernel>,
    system: Arc<System>,
    id: Id,
}

impl ProcessRef {
    fn new(kernel: Weak<Kernel>, system: Arc<System>, id: Id) -> Self {
        system.add_sender();
        Self { kernel, system, id }
    }

    /// Returns the id of the process, for [`RunningSystem::processes`](crate::RunningSystem::processes) and reports.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Returns whether the process has not ended yet.
    pub fn is_alive(&self) -> bool {
        self.kernel.upgrade().is_some_and(|kernel| kernel.is_alive(self.id))
    }

    /// Sends a message to the mailbox of the process, from any thread, without blocking. The guest receives it by
    /// `tag`. Messages from one thread arrive in the order in which they were sent.
    ///
    /// # Errors
    ///
    /// [`SendRefusal::Full`] if the mailbox has a limit and is full; [`SendRefusal::Closed`] if the process or the
    /// runtime has ended; [`SendRefusal::Limit`] if the message is longer than 256 MiB, or if queued messages together
    /// would exceed [`queued_max`](crate::RuntimeBuilder::queued_max).
    pub fn send(&self, tag: u64, message: &[u8]) -> Result<(), SendRefusal> {
        let kernel = self.kernel.upgrade().ok_or(SendRefusal::Closed)?;
        kernel.put_mail(kernel.find(self.id).ok_or(SendRefusal::Closed)?, tag, message)
    }
}

impl Clone for ProcessRef {
    fn clone(&self) -> Self {
        Self::new(self.kernel.clone(), self.system.clone(), self.id)
    }
}

impl Drop for ProcessRef {
    fn drop(&mut self) {
        self.system.remove_sender();
        if let Some(kernel) = self.kernel.upgrade() {
            // If all processes now wait for each other, an idle worker must notice it.
            kernel.wake_spare();
        }
    }
}

impl fmt::Debug for ProcessRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessRef").field(&self.id).finish()
    }
}

impl Ctx {
    /// Returns a reference to the process that calls the host function, for native threads that send to it later.
    pub fn this(&self) -> ProcessRef {
        let process = self.process();
        ProcessRef::new(Arc::downgrade(&self.kernel), process.system.clone(), process.id)
    }
}
