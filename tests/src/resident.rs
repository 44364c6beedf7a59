//! How much memory and how many descriptors the whole test program has: for test programs in which no other test runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// The bytes of this program that are resident.
///
/// # Panics
///
/// If the system does not say, as Linux does.
pub fn resident() -> usize {
    // Opened once: a guest may leave the program without descriptors.
    static STATUS: OnceLock<File> = OnceLock::new();
    let status = STATUS.get_or_init(|| File::open("/proc/self/status").expect("Linux says what a program uses"));
    let mut bytes = [0; 4096];
    let len = status.read_at(&mut bytes, 0).expect("what is open can be read");
    let text = String::from_utf8_lossy(&bytes[..len]);
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.expect("Linux says it in kB") << 10
}

/// How many descriptors this program has open; 0 where the system does not say, as Linux does since 6.2. Opens none.
pub fn descriptors() -> usize {
    std::fs::metadata("/proc/self/fd").map_or(0, |folder| folder.len() as usize)
}
