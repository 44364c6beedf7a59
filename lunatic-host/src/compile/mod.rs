//! Compiling what guests bring along: a helper for each module, a few at once, in turns.
//!
//! | file | what it is |
//! |---|---|
//! | `turns.rs` | who compiles next |
//! | `helper.rs` | what the helper does, and what it and the host say to each other |
//! | `watch.rs` | the thread of the host that charges for a helper and ends it |
//!
//! A compiler cannot be stopped, and its memory cannot be counted, unless it is a process of the system. Why it is so, and what
//! it costs, is in `docs/internals/compiling.md`.

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
/// The largest artifact that is taken from a helper, in bytes: 256 MiB.
const ARTIFACT_MAX: usize = 256 << 20;

/// What compiling the modules of guests may take: see [`RuntimeBuilder::compile_limits`](crate::RuntimeBuilder::compile_limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Modules that are compiled at once; more wait for their turn. By default one per core that this program may use. 0 counts
    /// as 1.
    pub at_once: usize,
    /// Time on a core for one module, by default 10 seconds. Only a helper is held to it.
    pub time: Duration,
    /// Bytes of memory of one helper, by default 1 GiB. Only Linux holds a helper to it.
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

/// What all guests of a runtime compile with.
pub(crate) struct Compiler {
    turns: Arc<Turns>,
    helper: Option<CompileHelper>,
    limits: CompileLimits,
}

/// What a helper is to compile.
pub(crate) struct Order {
    pub(crate) file: Arc<[u8]>,
    pub(crate) layout: Layout,
    /// The settings of the engine that the code is for.
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

    /// Waits until it is one's turn to compile. `path` says who asks: see [`turns`].
    pub(crate) async fn turn(&self, path: &[u64]) -> Arc<Turn> {
        Arc::new(self.turns.take(path).await)
    }

    /// Whether there is a helper. If not, the host has to compile by itself.
    pub(crate) fn has_helper(&self) -> bool {
        self.helper.is_some()
    }

    /// Has a helper compile, and charges as it goes: its time to `budget`, its memory to `paid`.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the helper is killed within some milliseconds, and the turn ends after that.
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
            return failed("there is no program that compiles");
        };
        let limits = self.limits;
        let gone = Arc::new(AtomicBool::new(false));
        let _wanted = Wanted(gone.clone());
        let watching = io.spawn_blocking(move || {
            let _turn = turn;
            let head = Head {
                layout: order.layout,
                settings: order.settings,
                // Later than the host, which knows more: this is for when the host cannot.
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

/// While this is there, somebody waits for a module.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
