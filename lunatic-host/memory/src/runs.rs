//! The changes of a waiting process, in few bytes, while its pages are given back.
//!
//! Pages are compared with their image (their contents when the process began: the module's data, and zeros elsewhere)
//! in units of 16 bytes. The runs of units that differ are kept in one allocation: for each run the number of equal
//! units before it, its length in units (both as LEB128), and its bytes.

use crate::os::page_size;
use crate::residency::{Method, Pages};

/// The unit of comparison in bytes. Smaller units keep fewer equal bytes but more headers; 16 compares fast.
const UNIT: usize = 16;

/// The parts of some pages that differ from their image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(Box<[u8]>);

impl Runs {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The runs from which [`as_bytes`](Self::as_bytes) returned the bytes.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes.into_boxed_slice())
    }

    /// The size of the runs in bytes, including headers.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing differs.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The runs: the start of each, in bytes from the start of the pages, and its contents.
    fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> + '_ {
        let (mut rest, mut unit) = (&self.0[..], 0);
        std::iter::from_fn(move || {
            let start = unit + take_number(&mut rest)?;
            let count = take_number(&mut rest)?;
            let bytes = rest.split_off(..count * UNIT)?;
            unit = start + count;
            Some((start * UNIT, bytes))
        })
    }
}

impl Pages<'_> {
    /// Returns the differences from the image. `image` returns the initial contents of a page: at most a page of bytes,
    /// followed by zeros; `None` for all zeros.
    ///
    /// Only pages that hold data are read, so a process that touched little costs little.
    pub fn diff<'i>(&self, image: impl Fn(u32) -> Option<&'i [u8]>) -> Runs {
        self.diff_by(Method::best(), image)
    }

    fn diff_by<'i>(&self, method: Method, image: impl Fn(u32) -> Option<&'i [u8]>) -> Runs {
        let resident = self.resident_by(method);
        let mut found = Found::default();
        let mut next = 0;
        for range in resident.ranges() {
            self.diff_released(next..range.start, &image, &mut found);
            for page in range.clone() {
                diff_page(
                    self.page(page),
                    image(page).unwrap_or(&[]),
                    first_unit(page),
                    &mut found,
                );
            }
            next = range.end;
        }
        self.diff_released(next..self.count(), &image, &mut found);
        found.into_runs(self.bytes())
    }

    /// Pages without data differ from their image if that has data.
    fn diff_released<'i>(
        &self,
        pages: std::ops::Range<u32>,
        image: &impl Fn(u32) -> Option<&'i [u8]>,
        found: &mut Found,
    ) {
        for page in pages {
            if let Some(image) = image(page) {
                diff_page(self.page(page), image, first_unit(page), found);
            }
        }
    }

    /// Restores what [`diff`](Self::diff) found, into the same number of pages, all zero, with the same `image`.
    pub fn restore<'i>(&mut self, runs: &Runs, image: impl Fn(u32) -> Option<&'i [u8]>) {
        for page in 0..self.count() {
            if let Some(image) = image(page) {
                let start = page as usize * page_size();
                let len = image.len().min(page_size());
                self.bytes_mut()[start..start + len].copy_from_slice(&image[..len]);
            }
        }
        let bytes = self.bytes_mut();
        for (start, run) in runs.iter() {
            // Runs from the same number of pages are inside them.
            bytes[start..start + run.len()].copy_from_slice(run);
        }
    }

    fn page(&self, page: u32) -> &[u8] {
        &self.bytes()[page as usize * page_size()..][..page_size()]
    }
}

/// The number of units before `page`.
fn first_unit(page: u32) -> usize {
    page as usize * (page_size() / UNIT)
}

/// Adds the units of a page that differ from its image, which continues with zeros after its end.
fn diff_page(page: &[u8], image: &[u8], first: usize, found: &mut Found) {
    // In three parts, so that the two loops over whole units can be optimised: units with an image, the one in which
    // the image ends, and units that were zero.
    let (units, _) = page.as_chunks::<UNIT>();
    let (imaged, tail) = image[..image.len().min(page.len())].as_chunks::<UNIT>();
    let (with_image, without) = units.split_at(imaged.len());
    for (number, (unit, image)) in with_image.iter().zip(imaged).enumerate() {
        if u128::from_ne_bytes(*unit) != u128::from_ne_bytes(*image) {
            found.add(first + number);
        }
    }
    let mut last = [0; UNIT];
    last[..tail.len()].copy_from_slice(tail);
    for (number, unit) in (first + imaged.len()..).zip(without) {
        if u128::from_ne_bytes(*unit) != u128::from_ne_bytes(last) {
            found.add(number);
        }
        last = [0; UNIT];
    }
}

/// The runs found so far, as (first unit, number of units), in order.
#[derive(Default)]
struct Found(smallvec::SmallVec<[(usize, usize); 64]>);

impl Found {
    fn add(&mut self, unit: usize) {
        match self.0.last_mut() {
            Some((start, count)) if *start + *count == unit => *count += 1,
            _ => self.0.push((unit, 1)),
        }
    }

    fn into_runs(self, bytes: &[u8]) -> Runs {
        // Counted first, so that the allocation has exactly this size: there is one for each waiting process.
        let mut size = 0;
        let mut end = 0;
        for (start, count) in &self.0 {
            size += number_len(start - end) + number_len(*count) + count * UNIT;
            end = start + count;
        }
        let mut kept = Vec::with_capacity(size);
        let mut end = 0;
        for (start, count) in &self.0 {
            put_number(&mut kept, start - end);
            put_number(&mut kept, *count);
            kept.extend_from_slice(&bytes[start * UNIT..][..count * UNIT]);
            end = start + count;
        }
        debug_assert_eq!(kept.len(), size);
        Runs(kept.into_boxed_slice())
    }
}

/// The length of a number in LEB128, with seven bits per byte.
fn number_len(number: usize) -> usize {
    (number.checked_ilog2().unwrap_or(0) / 7 + 1) as usize
}

fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::arena::{Arena, ArenaOptions, Slot};

    const PAGES: usize = 24;

    fn slot() -> Slot {
        let options = ArenaOptions {
            slot_size: PAGES * page_size(),
            ..ArenaOptions::default()
        };
        Arena::new(options).unwrap().take().unwrap()
    }

    fn pages(slot: &mut Slot) -> Pages<'_> {
        // SAFETY: the slot is open, whole pages, and borrowed for as long.
        unsafe { Pages::from_raw(slot.base(), slot.len()) }
    }

    /// The page of an image that begins `start` bytes into the memory.
    fn image_page(image: &[u8], start: usize, page: u32) -> Option<&[u8]> {
        let from = (page as usize * page_size()).checked_sub(start)?;
        let page = image.get(from..)?;
        Some(&page[..page.len().min(page_size())])
    }

    #[derive(Debug, Clone)]
    enum Write {
        Bytes { at: usize, bytes: Vec<u8> },
        Image { page: usize },
        Release { page: usize },
    }

    fn writes() -> impl Strategy<Value = Vec<Write>> {
        let size = PAGES * page_size();
        let write = prop_oneof![
            6 => (0..size, vec(any::<u8>(), 1..100)).prop_map(|(at, bytes)| Write::Bytes { at, bytes }),
            2 => (0..size, vec(0u8..2, 1..9000)).prop_map(|(at, bytes)| Write::Bytes { at, bytes }),
            1 => (0..PAGES).prop_map(|page| Write::Image { page }),
            1 => (0..PAGES).prop_map(|page| Write::Release { page }),
        ];
        vec(write, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_there_is_there_again(
            image in vec(any::<u8>(), 0..5 * 4096),
            image_start in (0..4usize).prop_map(|page| page * page_size()),
            writes in writes(),
            method in prop_oneof![Just(Method::Scan), Just(Method::Pagemap), Just(Method::All)],
        ) {
            let image_of = |page| image_page(&image, image_start, page);
            let mut slot = slot();
            let mut pages = pages(&mut slot);
            pages.restore(&Runs::default(), image_of);
            for write in &writes {
                match write {
                    Write::Bytes { at, bytes } => {
                        for (to, byte) in pages.bytes_mut()[*at..].iter_mut().zip(bytes) {
                            *to = *byte;
                        }
                    }
                    Write::Image { page } => {
                        let bytes = &mut pages.bytes_mut()[page * page_size()..][..page_size()];
                        bytes.fill(0);
                        let image = image_of(*page as u32).unwrap_or(&[]);
                        bytes[..image.len()].copy_from_slice(image);
                    }
                    Write::Release { page } => pages.release_range(*page as u32..*page as u32 + 1),
                }
            }
            let before = pages.bytes().to_vec();
            let runs = pages.diff_by(method, image_of);

            // Compact: the units that differ, and at most eight bytes for each run of them.
            let mut start = vec![0; before.len()];
            start[image_start..image_start + image.len()].copy_from_slice(&image);
            let differs: Vec<bool> = before.chunks(UNIT).zip(start.chunks(UNIT)).map(|(a, b)| a != b).collect();
            let units = differs.iter().filter(|differs| **differs).count();
            let count = differs.chunk_by(|a, b| a == b).filter(|run| run[0]).count();
            prop_assert_eq!(runs.iter().count(), count);
            prop_assert_eq!(runs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), units * UNIT);
            prop_assert!(runs.len() <= units * UNIT + count * 8);

            pages.release();
            pages.restore(&runs, image_of);
            prop_assert!(pages.bytes() == before, "the bytes changed");
        }

        #[test]
        fn numbers_come_back(numbers in vec(any::<usize>(), 0..50)) {
            let mut bytes = vec![];
            for number in &numbers {
                let before = bytes.len();
                put_number(&mut bytes, *number);
                prop_assert_eq!(bytes.len() - before, number_len(*number));
            }
            let mut rest = &bytes[..];
            let back: Vec<usize> = std::iter::from_fn(|| take_number(&mut rest)).collect();
            prop_assert_eq!(back, numbers);
        }
    }

    #[test]
    fn a_page_given_back_differs_from_its_image() {
        let image = vec![5; page_size()];
        let image_of = |page| (page == 3).then_some(&image[..]);
        let mut slot = slot();
        let mut pages = pages(&mut slot);
        let runs = pages.diff(image_of);
        pages.restore(&runs, image_of);
        assert!(
            pages.bytes().iter().all(|byte| *byte == 0),
            "page 3 was zero, not its image"
        );
    }

    #[test]
    fn untouched_pages_stay_untouched() {
        let mut slot = slot();
        let mut pages = pages(&mut slot);
        pages.bytes_mut()[5 * page_size()] = 1;
        let runs = pages.diff(|_| None);
        assert_eq!(runs.len(), 2 + 1 + UNIT);
        pages.release();
        pages.restore(&runs, |_| None);
        assert!(Method::best() == Method::All || pages.resident().iter().eq([5]));
    }

    #[test]
    fn nothing_differs_in_pages_that_hold_their_image() {
        let image = vec![5; 2 * page_size() + 7];
        let image_of = |page| image_page(&image, page_size(), page);
        let mut slot = slot();
        let mut pages = pages(&mut slot);
        pages.restore(&Runs::default(), image_of);
        assert!(pages.diff(image_of).is_empty());
    }
}
