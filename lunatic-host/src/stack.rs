//! Reads the stack of a process on request.
//!
//! A waiting process shows its stack to the asking thread without being woken ([`Here`](crate::instance::Here)). A
//! computing process shows it at the end of its time slice, where [`show_running`] is called. The asking thread looks
//! up names and lines.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use lunatic_kernel::process::state::Phase;
use lunatic_report::Backtrace;
use parking_lot::Mutex;
use wasmtime::{StoreContextMut, WasmBacktrace};

use crate::instance::{Ctx, Runner};
use crate::wasm::{Kernel, Process};

/// When to try a process again that could not be inspected: it may wait by then.
const PAUSE: Duration = Duration::from_millis(2);

/// The stack of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stack {
    /// The functions, the innermost first: up to [`FRAMES_MAX`](lunatic_report::FRAMES_MAX) that are active, and those
    /// that were inlined into them.
    pub backtrace: Backtrace,
    /// Why there are none.
    pub unseen: Option<Unseen>,
}

/// Why a stack could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unseen {
    /// The process has not begun.
    NotBegun,
    /// It waits in a host call that does not show the stack: a call of WASI, for example for standard input or a time,
    /// or of an extension.
    InCall,
    /// Within the timeout, it was neither in a wait nor at the end of a time slice: no worker was free for it, or it
    /// was in a host call.
    NoAnswer,
}

type Recorded = Arc<WasmBacktrace>;

/// The threads that have asked computing processes.
#[derive(Default)]
pub(crate) struct Askers(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    /// The number of the next request.
    next: u64,
    by_process: HashMap<Id, Vec<(u64, Sender<Recorded>)>>,
}

/// Reads the stack of a process within this time; `None` if it ends meanwhile.
pub(crate) fn of(kernel: &Kernel, process: &Arc<Process>, timeout: Duration) -> Option<Stack> {
    let unseen = |unseen| Stack {
        unseen: Some(unseen),
        ..Stack::default()
    };
    Some(match record(kernel, process, timeout)? {
        Ok(recorded) => Stack {
            backtrace: Backtrace::of(&recorded, Some(process.local.module().symbols())),
            unseen: None,
        },
        Err(why) => unseen(why),
    })
}

fn record(kernel: &Kernel, process: &Arc<Process>, timeout: Duration) -> Option<Result<Recorded, Unseen>> {
    let start = Instant::now();
    let mut asking = None;
    loop {
        if process.phase() == Phase::Ended {
            return None;
        }
        if !process.has_begun() {
            return Some(Err(Unseen::NotBegun));
        }
        match kernel.with_blocked(process, Runner::look) {
            Some(Some(shown)) => return Some(Ok(Arc::from(shown))),
            // A process that has used up its share of a core is not in any call.
            Some(None) if !process.is_throttled() => return Some(Err(Unseen::InCall)),
            _ => {}
        }
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Some(Err(Unseen::NoAnswer));
        }
        let Asking { answer, .. } = asking.get_or_insert_with(|| Asking::begin(kernel, process));
        if let Ok(recorded) = answer.recv_timeout(left.min(PAUSE)) {
            return Some(Ok(recorded));
        }
    }
}

/// Shows the stack to the threads that have asked. Must be called at the end of a time slice, on the stack of the
/// computing code.
pub(crate) fn show_running(store: &StoreContextMut<'_, Ctx>) {
    let Some(process) = store.data().running() else { return };
    if process.local.is_asked() {
        let recorded = Arc::new(WasmBacktrace::capture(store));
        if let Some(askers) = store.data().kernel.host.states.find::<Askers>() {
            askers.answer(process, &recorded);
        }
    }
}

impl Askers {
    fn answer(&self, process: &Process, recorded: &Recorded) {
        let mut asked = self.0.lock();
        process.local.set_asked(false);
        for (_, asker) in asked.by_process.remove(&process.id).into_iter().flatten() {
            // It may have given up just now.
            let _ = asker.send(recorded.clone());
        }
    }
}

/// A request to a process that was not waiting, until it is dropped.
struct Asking<'a> {
    askers: Arc<Askers>,
    process: &'a Process,
    number: u64,
    answer: Receiver<Recorded>,
}

impl<'a> Asking<'a> {
    fn begin(kernel: &Kernel, process: &'a Process) -> Self {
        let askers = kernel.host.states.get_or_insert_with(Askers::default);
        let (sender, answer) = mpsc::channel();
        let mut asked = askers.0.lock();
        let number = asked.next;
        asked.next += 1;
        asked.by_process.entry(process.id).or_default().push((number, sender));
        process.local.set_asked(true);
        drop(asked);
        Self {
            askers,
            process,
            number,
            answer,
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asked = self.askers.0.lock();
        let Some(of_process) = asked.by_process.get_mut(&self.process.id) else {
            return;
        };
        of_process.retain(|(number, _)| *number != self.number);
        if of_process.is_empty() {
            asked.by_process.remove(&self.process.id);
            self.process.local.set_asked(false);
        }
    }
}
