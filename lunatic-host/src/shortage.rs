//! Shortages of the machine: noticed where instances are made and where the table of processes grows, and reported to
//! spawners.
//!
//! An instance is made when its process first runs, long after `spawn` has returned. If the machine has no room for it,
//! the process ends, and its exit reason names what was lacking. From then on, `spawn` refuses immediately with the
//! same text, until [`WHILE`] has passed and the machine reports that it has room again. The machine is also asked each
//! time the number of living processes exceeds its former maximum by [`MORE_ALIVE`], because even a process that has
//! not run yet takes memory from the host's allocator, which aborts when it gets none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

/// How many time slices after a failure the machine is asked again.
const WHILE: u64 = 100;
/// The machine is asked each time this many more processes are alive than ever before.
const MORE_ALIVE: u32 = 4096;
/// One part in this many of the machine's memory is left for the host's own needs and for other programs.
const MEMORY_PART: usize = 32;

/// Asks the machine what it lacks, in words; `None` if nothing.
type Probe = fn() -> Option<String>;

pub(crate) struct Shortage {
    probe: Probe,
    /// The time slice from which on the machine is asked again; 0 while there is no shortage.
    until: AtomicU64,
    /// The last shortage.
    what: Mutex<Arc<str>>,
    /// The number of table slots at which the machine is asked next.
    next_look: AtomicU32,
}

impl Shortage {
    pub(crate) fn new() -> Self {
        Self::with_probe(probe)
    }

    fn with_probe(probe: Probe) -> Self {
        Self {
            probe,
            until: AtomicU64::new(0),
            what: Mutex::new(Arc::from("")),
            next_look: AtomicU32::new(MORE_ALIVE),
        }
    }

    /// Records that an instance could not be made because something was lacking.
    pub(crate) fn note(&self, what: &str, now: u64) {
        *self.what.lock() = what.into();
        self.until.store(now + WHILE, Ordering::Relaxed);
    }

    /// Returns what prevents another process, if anything does. `slots` is the largest number of processes that were
    /// ever alive at a time.
    pub(crate) fn refuses(&self, now: u64, slots: u32) -> Option<Arc<str>> {
        let until = self.until.load(Ordering::Relaxed);
        let next = self.next_look.load(Ordering::Relaxed);
        if until == 0 && slots < next {
            return None;
        }
        if now < until {
            return Some(self.what.lock().clone());
        }
        match (self.probe)() {
            Some(what) => self.note(&what, now),
            None => {
                self.until.store(0, Ordering::Relaxed);
                self.next_look
                    .fetch_max(slots.saturating_add(MORE_ALIVE), Ordering::Relaxed);
                return None;
            }
        }
        Some(self.what.lock().clone())
    }
}

fn probe() -> Option<String> {
    // Arenas do not touch the reserve; the host may use some of it.
    if let Some(space) = lunatic_memory::address_space().filter(|space| space.left < space.reserve() / 2) {
        let left = space.left >> 20;
        return Some(format!(
            "the host has only {left} MiB of address space left: raise `ulimit -v`"
        ));
    }
    let memory = lunatic_memory::machine_memory().filter(|memory| memory.left < memory.all / MEMORY_PART)?;
    let left = memory.left >> 20;
    Some(format!(
        "the machine has only {left} MiB of memory left: end some processes or programs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_until_the_machine_has_room() {
        let shortage = Shortage::with_probe(|| None);
        assert_eq!(shortage.refuses(5, 1), None);
        shortage.note("no kernel map", 5);
        for now in [5, 5 + WHILE - 1] {
            assert_eq!(shortage.refuses(now, 1).as_deref(), Some("no kernel map"));
        }
        assert_eq!(shortage.refuses(5 + WHILE, 1), None);
        assert_eq!(shortage.refuses(6, 1), None, "the machine said that it has room");
    }

    #[test]
    fn a_machine_that_has_no_room_is_asked_again_and_again() {
        let shortage = Shortage::with_probe(|| Some("no memory".into()));
        assert_eq!(shortage.refuses(1, MORE_ALIVE - 1), None, "it has not been asked");
        assert_eq!(shortage.refuses(1, MORE_ALIVE).as_deref(), Some("no memory"));
        assert_eq!(shortage.refuses(1 + 2 * WHILE, 1).as_deref(), Some("no memory"));
    }

    #[test]
    fn the_machine_is_asked_when_more_are_alive_than_ever() {
        thread_local!(static ASKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
        let shortage = Shortage::with_probe(|| {
            ASKED.set(ASKED.get() + 1);
            None
        });
        (0..4 * MORE_ALIVE).for_each(|slots| assert_eq!(shortage.refuses(1, slots), None));
        assert_eq!(ASKED.get(), 3);
        (0..4 * MORE_ALIVE).for_each(|slots| assert_eq!(shortage.refuses(1, slots), None));
        assert_eq!(ASKED.get(), 3, "the table does not grow any more");
    }

    #[test]
    fn this_machine_has_room() {
        let memory = lunatic_memory::machine_memory();
        assert!(
            memory.is_none_or(|memory| 0 < memory.left && memory.left <= memory.all),
            "{memory:?}"
        );
        assert!(lunatic_memory::address_space().is_none_or(|space| space.left <= space.all));
    }
}
