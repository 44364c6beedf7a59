//! Compiles the modules that guests bring along: one helper per module, a few at a time, in turns.
//!
//! | file | purpose |
//! |---|---|
//! | `turns.rs` | decides who compiles next |
//! | `helper.rs` | the helper and its protocol |
//! | `watch.rs` | the thread of the host that charges for a helper and ends it |
//!
//! Only if a compiler is an operating-system process can it be stopped and its memory be measured.
//! `docs/internals/compiling.md` gives the reasons and the costs.

mod helper;
mod turns;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lunatic_kernel::budget::{Budget, Receipt};

pub use self::helper::CompileHelper;
use self::helper::Head;
pub(crate) use self::turns::Turn;
use self::turns::Turns;
use crate::engine::Layout;
use crate::io::Io;
use crate::module::LoadError;

/// The largest file that a guest can have compiled, in bytes: 64 MiB.
pub(crate) const FILE_MAX: usize = 64 << 20;
/// The largest artifact that is accepted from a helper, in bytes: 256 MiB.
const ARTIFACT_MAX: usize = 256 << 20;

/// Limits for compiling the modules of guests: see
/// [`RuntimeBuilder::compile_limits`](crate::RuntimeBuilder::compile_limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// How many modules are compiled at a time; more wait for their turn. By default one per core that this program may
    /// use. 0 counts as 1.
    pub at_once: usize,
    /// CPU time for one module, by default 10 seconds. Only enforced for helpers.
    pub time: Duration,
    /// Memory of one helper in bytes, by default 1 GiB. Only enforced on Linux.
    pub memory: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            at_once: std::thread::available_parallelism().map_or(1, usize::from),
            time: Duration::from_secs(10),
            memory: 1 << 30,
        }
    }
}

/// The compiler that all guests of a runtime share.
pub(crate) struct Compiler {
    turns: Arc<Turns>,
    helper: Option<CompileHelper>,
    limits: CompileLimits,
}

/// The order for a helper.
pub(crate) struct Order {
    pub(crate) file: Arc<[u8]>,
    pub(crate) layout: Layout,
    /// The settings of the engine for which to compile.
    pub(crate) settings: u64,
}

impl Compiler {
    pub(crate) fn new(helper: Option<CompileHelper>, limits: CompileLimits) -> Self {
        Self {
            turns: Turns::new(limits.at_once.max(1)),
            helper,
            limits,
        }
    }

    /// Waits for a turn to compile. `path` identifies who asks: see [`turns`].
    pub(crate) async fn turn(&self, path: &[u64]) -> Arc<Turn> {
        Arc::new(self.turns.take(path).await)
    }

    /// Whether there is a helper. Otherwise the host compiles by itself.
    pub(crate) fn has_helper(&self) -> bool {
        self.helper.is_some()
    }

    /// Compiles with a helper, and charges continuously: its CPU time to `budget`, its memory to `paid`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the helper is killed within some milliseconds; after that, the turn ends.
    pub(crate) async fn compile(
        &self,
        io: &Io,
        turn: Arc<Turn>,
        budget: Option<Arc<Budget>>,
        paid: Receipt,
        order: Order,
    ) -> Result<Vec<u8>, LoadError> {
        let failed = |text: &str| Err(LoadError::Compile(text.into()));
        let Some(helper) = self.helper.clone() else {
            return failed("the host has no program that compiles modules of guests");
        };
        let limits = self.limits;
        let gone = Arc::new(AtomicBool::new(false));
        let _wanted = Wanted(gone.clone());
        let watching = io.spawn_blocking(move || {
            let _turn = turn;
            let head = Head {
                layout: order.layout,
                settings: order.settings,
                // Later than the host's own limit, which leads to a better error: this one applies if the host cannot
                // act.
                seconds: limits.time.as_secs().saturating_add(2),
                memory: limits.memory as u64,
            };
            let asker = watch::Asker { budget, gone };
            watch::run(&helper, head, &order.file, &limits, &asker, paid)
        });
        watching
            .await
            .unwrap_or_else(|_| failed("the thread that waits for the compiler failed"))
    }
}

/// While this exists, someone waits for a module.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
