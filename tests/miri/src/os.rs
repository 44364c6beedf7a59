//! Memory of the allocator in place of the kernel's: zeros at first, and zeros again when it is released.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

const PAGE: usize = 4096;

#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelFeatures {
    pub(crate) pagemap_scan: bool,
    pub(crate) pagemap: bool,
}

pub(crate) struct Room {
    pub(crate) left: usize,
}

impl Room {
    pub(crate) fn reserve(&self) -> usize {
        0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Open,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    Install,
}

pub(crate) fn kernel_features() -> KernelFeatures {
    KernelFeatures {
        pagemap_scan: true,
        pagemap: false,
    }
}

pub(crate) fn page_size() -> usize {
    PAGE
}

pub(crate) fn whole_pages(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(PAGE)
}

pub(crate) fn address_space() -> Option<Room> {
    None
}

pub(crate) fn commit_left(_: Access) -> Option<usize> {
    None
}

pub(crate) fn thread_faults() -> u64 {
    0
}

fn layout(len: usize) -> io::Result<Layout> {
    Layout::from_size_align(len, PAGE).map_err(|_| io::ErrorKind::OutOfMemory.into())
}

pub(crate) fn reserve(len: usize, _: Access) -> io::Result<NonNull<u8>> {
    // SAFETY: arenas reserve one slot at least, and no slot is empty.
    let base = unsafe { alloc_zeroed(layout(len)?) };
    NonNull::new(base).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize) {
    if let Ok(layout) = layout(len) {
        // SAFETY: the caller gives back what `reserve` gave out, with the same length.
        unsafe { dealloc(base.as_ptr(), layout) };
    }
}

pub(crate) unsafe fn open(_: NonNull<u8>, _: usize) -> io::Result<()> {
    Ok(())
}

pub(crate) unsafe fn close(_: NonNull<u8>, _: usize) -> io::Result<()> {
    Ok(())
}

pub(crate) unsafe fn guard(_: NonNull<u8>, _: usize, _: Guard) -> io::Result<()> {
    Ok(())
}

pub(crate) unsafe fn release(base: NonNull<u8>, len: usize) {
    // SAFETY: the caller owns these bytes.
    unsafe { base.write_bytes(0, len) };
}

pub(crate) unsafe fn populate(base: NonNull<u8>, len: usize) {
    for at in (0..len).step_by(PAGE) {
        // SAFETY: the caller owns these bytes; one of each page is read and written, as the kernel would.
        unsafe { base.add(at).write_volatile(base.add(at).read_volatile()) };
    }
}

pub(crate) unsafe fn release_all(ranges: &[libc::iovec]) {
    for range in ranges {
        // SAFETY: the caller owns these bytes.
        unsafe { range.iov_base.cast::<u8>().write_bytes(0, range.iov_len) };
    }
}

pub(crate) unsafe fn trim(base: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller owns these bytes.
    unsafe { release(base, len) };
    true
}

/// Pages that are not all zero: the kernel would name those, too.
pub(crate) fn scan(at: usize, count: u32, mut found: impl FnMut(Range<u32>)) -> io::Result<()> {
    for page in 0..count {
        let start = std::ptr::with_exposed_provenance::<u8>(at + page as usize * PAGE);
        // SAFETY: the caller asks for pages that it holds.
        let bytes = unsafe { slice::from_raw_parts(start, PAGE) };
        if bytes.iter().any(|byte| *byte != 0) {
            found(page..page + 1);
        }
    }
    Ok(())
}

pub(crate) fn pagemap(_: usize, _: u32, _: impl FnMut(Range<u32>)) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
