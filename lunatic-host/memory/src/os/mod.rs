//! What this crate asks of the system, in one place: to map memory (this file), and what there is of it ([`figures`]).
//!
//! `linux/` and `unix.rs` are twins: the same functions, once with what Linux offers and once with what every Unix has.
//! Which newer calls the running kernel knows is found out once, by trying them: see [`kernel_features`].
//!
//! | wanted | call | from | otherwise |
//! |---|---|---|---|
//! | a guard page that costs no kernel map | `MADV_GUARD_INSTALL` | Linux 6.13 | `mprotect`, two maps each |
//! | which pages hold data | `PAGEMAP_SCAN` | Linux 6.7 | `/proc/self/pagemap`, then "all of them" |
//! | pages zeroed and given back | `MADV_DONTNEED` | every Linux | a new mapping in their place |
//! | pages that will be written, at once | `MADV_POPULATE_WRITE` | Linux 5.14 | a page fault each |
//! | many ranges given back in one call | `process_madvise` | Linux 6.14 | one call each |
//! | page faults of one thread | `RUSAGE_THREAD` | every Linux | page faults of the process |

mod figures;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
#[cfg_attr(
    all(test, any(target_os = "linux", target_os = "android")),
    expect(
        dead_code,
        unreachable_pub,
        reason = "tested on Linux, too, where only its twin is used"
    )
)]
mod unix;

use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as platform;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unix as platform;

pub use self::figures::{Room, physical_memory, thread_time};
pub use self::platform::{
    ThreadClock, address_space, data_memory, forbid_huge_pages, machine_memory, process_memory, process_time,
    resident_memory,
};
pub(crate) use self::platform::{commit_left, pagemap, scan, thread_faults};

/// Which newer kernel calls work here; the fallbacks are used for those that do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelFeatures {
    /// `MADV_GUARD_INSTALL` (Linux 6.13): guard pages that use no kernel map. Without it each stack uses two of
    /// `vm.max_map_count`.
    pub guard_install: bool,
    /// `PAGEMAP_SCAN` (Linux 6.7): finds the pages that hold data about ten times faster than reading
    /// `/proc/self/pagemap`.
    pub pagemap_scan: bool,
    /// `/proc/self/pagemap` can be read. Without it (and without `pagemap_scan`) every page counts as holding data.
    pub pagemap: bool,
}

/// The calls that the running kernel knows, found out by trying them on first use.
pub fn kernel_features() -> KernelFeatures {
    static FEATURES: OnceLock<KernelFeatures> = OnceLock::new();
    *FEATURES.get_or_init(probe)
}

fn probe() -> KernelFeatures {
    let none = KernelFeatures {
        guard_install: false,
        pagemap_scan: false,
        pagemap: false,
    };
    let page = page_size();
    let Ok(base) = reserve(page * 2, Access::Open) else {
        return none;
    };
    // The first page gets the guard, and the second is asked about: a guard page would count as holding data.
    let at = base.as_ptr() as usize;
    let mut found = 0;
    let features = KernelFeatures {
        // SAFETY: the two pages were mapped above and nothing else knows of them.
        guard_install: unsafe { platform::guard_install(base, page) }.is_ok(),
        pagemap_scan: scan(at + page, 1, |_| found += 1).is_ok(),
        pagemap: pagemap(at + page, 1, |_| found += 1).is_ok(),
    };
    // SAFETY: as above; `base` is not used after this line.
    unsafe { unmap(base, page * 2) };
    features
}

/// Whether new address space can be read and written from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Readable and writable at once: one kernel map, whatever is done with it later.
    Open,
    /// Neither, until [`open`] is called for a part of it: each opened part costs up to two kernel maps.
    Closed,
}

/// How a guard page is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// `MADV_GUARD_INSTALL`: costs no kernel map.
    Install,
    /// `mprotect`: costs two kernel maps.
    Protect,
}

impl Guard {
    /// The cheapest kind that the running kernel knows.
    pub(crate) fn best() -> Guard {
        if kernel_features().guard_install {
            Guard::Install
        } else {
            Guard::Protect
        }
    }
}

/// Bytes of one page of this machine: a power of two, 4,096 on x86-64.
pub fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: `sysconf` only reads a number.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size)
            .ok()
            .filter(|size| size.is_power_of_two())
            .unwrap_or(4096)
    })
}

/// `bytes` rounded up to whole pages; `None` when that is more than an address can hold.
pub(crate) fn whole_pages(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(page_size())
}

/// Maps `len` bytes of zeros that use no memory until they are written. They never use huge pages.
///
/// # Errors
///
/// `ENOMEM` when a limit on address space or on promised memory is reached, or the number of maps.
pub(crate) fn reserve(len: usize, access: Access) -> io::Result<NonNull<u8>> {
    let protection = match access {
        Access::Open => libc::PROT_READ | libc::PROT_WRITE,
        Access::Closed => libc::PROT_NONE,
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | platform::MAP_NO_RESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the mapping was made above with this length.
    unsafe { platform::no_huge_pages(base, len) };
    Ok(base)
}

/// Takes a mapping away.
///
/// # Safety
///
/// `base` and `len` are those of one call of [`reserve`], and nothing uses the memory any more.
pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise. It can fail only for a range that was never mapped, which the promise excludes.
    unsafe { libc::munmap(base.as_ptr().cast(), len) };
}

/// Makes pages readable and writable; their bytes stay.
///
/// # Safety
///
/// The range is whole pages within one mapping of [`reserve`] that the caller alone uses.
///
/// # Errors
///
/// `ENOMEM` when there are too many kernel maps or too much promised memory.
pub(crate) unsafe fn open(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { protect(base, len, libc::PROT_READ | libc::PROT_WRITE) }
}

/// Makes pages fault when they are read or written; their bytes stay.
///
/// # Safety
///
/// As for [`open`], and nothing reads or writes the pages until they are opened again.
///
/// # Errors
///
/// `ENOMEM` when there are too many kernel maps.
pub(crate) unsafe fn close(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { protect(base, len, libc::PROT_NONE) }
}

/// Makes pages fault for ever. Zeroing them by [`release`] leaves them guarded.
///
/// # Safety
///
/// As for [`close`].
///
/// # Errors
///
/// `EINVAL` when the kernel does not know this kind, `ENOMEM` when there are too many kernel maps.
pub(crate) unsafe fn guard(base: NonNull<u8>, len: usize, guard: Guard) -> io::Result<()> {
    match guard {
        // SAFETY: the caller's promise.
        Guard::Install => unsafe { platform::guard_install(base, len) },
        // SAFETY: the caller's promise.
        Guard::Protect => unsafe { close(base, len) },
    }
}

/// Makes pages zero and gives their memory back to the system.
///
/// # Safety
///
/// The range is whole open pages within one mapping of [`reserve`], and nobody else reads or writes them during the
/// call.
pub(crate) unsafe fn release(base: NonNull<u8>, len: usize) {
    if len == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    if unsafe { platform::discard(base, len) }.is_err() {
        // Pages that are locked in memory cannot be discarded; they still must not keep what they hold.
        // SAFETY: the pages are open and nobody else uses them.
        unsafe { base.write_bytes(0, len) };
    }
}

/// Makes pages ready to be written that will be, which is cheaper than a page fault for each; their bytes stay.
///
/// # Safety
///
/// The range is whole open pages within one mapping of [`reserve`] that the caller alone uses.
pub(crate) unsafe fn populate(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { platform::populate(base, len) };
}

/// [`release`] for many ranges, in one call of the kernel if it knows that.
///
/// # Safety
///
/// As for [`release`], for each range.
pub(crate) unsafe fn release_all(ranges: &[libc::iovec]) {
    // SAFETY: the caller's promise.
    if ranges.is_empty() || unsafe { platform::discard_all(ranges) }.is_ok() {
        return;
    }
    for range in ranges {
        if let Some(base) = NonNull::new(range.iov_base.cast()) {
            // SAFETY: the caller's promise.
            unsafe { release(base, range.iov_len) };
        }
    }
}

/// Makes pages zero that nobody uses, guarded ones too, and gives their memory and page tables back to the system.
/// Guards may be gone then. False when the system refused; then nothing is certain about the pages.
///
/// # Safety
///
/// The range is whole pages within mappings of [`reserve`] with [`Access::Open`] that lie side by side, and nobody
/// else uses them.
pub(crate) unsafe fn trim(base: NonNull<u8>, len: usize) -> bool {
    if kernel_features().guard_install {
        // A guard is an entry of a page table, which the kernel would keep for its sake.
        // SAFETY: the caller's promise.
        let _ = unsafe { platform::guard_remove(base, len) };
    }
    // SAFETY: the caller's promise.
    unsafe { platform::discard(base, len) }.is_ok()
}

unsafe fn protect(base: NonNull<u8>, len: usize, protection: libc::c_int) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    // SAFETY: the callers pass on a range that they own.
    check(unsafe { libc::mprotect(base.as_ptr().cast(), len, protection) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests;
