//! Figures of a thread and of the machine that every Unix provides. The others differ: see the twin modules.

use std::time::Duration;

use super::page_size;

/// An amount in bytes, and how much of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What is still available.
    pub left: usize,
    /// The total, including what is in use.
    pub all: usize,
}

impl Room {
    /// Returns what arenas and new processes leave to the rest of the host, whose allocator aborts when it gets
    /// nothing.
    pub fn reserve(self) -> usize {
        self.all / 16
    }
}

/// Returns the CPU time of this thread.
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the memory of the machine in bytes, whoever uses it; `None` if the operating system does not report it.
///
/// For limits that must stay the same while the host runs. [`machine_memory`] returns how much is currently available.
///
/// [`machine_memory`]: super::machine_memory
pub fn physical_memory() -> Option<usize> {
    // SAFETY: `sysconf` only reads a number.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    let bytes = usize::try_from(pages).ok()?.saturating_mul(page_size());
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::resident_memory;

    #[test]
    fn the_time_of_a_thread_goes_on_while_it_computes_and_not_while_others_do() {
        let start = thread_time();
        while thread_time() - start < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let before = thread_time();
        // This thread waits.
        std::thread::spawn(|| while thread_time() < Duration::from_millis(200) {})
            .join()
            .unwrap();
        assert!(thread_time() - before < Duration::from_millis(100));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_time_of_another_process_is_told_until_it_has_been_waited_for() {
        use std::process::{Command, Stdio};

        use crate::os::process_time;

        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo; cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // The shell has counted.
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let counted = process_time(child.id()).unwrap();
        assert!(counted > Duration::ZERO);
        drop(child.stdin.take());
        let mut rest = Vec::new();
        std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut rest).unwrap();
        assert!(process_time(child.id()).unwrap() >= counted);
        child.wait().unwrap();
        assert_eq!(process_time(child.id()), None);
    }

    #[test]
    fn this_process_holds_less_than_the_machine_has() {
        let all = physical_memory().unwrap();
        assert!(resident_memory().is_none_or(|bytes| 0 < bytes && bytes < all));
    }
}
