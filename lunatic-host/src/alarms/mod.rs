//! Alarms: likely problems of a program, each reported once with advice.
//!
//! A thread of its own scans the processes of a system every [`AlarmConfig::look`], in steps, as a list of them does.
//! This costs workers nothing: the thread uses only what each process counts about itself anyway. What one scan finds
//! may be chance, so an alarm needs several consecutive scans with the same result; only memory needs a single one.
//!
//! | module | purpose |
//! |---|---|
//! | `crashes` | which processes have crashing children, counted where a crash is reported |
//! | `cycles` | finds processes that wait for each other |
//! | `look` | one scan of all processes, and what it remembers for the next |
//!
//! While nothing runs, nothing changes, and the thread does not scan.

pub(crate) mod crashes;
mod cycles;
mod look;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

use lunatic_kernel::address::Id;
use parking_lot::{Condvar, Mutex};

use self::look::Look;
use crate::report::untrusted::line;
use crate::running::RunningSystem;
use crate::wasm::{Kernel, System};

/// How many alarms are remembered; further ones are only counted.
const ALARMS_MAX: usize = 1000;
/// How many alarms are logged after one scan; the others are only in the list.
const WRITTEN_MAX: usize = 10;

/// The pause between two scans is this many times the CPU time of a scan: even for a million processes, scans take 2 %
/// of one core.
const PAUSE_MIN: u32 = 50;

/// The thresholds of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmConfig {
    /// The interval of scans, by default 10 s; longer if there are very many processes.
    pub look: Duration,
    /// The number of entries above which a mailbox causes an alarm if it has grown at each of four scans; by default
    /// 10,000.
    pub mailbox_len: usize,
    /// The CPU time that a process may use without waiting; by default 10 s.
    pub burst: Duration,
    /// The percentage of a memory budget that may be used; by default 90.
    pub memory_percent: u64,
    /// The number of crashed children of one process per scan that, three scans in a row, causes an alarm; by default
    /// 10.
    pub crashes: u32,
}

impl Default for AlarmConfig {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(10),
            mailbox_len: 10_000,
            burst: Duration::from_secs(10),
            memory_percent: 90,
            crashes: 10,
        }
    }
}

/// The kind of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AlarmKind {
    /// A mailbox keeps growing.
    Mailbox,
    /// A process computes and never waits.
    Burst,
    /// A memory budget is nearly used up.
    Memory,
    /// Children of a process crash repeatedly.
    Crashes,
    /// Processes wait for each other.
    Deadlock,
}

impl AlarmKind {
    /// The name of the kind, in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Burst => "burst",
            Self::Memory => "memory",
            Self::Crashes => "crashes",
            Self::Deadlock => "deadlock",
        }
    }
}

/// A problem that the host has noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// Its kind.
    pub kind: AlarmKind,
    /// The process; if there are several, the one with the smallest id.
    pub process: Option<Id>,
    /// The problem in words. May contain names chosen by guests; control characters are removed.
    pub text: String,
    /// How to solve it.
    pub advice: String,
    /// When it was first noticed.
    pub time: SystemTime,
    /// Whether the last scan has still found it.
    pub is_on: bool,
}

/// A problem that a scan has found.
pub(crate) struct Finding {
    kind: AlarmKind,
    process: Option<Id>,
    /// Distinguishes findings that have no process.
    what: u64,
    text: String,
    advice: String,
}

type Key = (AlarmKind, Option<Id>, u64);

/// The alarms of a system: see [`RunningSystem::alarms`].
pub struct Alarms(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    is_stopped: bool,
    alarms: Vec<Alarm>,
    known: HashMap<Key, usize>,
    left_out: u64,
    looks: u64,
}

impl Alarms {
    /// Returns the alarms so far, the oldest first, without the first `skip`. At most 1,000 are remembered.
    pub fn list(&self, skip: usize) -> Vec<Alarm> {
        self.0.state.lock().alarms.iter().skip(skip).cloned().collect()
    }

    /// Returns the number of alarms so far.
    pub fn count(&self) -> u64 {
        let state = self.0.state.lock();
        state.alarms.len() as u64 + state.left_out
    }

    /// Returns the number of scans so far.
    pub fn looks(&self) -> u64 {
        self.0.state.lock().looks
    }

    /// Returns how many alarms are not remembered.
    pub fn left_out(&self) -> u64 {
        self.0.state.lock().left_out
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        self.0.state.lock().is_stopped = true;
        self.0.stopped.notify_all();
    }
}

impl RunningSystem {
    /// Scans the processes of this system periodically, and calls `tell` with a line for each likely problem: see
    /// [`AlarmKind`]. Continues until the system has ended. Call this once.
    ///
    /// # Errors
    ///
    /// If the machine refuses a thread.
    pub fn watch(&self, config: AlarmConfig, tell: impl Fn(&str) + Send + 'static) -> io::Result<()> {
        let (kernel, system) = self.parts();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            stopped: Condvar::new(),
        });
        let alarms = Alarms(shared.clone());
        system.data.states.get_or_insert_with(|| alarms);
        let (kernel, system) = (Arc::downgrade(kernel), Arc::downgrade(system));
        let run = move || shared.run(&kernel, &system, config, &tell);
        thread::Builder::new().name("lunatic-alarms".into()).spawn(run)?;
        Ok(())
    }

    /// Returns the alarms of this system; `None` if it is not [watched](Self::watch).
    pub fn alarms(&self) -> Option<Arc<Alarms>> {
        self.state()
    }
}

impl Shared {
    /// Scans until the system or the alarms are gone.
    fn run(&self, kernel: &Weak<Kernel>, system: &Weak<System>, config: AlarmConfig, tell: &dyn Fn(&str)) {
        let (mut look, mut pause) = (Look::new(config), config.look);
        while !self.wait(pause) {
            let (Some(kernel), Some(system)) = (kernel.upgrade(), system.upgrade()) else {
                return;
            };
            if system.is_over() {
                return;
            }
            let start = lunatic_memory::thread_time();
            if let Some(found) = look.at(&kernel, &system, || self.wait(Duration::from_millis(1))) {
                self.tell(found, tell);
            }
            let took = lunatic_memory::thread_time().saturating_sub(start);
            pause = config.look.max(took * PAUSE_MIN);
        }
    }

    /// Waits, and returns whether to stop.
    fn wait(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.is_stopped {
            self.stopped.wait_for(&mut state, time);
        }
        state.is_stopped
    }

    fn tell(&self, found: Vec<Finding>, tell: &dyn Fn(&str)) {
        let new = self.state.lock().update(found);
        for alarm in new.iter().take(WRITTEN_MAX) {
            tell(&format!("alarm: {}; {}", alarm.text, alarm.advice));
        }
        if let Some(more @ 1..) = new.len().checked_sub(WRITTEN_MAX) {
            tell(&format!("alarm: {more} more: `lunatic status` lists them"));
        }
    }
}

impl State {
    /// Records the findings of a scan, and returns new alarms.
    fn update(&mut self, found: Vec<Finding>) -> Vec<Alarm> {
        self.looks += 1;
        self.alarms.iter_mut().for_each(|alarm| alarm.is_on = false);
        let mut new = Vec::new();
        for finding in found {
            let key = (finding.kind, finding.process, finding.what);
            if let Some(at) = self.known.get(&key) {
                self.alarms[*at].is_on = true;
                continue;
            }
            if self.alarms.len() >= ALARMS_MAX {
                self.left_out += 1;
                continue;
            }
            let alarm = Alarm {
                kind: finding.kind,
                process: finding.process,
                text: line(finding.text).to_string(),
                advice: finding.advice,
                time: SystemTime::now(),
                is_on: true,
            };
            self.known.insert(key, self.alarms.len());
            self.alarms.push(alarm.clone());
            new.push(alarm);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_said_once_and_is_on_while_it_is_found() {
        let finding = |what| Finding {
            kind: AlarmKind::Memory,
            process: None,
            what,
            text: "a\u{1b}b".into(),
            advice: String::new(),
        };
        let mut state = State::default();
        assert_eq!(state.update(vec![finding(1)])[0].text, "a\\u{1b}b");
        assert_eq!(state.update(vec![finding(1), finding(2)]).len(), 1);
        assert!(state.update(vec![finding(2)]).is_empty());
        assert_eq!(
            state.alarms.iter().map(|alarm| alarm.is_on).collect::<Vec<_>>(),
            [false, true]
        );
        state.update((0..2 * ALARMS_MAX as u64).map(finding).collect());
        assert_eq!((state.alarms.len(), state.left_out), (ALARMS_MAX, ALARMS_MAX as u64));
    }
}
