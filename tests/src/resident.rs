//! The memory and the descriptors that the whole test program uses, for test programs in which no other test runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// The resident bytes of this program.
///
/// # Panics
///
/// If the system does not report them as Linux does.
pub fn resident() -> usize {
    // Opened only once: a guest may use up all descriptors of the program.
    static STATUS: OnceLock<File> = OnceLock::new();
    let status = STATUS.get_or_init(|| File::open("/proc/self/status").expect("Linux says what a program uses"));
    let mut bytes = [0; 4096];
    let len = status.read_at(&mut bytes, 0).expect("what is open can be read");
    let text = String::from_utf8_lossy(&bytes[..len]);
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.expect("Linux says it in kB") << 10
}

/// The number of descriptors that this program has open; 0 if the system does not report it as Linux since 6.2 does.
/// Opens none itself.
pub fn descriptors() -> usize {
    std::fs::metadata("/proc/self/fd").map_or(0, |folder| folder.len() as usize)
}
