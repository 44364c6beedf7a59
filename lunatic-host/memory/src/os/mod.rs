//! The system calls of this crate, in one place: mapping memory (this file), and figures about it ([`figures`]).
//!
//! `linux/` and `unix.rs` are twins: the same functions, once with the calls of Linux and once with those that every
//! Unix has. Which newer calls the running kernel supports is determined once, by trying them: see [`kernel_features`].
//!
//! | purpose | call | from | otherwise |
//! |---|---|---|---|
//! | a guard page that costs no kernel map | `MADV_GUARD_INSTALL` | Linux 6.13 | `mprotect`, two maps each |
//! | find pages that hold data | `PAGEMAP_SCAN` | Linux 6.7 | `/proc/self/pagemap`, then "all of them" |
//! | zero pages and give them back | `MADV_DONTNEED` | every Linux | a new mapping in their place |
//! | prepare pages that will be written | `MADV_POPULATE_WRITE` | Linux 5.14 | a page fault each |
//! | give many ranges back in one call | `process_madvise` | Linux 6.14 | one call each |
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

/// The newer kernel calls that work here; fallbacks are used for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelFeatures {
    /// `MADV_GUARD_INSTALL` (Linux 6.13): guard pages that use no kernel map. Without it each stack uses two of
    /// `vm.max_map_count`.
    pub guard_install: bool,
    /// `PAGEMAP_SCAN` (Linux 6.7): finds pages that hold data about ten times faster than reading `/proc/self/pagemap`.
    pub pagemap_scan: bool,
    /// Whether `/proc/self/pagemap` can be read. Without it (and without `pagemap_scan`), every page counts as holding
    /// data.
    pub pagemap: bool,
}

/// Returns the calls that the running kernel supports, which are tried on first use.
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
    // The first page gets the guard, and the second is queried: a guard page would count as holding data.
    let at = base.as_ptr() as usize;
    let mut found = 0;
    let features = KernelFeatures {
        // SAFETY: the two pages were mapped above and nothing else knows them.
        guard_install: unsafe { platform::guard_install(base, page) }.is_ok(),
        pagemap_scan: scan(at + page, 1, |_| found += 1).is_ok(),
        pagemap: pagemap(at + page, 1, |_| found += 1).is_ok(),
    };
    // SAFETY: as above; `base` is not used after this line.
    unsafe { unmap(base, page * 2) };
    features
}

/// Whether new address space is readable and writable from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Readable and writable from the start: one kernel map, whatever is done with it later.
    Open,
    /// Neither, until [`open`] is called for a part of it: each opened part costs up to two kernel maps.
    Closed,
}

/// How to make a guard page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// `MADV_GUARD_INSTALL`: costs no kernel map.
    Install,
    /// `mprotect`: costs two kernel maps.
    Protect,
}

impl Guard {
    /// The cheapest kind that the running kernel supports.
    pub(crate) fn best() -> Guard {
        if kernel_features().guard_install {
            Guard::Install
        } else {
            Guard::Protect
        }
    }
}

/// Returns the size of a page of this machine in bytes: a power of two, 4,096 on x86-64.
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

/// `bytes` rounded up to whole pages; `None` if that exceeds the address space.
pub(crate) fn whole_pages(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(page_size())
}

/// Maps `len` bytes of zeros, which use no memory until they are written, and never use huge pages.
///
/// # Errors
///
/// `ENOMEM` if a limit is reached: on address space, on committed memory, or on the number of maps.
pub(crate) fn reserve(len: usize, access: Access) -> io::Result<NonNull<u8>> {
    let protection = match access {
        Access::Open => libc::PROT_READ | libc::PROT_WRITE,
        Access::Closed => libc::PROT_NONE,
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | platform::MAP_NO_RESERVE;
    // SAFETY: a new mapping at an address that the kernel chooses affects nothing that exists.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the mapping was made above with this length.
    unsafe { platform::no_huge_pages(base, len) };
    Ok(base)
}

/// Removes a mapping.
///
/// # Safety
///
/// `base` and `len` are those of one call of [`reserve`], and nothing uses the memory any more.
pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise. This can fail only for a range that was never mapped, which the promise excludes.
    unsafe { libc::munmap(base.as_ptr().cast(), len) };
}

/// Makes pages readable and writable; their bytes are kept.
///
/// # Safety
///
/// The range consists of whole pages within one mapping of [`reserve`] that only the caller uses.
///
/// # Errors
///
/// `ENOMEM` if there are too many kernel maps or there is too much committed memory.
pub(crate) unsafe fn open(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { protect(base, len, libc::PROT_READ | libc::PROT_WRITE) }
}

/// Makes reads and writes of pages fault; their bytes are kept.
///
/// # Safety
///
/// As for [`open`], and nothing reads or writes the pages until they are opened again.
///
/// # Errors
///
/// `ENOMEM` if there are too many kernel maps.
pub(crate) unsafe fn close(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { protect(base, len, libc::PROT_NONE) }
}

/// Makes pages fault permanently. Zeroing them with [`release`] leaves them guarded.
///
/// # Safety
///
/// As for [`close`].
///
/// # Errors
///
/// `EINVAL` if the kernel does not support this kind, `ENOMEM` if there are too many kernel maps.
pub(crate) unsafe fn guard(base: NonNull<u8>, len: usize, guard: Guard) -> io::Result<()> {
    match guard {
        // SAFETY: the caller's promise.
        Guard::Install => unsafe { platform::guard_install(base, len) },
        // SAFETY: the caller's promise.
        Guard::Protect => unsafe { close(base, len) },
    }
}

/// Zeroes pages and returns their memory to the operating system.
///
/// # Safety
///
/// The range consists of whole open pages within one mapping of [`reserve`], and nobody else reads or writes them
/// during the call.
pub(crate) unsafe fn release(base: NonNull<u8>, len: usize) {
    if len == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    if unsafe { platform::discard(base, len) }.is_err() {
        // Pages that are locked in memory cannot be discarded, but must not keep their contents.
        // SAFETY: the pages are open and nobody else uses them.
        unsafe { base.write_bytes(0, len) };
    }
}

/// Prepares pages that will be written, which is cheaper than a page fault for each; their bytes are kept.
///
/// # Safety
///
/// The range consists of whole open pages within one mapping of [`reserve`] that only the caller uses.
pub(crate) unsafe fn populate(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { platform::populate(base, len) };
}

/// [`release`] for many ranges, with one call if the kernel supports it.
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

/// Zeroes unused pages, even guarded ones, and returns their memory and page tables to the operating system. Guards may
/// be gone afterwards. Returns false if the operating system refused; the state of the pages is then unknown.
///
/// # Safety
///
/// The range consists of whole pages within adjacent mappings of [`reserve`] with [`Access::Open`], and nobody else
/// uses them.
pub(crate) unsafe fn trim(base: NonNull<u8>, len: usize) -> bool {
    if kernel_features().guard_install {
        // A guard is an entry of a page table, which the kernel would keep because of it.
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
    // SAFETY: the callers pass a range that they own.
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
