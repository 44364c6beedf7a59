//! The imports about versions of the code.

use lunatic_sys::{code, codes, process};

use super::text;

/// Offers a point of change. True if another version waits.
pub(crate) fn offer(entry: extern "C" fn(), by_mail: bool) -> bool {
    // SAFETY: the import takes numbers only.
    unsafe { code::offer(entry as usize, i32::from(by_mail)) == 1 }
}

/// Goes on in the version that waits. Returns only if it does not: why, if there was one.
pub(crate) fn change(state: &[u8]) -> Option<String> {
    // SAFETY: `state` is readable for its length.
    match unsafe { code::change(state.as_ptr(), state.len()) } {
        codes::EMPTY => None,
        _ => Some(text()),
    }
}

/// The state that was left to this instance.
pub(crate) fn left() -> Vec<u8> {
    // SAFETY: the import takes nothing.
    let mut bytes = vec![std::mem::MaybeUninit::uninit(); unsafe { process::captured_len() }];
    super::captured_into(&mut bytes);
    // SAFETY: the host has written all of them.
    unsafe { bytes.assume_init_ref() }.to_vec()
}

/// The state has been read: the process goes on here.
pub(crate) fn accept() {
    // SAFETY: the import takes nothing.
    let _ = unsafe { code::accept() };
}

/// The process goes on where it comes from.
pub(crate) fn refuse(why: &str) -> ! {
    // SAFETY: `why` is readable for its length.
    unsafe { code::refuse(why.as_ptr(), why.len()) };
    unreachable!("the host does not return from this");
}

/// The process stays as it is.
pub(crate) fn decline(why: &str) {
    // SAFETY: `why` is readable for its length.
    unsafe { code::decline(why.as_ptr(), why.len()) }
}

/// The number of the version that the process runs, or comes from.
pub(crate) fn version() -> u32 {
    // SAFETY: the import takes nothing.
    unsafe { code::version() }.cast_unsigned()
}

/// The number of the version that is current.
pub(crate) fn current() -> u32 {
    // SAFETY: the import takes nothing.
    unsafe { code::current() }.cast_unsigned()
}
