//! SQLite for guests: databases in the folders of a process, or in memory.
//!
//! A call may take as long as the guest's SQL wants it to, so it runs on the pool for blocking work; when the process is
//! killed meanwhile, it is interrupted. What SQL can reach is what the process can:
//!
//! - [`files`] opens databases and what belongs to them, such as journals, within the folders of the process, whatever
//!   links lie there. No other file can be opened by SQLite at all.
//! - [`library`] denies what would reach further: other databases by `ATTACH`, extensions, folders for temporary files.
//!
//! All databases together hold at most [`MEMORY_MAX`] bytes of memory.

mod files;
mod library;
pub(crate) mod wire;

use std::sync::Arc;

use lunatic_host::extension::spawn_blocking;
use lunatic_host::wasm::{Kernel, Process};
use tokio::sync::Semaphore;

pub(crate) use self::files::Place;
pub(crate) use self::library::{Connection, Statement, Step};
use crate::resources::Resources;

/// What SQLite may hold of the machine's memory, for all guests together.
const MEMORY_MAX: i64 = 1 << 30;

/// So many calls run at once; the pool has threads for others, too.
static RUNNING: Semaphore = Semaphore::const_new(64);

/// The connections and statements of one process.
#[derive(Default)]
pub(crate) struct Databases {
    pub(crate) connections: Resources<Arc<Connection>>,
    pub(crate) statements: Resources<Arc<Statement>>,
}

impl Drop for Databases {
    /// Closing rolls back what was not committed, which is work on files.
    fn drop(&mut self) {
        let all = (
            std::mem::take(&mut self.statements),
            std::mem::take(&mut self.connections),
        );
        match tokio::runtime::Handle::try_current() {
            Ok(pool) if all.1.len() > 0 => drop(pool.spawn_blocking(move || {
                let _guest = files::Guest::enter();
                drop(all);
            })),
            _ => drop(all),
        }
    }
}

/// Ends what a connection is doing if its process does not wait for it any more.
struct Interrupt(Option<Arc<Connection>>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.stop();
        }
    }
}

/// Runs `work` on the pool, for a process that waits for it. `connection` is what it works on.
pub(crate) async fn run<T: Send + 'static>(
    kernel: &Arc<Kernel>,
    process: &Arc<Process>,
    connection: Option<Arc<Connection>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> wasmtime::Result<T> {
    let _permit = RUNNING.acquire().await;
    let mut interrupt = Interrupt(connection);
    let done = spawn_blocking(kernel, process, move || {
        let _guest = files::Guest::enter();
        work()
    });
    let done = done.await;
    interrupt.0 = None;
    done.ok_or_else(|| wasmtime::Error::msg("the database failed"))
}
