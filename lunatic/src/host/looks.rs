//! The imports for inspection.

use lunatic_sys::inspect;
use lunatic_sys::layout::RawHandle;

use super::{Refused, check};

/// Returns how many processes match, and the rows of those that are shown.
pub(crate) fn processes(order: i32, skip: usize, limit: usize, name: &str) -> Result<(usize, Vec<u8>), Refused> {
    // SAFETY: `name` is readable for its length.
    let matched = check(unsafe { inspect::processes(order, skip, limit, name.as_ptr(), name.len()) })?;
    Ok((matched, super::buffer()))
}

/// The row of one process, and the processes that it is connected with.
pub(crate) fn process(handle: RawHandle) -> Result<Vec<u8>, Refused> {
    // SAFETY: the import takes numbers only.
    check(unsafe { inspect::process(handle.id, handle.key) })?;
    Ok(super::buffer())
}
