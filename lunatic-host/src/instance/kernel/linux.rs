//! Linux: `madvise`, the page map, and what `/proc` says about limits.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Access, Room, check, page_size};

/// Address space is not counted as promised memory (ignored with `vm.overcommit_memory=2`, which counts all of it).
pub(super) const MAP_NO_RESERVE: libc::c_int = libc::MAP_NORESERVE;

/// Linux 6.13; not in every libc yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;
const MADV_GUARD_REMOVE: libc::c_int = 103;

pub(super) unsafe fn guard_install(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns these pages and expects that they fault from now on.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, MADV_GUARD_INSTALL) })
}

pub(super) unsafe fn guard_remove(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns these pages, which nobody uses.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, MADV_GUARD_REMOVE) })
}

/// Keeps the kernel from filling in 2 MiB where 4 KiB are touched: at once, or in the background, where the thread that
/// uses the memory would have no page fault that tells of it.
pub(super) unsafe fn no_huge_pages(base: NonNull<u8>, len: usize) {
    // Kernels built without huge pages refuse, and are as good.
    // SAFETY: this advice changes no byte.
    unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_NOHUGEPAGE) };
}

pub(super) unsafe fn discard(base: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller owns these private anonymous pages and expects zeros in their place.
    check(unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_DONTNEED) })
}

/// Discards many ranges, with one flush of the other processors' TLBs instead of one each (since Linux 6.16; from 6.14 on
/// it works, before it is refused).
///
/// # Errors
///
/// Some of the ranges may be as they were.
pub(super) unsafe fn discard_all(ranges: &[libc::iovec]) -> io::Result<()> {
    /// The calling process, also after a fork.
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

/// Makes pages ready to be written, as if each had been touched.
pub(super) unsafe fn populate(base: NonNull<u8>, len: usize) {
    // Kernels before 5.14 refuse; the pages come one by one then.
    // SAFETY: this advice changes no byte of pages that the caller owns.
    unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
}

/// Keeps the kernel from filling in 2 MiB anywhere in this process where 4 KiB are touched, whoever asks for that.
///
/// For a host with an allocator that does ask: a hundred thousand small allocations are cleared and copied as huge pages,
/// and none of them goes back to the system while one byte in it is used.
pub(crate) fn forbid_huge_pages() {
    // Kernels built without huge pages refuse, and are as good.
    // SAFETY: this setting changes no byte.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Page faults of this thread since it started. The same number twice: this thread touched no new page in between.
pub(in super::super) fn thread_faults() -> u64 {
    // SAFETY: all zero bytes are a valid `rusage`, which is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writing for the time of the call.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    (usage.ru_minflt as u64).wrapping_add(usage.ru_majflt as u64)
}

/// The address space that `ulimit -v` allows; `None` when there is no such limit.
pub(crate) fn address_space() -> Option<Room> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for writing for the time of the call.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
    if asked != 0 || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let used = statm
        .split(' ')
        .next()?
        .parse::<usize>()
        .ok()?
        .checked_mul(page_size())?;
    let all = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
    Some(Room {
        left: all.saturating_sub(used),
        all,
    })
}

/// The memory of the machine: what programs can have without others being swapped out, and all.
pub(crate) fn machine_memory() -> Option<Room> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(Room {
        left: bytes_in(&info, "MemAvailable")?,
        all: bytes_in(&info, "MemTotal")?,
    })
}

/// A line of `/proc/meminfo`.
fn bytes_in(info: &str, key: &str) -> Option<usize> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: usize = line.trim().split(' ').next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes that may still be promised to programs; `None` when mappings of this kind are not counted.
pub(in super::super) fn commit_left(access: Access) -> Option<usize> {
    const NEVER_MORE_THAN_THERE_IS: &str = "2";
    let mode = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").ok()?;
    if mode.trim() != NEVER_MORE_THAN_THERE_IS || access == Access::Closed {
        return None;
    }
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(bytes_in(&info, "CommitLimit")?.saturating_sub(bytes_in(&info, "Committed_AS")?))
}

/// The kernel's account of this process' pages; `None` when it cannot be opened.
fn page_map() -> io::Result<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    static FORKED: AtomicBool = AtomicBool::new(false);
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    let file = FILE.get_or_init(|| {
        let file = File::open("/proc/self/pagemap").ok()?;
        // The file speaks of the process that opened it. A forked child must not take its parent's pages for its own.
        // SAFETY: `in_child` only sets a flag, which is allowed after a fork.
        let registered = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        (registered == 0).then_some(file)
    });
    match file {
        Some(file) if !FORKED.load(Ordering::Relaxed) => Ok(file),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// `struct page_region` of `linux/fs.h`: pages `start..end` (addresses) that are alike.
#[repr(C)]
#[derive(Clone, Copy)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
struct PageScan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u32 = 0xC060_6610;
const _: () = assert!(size_of::<PageScan>() == 0x60 && size_of::<PageRegion>() == 24);

const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// The page that all memory shares which was read but never written: it holds no data.
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Calls `found` with each range of pages, counted from `at`, that holds data, in order, by `PAGEMAP_SCAN`.
///
/// # Errors
///
/// The kernel does not know the call, or a sandbox forbids it. `found` may have been called by then.
pub(in super::super) fn scan(at: usize, pages: u32, mut found: impl FnMut(std::ops::Range<u32>)) -> io::Result<()> {
    let file = page_map()?;
    let page = page_size() as u64;
    let (start, end) = (at as u64, at as u64 + u64::from(pages) * page);
    let mut regions = [PageRegion {
        start: 0,
        end: 0,
        categories: 0,
    }; 32];
    let mut from = start;
    while from < end {
        let mut scan = PageScan {
            size: size_of::<PageScan>() as u64,
            flags: 0,
            start: from,
            end,
            walk_end: 0,
            vec: regions.as_mut_ptr() as u64,
            vec_len: regions.len() as u64,
            max_pages: 0,
            category_inverted: PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_PFNZERO,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            // Nothing is asked about a region beyond that it matches, so neighbours come as one region.
            return_mask: 0,
        };
        // SAFETY: `scan` and the regions it points to are valid for writing for the time of the call; the rest of the
        // memory is only looked at, and any address may be asked about.
        let count = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN as _, &mut scan) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for region in regions.get(..count).ok_or(io::ErrorKind::InvalidData)? {
            let number = |address: u64| ((address - start) / page) as u32;
            found(number(region.start)..number(region.end));
        }
        if scan.walk_end <= from {
            return Err(io::ErrorKind::InvalidData.into());
        }
        from = scan.walk_end;
    }
    Ok(())
}

/// What [`scan`] does, by reading `/proc/self/pagemap`. Pages that were only read count as holding data, too.
///
/// # Errors
///
/// The file cannot be read. `found` may have been called by then.
pub(in super::super) fn pagemap(at: usize, pages: u32, mut found: impl FnMut(std::ops::Range<u32>)) -> io::Result<()> {
    const PRESENT_OR_SWAPPED: u64 = 1 << 63 | 1 << 62;
    const ENTRY: usize = size_of::<u64>();
    let file = page_map()?;
    let first = at / page_size();
    let mut buffer = [0u8; 512 * ENTRY];
    let mut page = 0;
    while page < pages {
        let count = (pages - page).min(512);
        let bytes = &mut buffer[..count as usize * ENTRY];
        file.read_exact_at(bytes, (first as u64 + u64::from(page)) * ENTRY as u64)?;
        let (entries, _) = bytes.as_chunks::<ENTRY>();
        for (number, entry) in (page..).zip(entries) {
            if u64::from_ne_bytes(*entry) & PRESENT_OR_SWAPPED != 0 {
                found(number..number + 1);
            }
        }
        page += count;
    }
    Ok(())
}
