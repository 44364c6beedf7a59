//! The imports for log records, and the constructor that installs the logger in each process.

use lunatic_sys::log;

/// The most verbose level that is logged for a target, or for any target if `target` is empty. A long target is cut.
pub(crate) fn level(target: &str) -> i32 {
    let target = &target[..target.floor_char_boundary(log::TARGET_LEN_MAX)];
    // SAFETY: `target` is readable for its length.
    unsafe { log::level(target.as_ptr(), target.len()) }
}

/// Logs a record. If it is dropped, the host counts that; the guest has nobody to report it to.
pub(crate) fn record(record: &[u8]) {
    // SAFETY: `record` is readable for its length.
    let _ = unsafe { log::record(record.as_ptr(), record.len()) };
}

extern "C" fn install() {
    crate::log::install();
}

/// Constructors run at the start of each process, however it was spawned, so programs do not have to install anything.
#[cfg(target_arch = "wasm32")]
#[used]
// SAFETY: the linker expects functions without parameters and results in this section.
#[unsafe(link_section = ".init_array")]
static AT_THE_BEGINNING: extern "C" fn() = install;

/// Makes the linker include this file, and with it the constructor, wherever it includes a caller of this function.
#[cold]
pub(crate) fn keep() {
    static KEEP: extern "C" fn() = install;
    // SAFETY: `KEEP` is a static: initialised, aligned and never written.
    unsafe { (&raw const KEEP).read_volatile() };
}
