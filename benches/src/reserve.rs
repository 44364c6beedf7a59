//! Ends a program that is about to use up the memory of the machine, before the kernel ends whatever it chooses.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A program is ended when less than this part of the machine's memory is available.
const PART: u64 = 16;

/// How often the available memory is read. A program takes at most a gigabyte or two a second.
const INTERVAL: Duration = Duration::from_millis(50);

/// Watches over the memory while a program runs, until it is dropped.
pub(crate) struct Reserve {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reserve {
    /// Watches over a program that was started and that nobody has waited for. Sets `ended` if it ends it.
    pub(crate) fn watch(pid: u32, ended: Arc<AtomicBool>) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let ends = ends.clone();
            move || {
                while !ends.load(Ordering::Relaxed) {
                    if is_low() {
                        ended.store(true, Ordering::Relaxed);
                        // SAFETY: kill takes numbers only.
                        unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
                        return;
                    }
                    thread::park_timeout(INTERVAL);
                }
            }
        });
        Self {
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn is_low() -> bool {
    fs::read_to_string("/proc/meminfo").is_ok_and(|text| is_low_in(&text))
}

fn is_low_in(meminfo: &str) -> bool {
    let kb = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    match (kb("MemAvailable:"), kb("MemTotal:")) {
        (Some(available), Some(total)) => available < total / PART,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_low_when_a_sixteenth_is_left() {
        let meminfo = |available: u64| format!("MemTotal:   1600 kB\nMemFree:  1 kB\nMemAvailable:  {available} kB\n");
        assert!(is_low_in(&meminfo(99)));
        assert!(!is_low_in(&meminfo(100)));
        assert!(!is_low_in(""));
    }
}
