//! Other Unix systems: what is possible with plain `mmap` and `mprotect`.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;

use super::{Access, Room};

/// Anonymous memory is not reserved in advance on these systems, or has no flag that says so.
pub(super) const MAP_NO_RESERVE: libc::c_int = 0;

pub(super) unsafe fn guard_install(_: NonNull<u8>, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) unsafe fn guard_remove(_: NonNull<u8>, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) unsafe fn no_huge_pages(_: NonNull<u8>, _: usize) {}

/// Makes a fresh mapping in place of the old one: `MADV_DONTNEED` keeps the bytes on these systems.
pub(super) unsafe fn discard(base: NonNull<u8>, len: usize) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
    // SAFETY: the caller owns these open private anonymous pages and expects zeros in their place.
    let base = unsafe {
        libc::mmap(
            base.as_ptr().cast(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

pub(super) unsafe fn discard_all(_: &[libc::iovec]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) unsafe fn populate(_: NonNull<u8>, _: usize) {}

/// There is nothing to forbid.
pub fn forbid_huge_pages() {}

/// These systems do not report the CPU time of another thread.
#[derive(Debug, Clone, Copy)]
pub struct ThreadClock(std::convert::Infallible);

impl ThreadClock {
    /// Always `None`.
    #[must_use]
    pub fn of_this_thread() -> Option<Self> {
        None
    }

    /// There is no clock to read.
    #[must_use]
    pub fn time(self) -> Option<std::time::Duration> {
        match self.0 {}
    }
}

/// Page faults of the whole process: never fewer than those of this thread. So if the number has not changed, this
/// thread has touched no new page in between.
pub(crate) fn thread_faults() -> u64 {
    // SAFETY: all zero bytes are a valid `rusage`, which is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writes during the call.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    (usage.ru_minflt as u64).wrapping_add(usage.ru_majflt as u64)
}

/// Not reported here: a reservation that is too large fails, and a smaller one is tried.
pub fn address_space() -> Option<Room> {
    None
}

/// Not reported here.
pub fn data_memory() -> Option<usize> {
    None
}

/// Not reported here.
pub fn process_memory(_: u32) -> Option<usize> {
    None
}

/// Not reported here.
pub fn process_time(_: u32) -> Option<std::time::Duration> {
    None
}

/// Not reported here.
pub fn resident_memory() -> Option<usize> {
    None
}

/// Not reported here.
pub fn machine_memory() -> Option<Room> {
    None
}

/// Not reported here.
pub(crate) fn commit_left(_: Access) -> Option<usize> {
    None
}

pub(crate) fn scan(_: usize, _: u32, _: impl FnMut(Range<u32>)) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn pagemap(_: usize, _: u32, _: impl FnMut(Range<u32>)) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::super::{page_size, reserve, unmap};
    use super::*;

    #[test]
    fn discarded_pages_are_zero_and_can_be_used() {
        let page = page_size();
        let base = reserve(page * 3, Access::Open).unwrap();
        // SAFETY: three pages that only this test knows.
        unsafe {
            base.write_bytes(7, page * 3);
            discard(base.add(page), page).unwrap();
            assert_eq!([0, 1, 2].map(|number| base.add(number * page + 5).read()), [7, 0, 7]);
            base.add(page).write(8);
            unmap(base, page * 3);
        }
    }

    #[test]
    fn faults_are_counted_and_pages_are_not() {
        let before = thread_faults();
        let page = page_size();
        let base = reserve(page, Access::Open).unwrap();
        // SAFETY: a page that only this test knows.
        unsafe {
            base.write(1);
            assert!(thread_faults() > before);
            assert!(guard_install(base, page).is_err());
            unmap(base, page);
        }
        assert!(scan(base.as_ptr() as usize, 1, |_| {}).is_err());
        assert!(pagemap(base.as_ptr() as usize, 1, |_| {}).is_err());
    }
}
