//! An upgrade of a whole system, as others see it: it is begun, observed, waited for and cancelled here.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use parking_lot::{Condvar, Mutex};

use super::execution::Execution;
use super::order::{Order, States};
use super::over::Over;
use super::report::{UpgradeConfig, UpgradePhase, UpgradeReport};
use super::versions::Versions;
use crate::module::Module;
use crate::rights::Rights;
use crate::wasm::{Kernel, Process, System};

/// An upgrade that has started: see [`RunningSystem::upgrade`](crate::RunningSystem::upgrade).
///
/// The system keeps it, so it keeps neither the system nor the kernel.
pub struct Upgrade {
    /// The version.
    pub(super) module: Arc<Module>,
    pub(super) config: UpgradeConfig,
    /// The number of the upgrade in its system, from 1 on.
    number: u32,
    /// It changes only processes with these rights, or with rights narrowed from these.
    pub(super) within: Option<Arc<Rights>>,
    /// An upgrade that must be over first.
    pub(super) after: Mutex<Option<Arc<Upgrade>>>,
    pub(super) is_cancelled: AtomicBool,
    /// When somebody with more rights wanted another upgrade.
    pub(super) hurried: OnceLock<Instant>,
    pub(super) began: Instant,
    pub(super) state: Mutex<State>,
    /// The phase has changed.
    pub(super) moved_on: Condvar,
    /// For tasks that wait for the end.
    over: Over,
}

pub(super) struct State {
    pub(super) report: UpgradeReport,
    pub(super) pauses: Vec<Duration>,
    /// The former module of each process that has changed.
    pub(super) origins: HashMap<Id, Arc<Module>>,
    /// Processes that did not reach their point of change in time.
    pub(super) late: Vec<Late>,
    pub(super) kept: States,
    /// What was current before, if the upgrade replaces it.
    pub(super) former: Option<(u32, Arc<Module>)>,
}

/// A process that changes when it reaches its point of change, unless the order is withdrawn before.
pub(super) struct Late {
    pub(super) process: Arc<Process>,
    pub(super) order: Arc<Order<Module>>,
    pub(super) origin: Arc<Module>,
}

impl Upgrade {
    fn new(asked: Asked<'_>, number: u32, after: Option<Arc<Self>>) -> Self {
        let versions = versions(asked.system);
        let current = versions.current();
        let from = current.0;
        let (to, module) = versions.add(asked.module);
        let report = UpgradeReport {
            from,
            to,
            code: module.identity().clone(),
            phase: UpgradePhase::Checking,
            kinds: Vec::new(),
            changed: 0,
            kept: 0,
            refusals: Vec::new(),
            waiting: 0,
            without_point: 0,
            pauses: [Duration::ZERO; 3],
            time: Duration::ZERO,
        };
        let former = asked.within.is_none().then_some(current);
        Self {
            module,
            config: asked.config,
            number,
            within: asked.within,
            after: Mutex::new(after),
            is_cancelled: AtomicBool::new(false),
            hurried: OnceLock::new(),
            began: Instant::now(),
            state: Mutex::new(State {
                report,
                pauses: Vec::new(),
                origins: HashMap::new(),
                late: Vec::new(),
                kept: States::new(),
                former,
            }),
            moved_on: Condvar::new(),
            over: Over::default(),
        }
    }

    /// Returns the progress.
    pub fn report(&self) -> UpgradeReport {
        let state = self.state.lock();
        let mut report = state.report.clone();
        if !report.phase.is_over() {
            report.time = self.began.elapsed();
        }
        let mut pauses = state.pauses.clone();
        drop(state);
        pauses.sort_unstable();
        if let Some(last) = pauses.len().checked_sub(1) {
            report.pauses = [last / 2, last * 99 / 100, last].map(|place| pauses[place]);
        }
        report
    }

    /// Waits until nothing more will happen, and returns the report.
    pub fn wait(&self) -> UpgradeReport {
        let mut state = self.state.lock();
        while !state.report.phase.is_over() {
            self.moved_on.wait(&mut state);
        }
        drop(state);
        self.report()
    }

    /// Like [`wait`](Self::wait), for tasks.
    pub(crate) async fn over(&self) {
        self.over.wait().await;
    }

    /// Rolls back what has changed. Does nothing if the upgrade is over.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Enters a phase, and tells those who wait for the end if it is the last one.
    pub(super) fn enter(&self, phase: UpgradePhase) {
        let is_over = phase.is_over();
        self.state.lock().report.phase = phase;
        self.moved_on.notify_all();
        if is_over {
            self.over.set();
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().report.phase.is_over()
    }

    /// Returns the number of the upgrade in its system, from 1 on.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether it may change fewer processes than an upgrade with these rights.
    fn is_narrower_than(&self, other: Option<&Rights>) -> bool {
        match (&self.within, other) {
            (Some(own), Some(other)) => own.group.is_within(&other.group) && !Arc::ptr_eq(&own.group, &other.group),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Whether it changes only processes with these rights or fewer; with `None`, every upgrade does.
    pub(crate) fn is_within(&self, rights: Option<&Rights>) -> bool {
        match (&self.within, rights) {
            (_, None) => true,
            (Some(own), Some(rights)) => own.group.is_within(&rights.group),
            (None, Some(_)) => false,
        }
    }
}

/// The versions of the code of a system.
pub(crate) fn versions(system: &System) -> Arc<Versions<Module>> {
    let versions = system.data.states.find();
    versions.expect("a system begins with one")
}

/// The upgrade of a system that was started last, and how many there were.
#[derive(Default)]
struct Last(Mutex<(u32, Option<Arc<Upgrade>>)>);

/// Why an upgrade could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Another upgrade is in progress.
    Busy,
    /// The machine refused a thread.
    Thread(std::io::Error),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another upgrade of this program is running"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for UpgradeError {}

/// A request for an upgrade.
pub(crate) struct Asked<'a> {
    pub(crate) kernel: &'a Arc<Kernel>,
    pub(crate) system: &'a Arc<System>,
    pub(crate) module: &'a Arc<Module>,
    pub(crate) config: UpgradeConfig,
    /// The rights of the process that asks, if they are fewer than the system's.
    pub(crate) within: Option<Arc<Rights>>,
}

impl Asked<'_> {
    /// Starts the upgrade unless another is in progress. One that was requested with fewer rights is cancelled and
    /// rolled back first.
    pub(crate) fn begin(self) -> Result<Arc<Upgrade>, UpgradeError> {
        let states = self.system.data.states.get_or_insert_with(Last::default);
        let mut last = states.0.lock();
        let other = last.1.as_ref().filter(|last| !last.is_over()).cloned();
        if let Some(other) = &other {
            if !other.is_narrower_than(self.within.as_deref()) {
                return Err(UpgradeError::Busy);
            }
            other.hurried.get_or_init(Instant::now);
            other.cancel();
        }
        let number = last.0 + 1;
        let (kernel, system) = (self.kernel.clone(), self.system.clone());
        let upgrade = Arc::new(Upgrade::new(self, number, other));
        let execution = Execution::new(upgrade.clone(), kernel, system);
        let spawned = std::thread::Builder::new()
            .name("lunatic-upgrade".into())
            .spawn(move || execution.run());
        spawned.map_err(UpgradeError::Thread)?;
        *last = (number, Some(upgrade.clone()));
        Ok(upgrade)
    }
}

/// The upgrade of a system that was started last.
pub(crate) fn last(system: &System) -> Option<Arc<Upgrade>> {
    system.data.states.find::<Last>()?.0.lock().1.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use crate::system::SystemConfig;

    /// A program whose main process ends immediately; `data` makes it a version of its own.
    fn program(runtime: &Runtime, data: &str) -> Arc<Module> {
        let text =
            format!(r#"(module (memory (export "memory") 1) (data (i32.const 0) "{data}") (func (export "_start")))"#);
        runtime.load(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_upgrade_does_not_keep_its_runtime() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let [old, new] = ["old", "new"].map(|data| program(&runtime, data));
        let system = runtime.start(&old, SystemConfig::default()).unwrap();
        let upgrade = system.upgrade(&new, UpgradeConfig::default()).unwrap();
        assert_eq!(upgrade.wait().phase, UpgradePhase::Done);
        let kernel = Arc::downgrade(&runtime.kernel);
        drop((system, runtime));
        // The upgrade's thread may still be about to end.
        let start = Instant::now();
        while kernel.strong_count() > 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "somebody keeps the kernel");
            std::thread::yield_now();
        }
        assert!(upgrade.is_over());
    }
}
