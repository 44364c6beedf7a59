//! Linux: `madvise`, and in separate files the page map and the limits in `/proc`.

mod figures;
mod page_map;

use std::io;
use std::ptr::NonNull;

pub use self::figures::{
    ThreadClock, address_space, data_memory, machine_memory, process_memory, process_time, resident_memory,
};
pub(crate) use self::figures::{commit_left, thread_faults};
pub(crate) use self::page_map::{pagemap, scan};
use super::check;

/// Address space does not count as committed memory (ignored with `vm.overcommit_memory=2`, which counts all of it).
pub(super) const MAP_NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;

/// Linux 6.13; not in every libc yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;
const MADV_GUARD_REMOVE: libc::c_int = 103;

pub(super) unsafe fn guard_install(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns these pages and expects them to fault from now on.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, MADV_GUARD_INSTALL) })
}

pub(super) unsafe fn guard_remove(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns these pages, which nobody uses.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, MADV_GUARD_REMOVE) })
}

/// Prevents the kernel from filling in 2 MiB where 4 KiB are touched, either immediately or in the background; in the
/// latter case, no page fault would reveal it to the thread that uses the memory.
pub(super) unsafe fn no_huge_pages(base: NonNull<u8>, len: usize) {
    // Kernels built without huge pages refuse this, which is just as good.
    // SAFETY: this advice changes no byte.
    unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_NOHUGEPAGE) };
}

pub(super) unsafe fn discard(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns these private anonymous pages and expects zeros in their place.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_DONTNEED) })
}

/// Discards many ranges with a single flush of the other processors' TLBs (since Linux 6.16; it works from 6.14 on, and
/// is refused before).
///
/// # Errors
///
/// Some of the ranges may be unchanged.
pub(super) unsafe fn discard_all(ranges: &[libc::iovec]) -> io::Result<()> {
    /// The calling process, even after a fork.
    const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10001;
    let len: usize = ranges.iter().map(|range| range.iov_len).sum();
    // SAFETY: the caller owns these private anonymous pages and expects zeros in their place.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF_THREAD_GROUP,
            ranges.as_ptr(),
            ranges.len(),
            libc::MADV_DONTNEED,
            0,
        )
    };
    if usize::try_from(done) == Ok(len) {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Prepares pages for being written, as if each had been touched.
pub(super) unsafe fn populate(base: NonNull<u8>, len: usize) {
    // Kernels before 5.14 refuse this; the pages then fault in one by one.
    // SAFETY: this advice changes no byte of pages that the caller owns.
    unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
}

/// Prevents the kernel from filling in 2 MiB anywhere in this process where 4 KiB are touched, even if it is asked to.
///
/// For a host with an allocator that does ask: a hundred thousand small allocations would be cleared and copied as huge
/// pages, none of which returns to the operating system while one byte in it is used.
pub fn forbid_huge_pages() {
    // Kernels built without huge pages refuse this, which is just as good.
    // SAFETY: this setting changes no byte.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}
