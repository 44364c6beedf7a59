//! Which pages of a process hold data.
//!
//! A page of an arena holds nothing until it is touched, and again after it is released: it reads as zeros and uses no
//! memory. The kernel knows the pages that do hold data. These include pages that were swapped out (so `mincore`, which
//! does not count those, is useless here).
//!
//! A query takes about a microsecond. [`thread_faults`] is cheaper and often sufficient: while the number does not
//! change, this thread has touched no additional page.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use smallvec::SmallVec;

use crate::os::{self, page_size};

/// How to find out which pages hold data, from the best method to the one that always works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// `PAGEMAP_SCAN`: a microsecond for a small memory. Pages that were only read do not count.
    Scan,
    /// Reading `/proc/self/pagemap`, eight bytes a page. Pages that were only read count as well.
    Pagemap,
    /// The information is not available: every page counts.
    All,
}

impl Method {
    /// The best method that the running kernel supports.
    pub(crate) fn best() -> Method {
        let features = os::kernel_features();
        match (features.pagemap_scan, features.pagemap) {
            (true, _) => Method::Scan,
            (false, true) => Method::Pagemap,
            (false, false) => Method::All,
        }
    }
}

/// Returns the number of page faults of this thread (on systems that do not count per thread, of this process). While
/// it does not change, this thread has touched no page of an arena that held nothing before. It does not reveal what
/// other threads touch.
pub fn thread_faults() -> u64 {
    os::thread_faults()
}

/// A set of pages of a range, numbered from its start: ordered ranges that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageSet(SmallVec<[Range<u32>; 8]>);

impl PageSet {
    /// Returns the number of pages in the set.
    pub fn count(&self) -> usize {
        self.0.iter().map(|range| range.len()).sum()
    }

    /// The pages, as ranges of numbers.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.0.iter().cloned()
    }

    /// Iterates over the pages one by one.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges().flatten()
    }

    /// Iterates over the pages as ranges of bytes from the start.
    pub fn bytes(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.ranges()
            .map(|range| range.start as usize * page_size()..range.end as usize * page_size())
    }

    /// Returns whether the page is in the set.
    pub fn contains(&self, page: u32) -> bool {
        let at = self.0.partition_point(|range| range.end <= page);
        self.0.get(at).is_some_and(|range| range.start <= page)
    }

    fn push(&mut self, range: Range<u32>) {
        match self.0.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => self.0.push(range),
        }
    }
}

/// Whole pages that only the holder of this value uses, such as the linear memory of a process that does not run.
#[derive(Debug)]
pub struct Pages<'a> {
    base: NonNull<u8>,
    count: u32,
    memory: PhantomData<&'a mut [u8]>,
}

// SAFETY: it is equivalent to the unique slice that its lifetime represents.
unsafe impl Send for Pages<'_> {}

impl<'a> Pages<'a> {
    /// Returns the pages of `memory`, which must come from an arena, as every linear memory and stack does here
    /// (elsewhere, [`release`](Self::release) might restore the contents of a file instead of zeros).
    ///
    /// `None` if `memory` does not consist of whole pages.
    pub fn of(memory: &'a mut [u8]) -> Option<Pages<'a>> {
        let base = NonNull::from_mut(memory).cast::<u8>();
        let whole = (base.as_ptr() as usize | memory.len()).is_multiple_of(page_size());
        let count = u32::try_from(memory.len() / page_size()).ok()?;
        whole.then_some(Pages {
            base,
            count,
            memory: PhantomData,
        })
    }

    /// Returns the `len` bytes from `base` as pages.
    ///
    /// # Safety
    ///
    /// They are whole pages, at most 2^32 - 1 of them, open and unguarded, of one slot of an arena, and during `'a`
    /// nobody reads or writes them except through this value. For the stack of a fiber: the fiber does not run.
    pub unsafe fn from_raw(base: NonNull<u8>, len: usize) -> Pages<'a> {
        debug_assert!((base.as_ptr() as usize | len).is_multiple_of(page_size()));
        Pages {
            base,
            count: (len / page_size()) as u32,
            memory: PhantomData,
        }
    }

    /// The number of pages.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the pages that may hold data; all others are zero.
    pub fn resident(&self) -> PageSet {
        self.resident_by(Method::best())
    }

    /// What [`resident`](Self::resident) finds by `method`, or by the next one if that fails.
    pub(crate) fn resident_by(&self, method: Method) -> PageSet {
        let at = self.base.as_ptr() as usize;
        let mut set = PageSet::default();
        let found = match method {
            Method::Scan => os::scan(at, self.count, |range| set.push(range)),
            Method::Pagemap => os::pagemap(at, self.count, |range| set.push(range)),
            Method::All => {
                set.push(0..self.count);
                Ok(())
            }
        };
        match (found, method) {
            (Ok(()), _) | (Err(_), Method::All) => set,
            (Err(_), Method::Scan) => self.resident_by(Method::Pagemap),
            (Err(_), Method::Pagemap) => self.resident_by(Method::All),
        }
    }

    /// Zeroes all pages and returns their memory to the operating system.
    pub fn release(&mut self) {
        self.release_range(0..self.count);
    }

    /// [`release`](Self::release) for many values, which interrupts the other workers once instead of each time.
    pub fn release_all(all: Vec<Pages<'_>>) {
        let ranges = all.iter().map(|pages| libc::iovec {
            iov_base: pages.base.as_ptr().cast(),
            iov_len: pages.count as usize * page_size(),
        });
        let ranges: Vec<_> = ranges.collect();
        // SAFETY: these are the ranges that the values represent.
        unsafe { os::release_all(&ranges) };
    }

    /// Zeroes some pages and returns their memory to the operating system. Pages beyond the last are ignored.
    pub(crate) fn release_range(&mut self, range: Range<u32>) {
        let end = range.end.min(self.count);
        let start = range.start.min(end);
        // SAFETY: the range is inside the pages that this value represents.
        unsafe {
            let base = self.base.add(start as usize * page_size());
            os::release(base, (end - start) as usize * page_size());
        }
    }

    /// Prepares some pages that are about to be written. Pages beyond the last are ignored.
    pub fn populate(&mut self, range: Range<usize>) {
        let len = self.count as usize * page_size();
        let range = range.start.min(len)..range.end.min(len);
        // SAFETY: the range is inside the pages that this value represents, which are open.
        unsafe { os::populate(self.base.add(range.start), range.len()) };
    }

    /// Returns the bytes of the pages.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: this value represents these pages, whose bytes are always initialized, at least as zeros.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.count as usize * page_size()) }
    }

    /// Returns the bytes of the pages for modification.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else uses them.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.count as usize * page_size()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Arena, ArenaOptions, Slot};

    fn slot(pages: usize) -> Slot {
        let options = ArenaOptions {
            slot_size: pages * page_size(),
            ..ArenaOptions::default()
        };
        Arena::new(options).unwrap().take().unwrap()
    }

    fn pages(slot: &mut Slot) -> Pages<'_> {
        // SAFETY: the slot is open, whole pages, and borrowed for as long.
        unsafe { Pages::from_raw(slot.base(), slot.len()) }
    }

    #[test]
    fn each_method_finds_the_pages_that_were_written() {
        let check = |count: usize, written: &[u32]| {
            let mut slot = slot(count);
            let mut pages = pages(&mut slot);
            for page in written {
                pages.bytes_mut()[*page as usize * page_size() + 9] = 1;
            }
            for method in [Method::best(), Method::Scan, Method::Pagemap] {
                let found = pages.resident_by(method);
                // Where the kernel tells nothing, everything counts.
                if Method::best() != Method::All {
                    assert_eq!(found.iter().collect::<Vec<_>>(), written, "{method:?}");
                    assert_eq!(found.count(), written.len());
                }
                assert!(written.iter().all(|page| found.contains(*page)), "{method:?}");
            }
            assert_eq!(pages.resident_by(Method::All).count(), count);
            pages.release();
            assert!(Method::best() == Method::All || pages.resident() == PageSet::default());
        };
        check(1, &[]);
        check(1, &[0]);
        check(32, &[0, 1, 2, 31]);
        check(600, &[3, 511, 512, 513, 599]);
        // More ranges than one call to the kernel returns.
        check(2048, &(0..1000).map(|page| page * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_that_was_only_read_holds_nothing() {
        let mut slot = slot(4);
        let pages = pages(&mut slot);
        assert_eq!(pages.bytes()[page_size()], 0);
        let expected = if os::kernel_features().pagemap_scan {
            0
        } else {
            pages.resident().count()
        };
        assert_eq!(pages.resident_by(Method::Scan).count(), expected);
    }

    #[test]
    fn a_part_can_be_released() {
        let mut slot = slot(8);
        let mut pages = pages(&mut slot);
        pages.bytes_mut().fill(3);
        pages.release_range(2..4);
        pages.release_range(6..u32::MAX);
        let kept: Vec<bool> = pages
            .bytes()
            .chunks(page_size())
            .map(|page| page.iter().all(|byte| *byte == 3))
            .collect();
        assert_eq!(kept, [true, true, false, false, true, true, false, false]);
        let set = pages.resident_by(Method::Pagemap);
        assert!([0, 1, 4, 5].iter().all(|page| set.contains(*page)));
    }

    #[test]
    fn only_whole_pages_are_taken() {
        let mut slot = slot(2);
        let mut pages = pages(&mut slot);
        let bytes = pages.bytes_mut();
        assert_eq!(Pages::of(bytes).map(|pages| pages.count()), Some(2));
        assert!(Pages::of(&mut bytes[1..]).is_none());
        assert!(Pages::of(&mut bytes[..page_size() + 1]).is_none());
    }

    #[test]
    fn faults_are_counted_when_a_page_is_touched_first() {
        let mut slot = slot(64);
        let mut pages = pages(&mut slot);
        let before = thread_faults();
        for page in 0..64 {
            pages.bytes_mut()[page * page_size()] = 1;
        }
        let touched = thread_faults();
        assert!(touched >= before + 64, "{before} before, {touched} after 64 pages");
        // Other threads' faults do not count where the system counts by thread.
        if cfg!(target_os = "linux") {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    assert_eq!(
                        vec![1u8; 1 << 20].iter().map(|byte| usize::from(*byte)).sum::<usize>(),
                        1 << 20
                    )
                });
            });
        }
        let again = thread_faults();
        pages.bytes_mut()[0] = 2;
        assert_eq!(thread_faults(), again, "a page that is there costs no fault");
    }

    #[test]
    fn a_forked_child_does_not_take_its_parents_pages_for_its_own() {
        let mut slot = slot(4);
        let mut pages = pages(&mut slot);
        pages.bytes_mut()[0] = 1;
        pages.resident();
        // SAFETY: the child calls nothing but what reads the page map, and ends without running anything of its parent.
        let child = unsafe { libc::fork() };
        if child == 0 {
            pages.bytes_mut()[3 * page_size()] = 1;
            let found = pages.resident().contains(3);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(if found { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for writing; `child` was forked above.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child missed a page of its own");
    }
}
