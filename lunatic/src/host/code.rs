//! The imports for code upgrades.

use std::time::Duration;

use lunatic_sys::layout::RawHandle;
use lunatic_sys::{code, codes, process};

use super::text;

/// Offers a point of change; `heard` is how the process is notified of a version that waits for it. True if one is
/// waiting.
pub(crate) fn offer(entry: extern "C" fn(), heard: i32) -> bool {
    // SAFETY: the import takes numbers only.
    unsafe { code::offer(entry as usize, heard) == 1 }
}

/// Withdraws the point of change that was offered.
pub(crate) fn withdraw() {
    // SAFETY: the import takes numbers only.
    unsafe { code::offer(0, codes::offer::NONE) };
}

/// Hands the process over to the version that waits. Returns only if the process stays; with the reason, if a version
/// was waiting.
pub(crate) fn change(state: &[u8]) -> Option<String> {
    // SAFETY: `state` is readable for its length.
    match unsafe { code::change(state.as_ptr(), state.len()) } {
        codes::EMPTY => None,
        _ => Some(text()),
    }
}

/// The state that the other version left to this instance.
pub(crate) fn left() -> Vec<u8> {
    // SAFETY: the import takes nothing.
    let mut bytes = vec![std::mem::MaybeUninit::uninit(); unsafe { process::captured_len() }];
    super::captured_into(&mut bytes);
    // SAFETY: the host has written all bytes.
    unsafe { bytes.assume_init_ref() }.to_vec()
}

/// Tells the host that the state has been read: the process goes on in this version.
pub(crate) fn accept() {
    // SAFETY: the import takes nothing.
    let _ = unsafe { code::accept() };
}

/// Tells the host that the state cannot be read: the process goes on in the other version.
pub(crate) fn refuse(why: &str) -> ! {
    // SAFETY: `why` is readable for its length.
    unsafe { code::refuse(why.as_ptr(), why.len()) };
    unreachable!("the host does not return from this");
}

/// Tells the host that the process does not change.
pub(crate) fn decline(why: &str) {
    // SAFETY: `why` is readable for its length.
    unsafe { code::decline(why.as_ptr(), why.len()) }
}

/// The number of the version that the process runs, or comes from.
pub(crate) fn version() -> u32 {
    // SAFETY: the import takes nothing.
    unsafe { code::version() }.cast_unsigned()
}

/// The number of the current version.
pub(crate) fn current() -> u32 {
    // SAFETY: the import takes nothing.
    unsafe { code::current() }.cast_unsigned()
}

/// Begins an upgrade. Returns its number, or the error code.
pub(crate) fn upgrade(module: RawHandle, settings: &str) -> Result<i32, i32> {
    // SAFETY: `settings` is readable for its length.
    let number = unsafe { code::upgrade(module.id, module.key, settings.as_ptr(), settings.len()) };
    if number > 0 { Ok(number) } else { Err(number) }
}

/// The report of an upgrade, as text; `None` if there is none (any more).
pub(crate) fn upgrade_report(number: i32) -> Option<String> {
    // SAFETY: the import takes a number.
    (unsafe { code::report(number) } == codes::OK).then(text)
}

/// Waits until an upgrade is over; false if the timeout passed first.
pub(crate) fn upgrade_wait(number: i32, timeout: Option<Duration>) -> bool {
    // SAFETY: the import takes numbers.
    unsafe { code::wait(number, timeout.map_or(codes::NO_TIMEOUT, super::timeout_ns)) != codes::TIMED_OUT }
}

/// Rolls an upgrade back.
pub(crate) fn upgrade_cancel(number: i32) {
    // SAFETY: the import takes a number.
    let _ = unsafe { code::cancel(number) };
}
