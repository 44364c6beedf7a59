//! SQLite for guests: databases in the folders of a process, or in memory.
//!
//! A call may take as long as the guest's SQL makes it take, so it runs on the pool for blocking work. It is charged to
//! the budget of the process as it runs, and interrupted when that is spent or the process is killed. SQL can reach
//! only what the process can:
//!
//! - [`files`] opens databases and their files, such as journals, within the folders of the process, regardless of
//!   links there. SQLite can open no other files.
//! - [`library`] denies what would reach further: other databases by `ATTACH`, extensions, folders for temporary files,
//!   limits of the host.
//! - [`functions`] replaces functions of SQLite that take too long.
//! - [`memory`] charges the process for SQLite's memory, and [`pace`] for its CPU time.
//!
//! At most [`CALLS_MAX`] calls run at a time. Calls and memory are [shared](lunatic_kernel::shares): a system or a
//! budget has at most as much as it leaves to others.

mod files;
mod functions;
mod library;
mod memory;
mod pace;
pub(crate) mod wire;

use std::sync::{Arc, LazyLock};

use lunatic_host::extension::spawn_metered;
use lunatic_host::wasm::{Kernel, Process};
use lunatic_kernel::permits::Permits;
use lunatic_kernel::shares::Group;

pub(crate) use self::files::Place;
pub(crate) use self::library::{Connection, Part, SQL_LEN_MAX, Statement, Step};
use self::memory::Account;
use crate::resources::Resources;

/// How many calls run at a time; the pool has threads for other work, too.
const CALLS_MAX: usize = 64;

static CALLS: LazyLock<Arc<Permits>> = LazyLock::new(|| Permits::new(CALLS_MAX));

/// The connections and statements of one process.
#[derive(Default)]
pub(crate) struct Databases {
    pub(crate) connections: Resources<Arc<Connection>>,
    pub(crate) statements: Resources<Arc<Statement>>,
    owner: Option<Owner>,
}

/// The process that has databases.
#[derive(Clone)]
struct Owner {
    group: Arc<Group>,
    account: Arc<Account>,
}

impl Databases {
    /// The account for the memory of these databases, which belong to `process`.
    pub(crate) fn account(&mut self, process: &Process) -> Arc<Account> {
        let rights = process.local.rights();
        let owner = self.owner.get_or_insert_with(|| Owner {
            group: rights.group.clone(),
            account: Account::new(rights.group.clone(), rights.budget.clone()),
        });
        owner.account.clone()
    }
}

impl Drop for Databases {
    /// Closes the databases on the pool, as this rolls back what was not committed, which may work on files.
    fn drop(&mut self) {
        let Some(owner) = self.owner.take() else { return };
        let all = (
            std::mem::take(&mut self.statements),
            std::mem::take(&mut self.connections),
        );
        if all.1.len() == 0 && all.0.len() == 0 {
            return;
        }
        let Ok(pool) = tokio::runtime::Handle::try_current() else {
            return drop(all);
        };
        let threads = pool.clone();
        pool.spawn(async move {
            let permit = CALLS.acquire(&owner.group).await;
            let closing = threads.spawn_blocking(move || {
                let _permit = permit;
                drop(all);
            });
            // If it panicked, there is nobody left to notify.
            let _ = closing.await;
        });
    }
}

/// Stops a connection if its process no longer waits for it.
struct Interrupt(Option<Arc<Connection>>);

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.stop();
        }
    }
}

/// Runs `work` on the pool, for a process that waits for it. `connection` is the connection that it uses.
pub(crate) async fn run<T: Send + 'static>(
    kernel: &Arc<Kernel>,
    process: &Arc<Process>,
    connection: Option<Arc<Connection>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> wasmtime::Result<T> {
    let permit = CALLS.acquire(&process.local.rights().group).await;
    let mut interrupt = Interrupt(connection);
    let done = spawn_metered(kernel, process, move |meter| {
        // Held by the work, which goes on for a moment after its process was killed.
        let _permit = permit;
        let _guest = files::Guest::enter();
        pace::metered(meter, work)
    });
    let done = done.await;
    interrupt.0 = None;
    done.ok_or_else(|| wasmtime::Error::msg("the database failed"))
}
