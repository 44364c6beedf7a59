//! Helpers for tests of memory: figures of this process, and a separate process for tests that need one.

use std::process::{Command, Output, Stdio};

/// The number of kernel maps of this process.
pub(crate) fn kernel_maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// The resident memory of this process in bytes.
pub(crate) fn resident_bytes() -> usize {
    crate::os::resident_memory().unwrap()
}

/// The memory of this process's page tables in bytes.
pub(crate) fn page_table_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<usize>().unwrap() * 1024
}

/// The version of the running kernel; (0, 0) if it is not Linux.
pub(crate) fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Runs one ignored test of this crate alone in a separate process.
pub(crate) fn in_own_process(test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--test-threads=1", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs one ignored test, which must pass, in a separate process.
pub(crate) fn run_alone(test: &str) {
    let output = in_own_process(test);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{test}: {}\n{stdout}\n{stderr}",
        output.status
    );
}
