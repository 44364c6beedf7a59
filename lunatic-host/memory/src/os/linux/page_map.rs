//! Which pages of this process hold data, from `/proc/self/pagemap`: queried with `PAGEMAP_SCAN`, or read.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::os::page_size;

/// The kernel's page map of this process.
fn page_map() -> io::Result<&'static File> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    static FORKED: AtomicBool = AtomicBool::new(false);
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    let file = FILE.get_or_init(|| {
        let file = File::open("/proc/self/pagemap").ok()?;
        // The file describes the process that opened it. A forked child must not take its parent's pages for its own.
        // SAFETY: `in_child` only sets a flag, which is allowed after a fork.
        let registered = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        (registered == 0).then_some(file)
    });
    match file {
        Some(file) if !FORKED.load(Ordering::Relaxed) => Ok(file),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// `struct page_region` of `linux/fs.h`: pages `start..end` (addresses) with the same properties.
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
/// The shared page that stands for memory that was read but never written: it holds no data.
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Calls `found` with each range of pages that hold data, counted from `at`, in order, with `PAGEMAP_SCAN`.
///
/// # Errors
///
/// If the kernel does not know the call, or a sandbox forbids it. `found` may already have been called.
pub(crate) fn scan(at: usize, pages: u32, mut found: impl FnMut(std::ops::Range<u32>)) -> io::Result<()> {
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
            // Only whether a region matches is requested, so adjacent pages are returned as one region.
            return_mask: 0,
        };
        // SAFETY: `scan` and the regions that it points to are valid for writes during the call; other memory is only
        // examined, and any address may be passed.
        let count = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN as _, &mut scan) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for region in regions.get(..count).ok_or(io::ErrorKind::InvalidData)? {
            let number = |address: u64| ((address - start) / page) as u32;
            found(number(region.start)..number(region.end));
        }
        // The buffer may have been full before the end: continue where the kernel stopped, which must be further on.
        if scan.walk_end <= from {
            return Err(io::ErrorKind::InvalidData.into());
        }
        from = scan.walk_end;
    }
    Ok(())
}

/// Does the same as [`scan`] by reading `/proc/self/pagemap`. Pages that were only read also count as holding data.
///
/// # Errors
///
/// If the file cannot be read. `found` may already have been called.
pub(crate) fn pagemap(at: usize, pages: u32, mut found: impl FnMut(std::ops::Range<u32>)) -> io::Result<()> {
    const PRESENT_OR_SWAPPED: u64 = 1 << 63 | 1 << 62;
    const ENTRY: usize = size_of::<u64>();
    let file = page_map()?;
    // The file has one entry for each page of the address space.
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
