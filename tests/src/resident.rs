//! How much memory the whole test program has: for test programs in which no other test runs.

/// The bytes of this program that are resident.
///
/// # Panics
///
/// If the system does not say, as Linux does.
pub fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux says what a program uses");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.expect("Linux says it in kB") << 10
}
