//! Figures from Linux: this process's limits and use of memory, and the machine's.

use std::time::Duration;

use crate::os::{Access, Room, page_size};

/// Page faults of this thread since it started. If the number has not changed, this thread has touched no new page in
/// between.
pub(crate) fn thread_faults() -> u64 {
    // SAFETY: all zero bytes are a valid `rusage`, which is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writes during the call.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    (usage.ru_minflt as u64).wrapping_add(usage.ru_majflt as u64)
}

/// Reads the CPU time of a thread, from any thread of this process.
#[derive(Debug, Clone, Copy)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// Returns the clock of the calling thread; `None` if the operating system has none.
    #[must_use]
    pub fn of_this_thread() -> Option<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread is alive, and `clock` is valid for writes during the call.
        let error = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        (error == 0).then_some(Self(clock))
    }

    /// Returns the CPU time of the thread; `None` once it has ended.
    #[must_use]
    pub fn time(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writes during the call.
        let is_told = unsafe { libc::clock_gettime(self.0, &mut time) } == 0;
        is_told.then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

/// Returns the CPU time of another operating-system process, with all its threads; `None` if there is none with this
/// id. A process that has exited and that nobody has waited for still counts.
pub fn process_time(process: u32) -> Option<Duration> {
    let (process, mut clock) = (libc::pid_t::try_from(process).ok()?, 0);
    // SAFETY: `clock` is valid for writes during the call.
    let found = unsafe { libc::clock_getcpuclockid(process, &mut clock) } == 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes during the call.
    let is_told = found && unsafe { libc::clock_gettime(clock, &mut time) } == 0;
    is_told.then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Returns the bytes of a process's memory that are not shared with a file; `None` if there is no such process or the
/// operating system does not report it.
pub fn process_memory(process: u32) -> Option<usize> {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let mut columns = statm.split_ascii_whitespace().skip(1);
    let mut pages = || columns.next()?.parse::<usize>().ok();
    pages()?.saturating_sub(pages()?).checked_mul(page_size())
}

/// Returns the address space that `ulimit -v` allows; `None` if there is no such limit.
pub fn address_space() -> Option<Room> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for writes during the call.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
    if asked != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    let used = statm(0)?;
    let all = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
    Some(Room {
        left: all.saturating_sub(used),
        all,
    })
}

/// Returns the resident memory of this process in bytes; `None` if the operating system does not report it.
pub fn resident_memory() -> Option<usize> {
    statm(1)
}

/// Returns the private writable memory of this process in bytes, whether or not it holds data: what `RLIMIT_DATA`
/// limits. `None` if the operating system does not report it.
pub fn data_memory() -> Option<usize> {
    statm(5)
}

/// A column of `/proc/self/statm`, which counts pages, in bytes.
fn statm(column: usize) -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split_ascii_whitespace().nth(column)?.parse().ok()?;
    pages.checked_mul(page_size())
}

/// Returns the memory of the machine: the total, and what is available without swapping out other programs.
pub fn machine_memory() -> Option<Room> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(Room {
        left: bytes_in(&info, "MemAvailable")?,
        all: bytes_in(&info, "MemTotal")?,
    })
}

/// The value of a line of `/proc/meminfo`.
fn bytes_in(info: &str, key: &str) -> Option<usize> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: usize = line.trim().split(' ').next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes that may still be committed; `None` if mappings of this kind are not counted.
pub(crate) fn commit_left(access: Access) -> Option<usize> {
    const NEVER_MORE_THAN_THERE_IS: &str = "2";
    let mode = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").ok()?;
    if mode.trim() != NEVER_MORE_THAN_THERE_IS || access == Access::Closed {
        return None;
    }
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(bytes_in(&info, "CommitLimit")?.saturating_sub(bytes_in(&info, "Committed_AS")?))
}
