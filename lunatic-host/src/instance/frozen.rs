//! Freezes and thaws a suspended instance: packs its changes, and returns its pages to the operating system.

use std::ops::Range;
use std::ptr::NonNull;

use lunatic_memory::{Model, Packed, Pages};

use super::image::Image;

/// The changes of a frozen instance.
pub(super) struct Frozen {
    /// Empty if there is no memory.
    memory: (Range<usize>, Option<Packed>),
    stack: (Range<usize>, Option<Packed>),
}

/// What the frozen processes of a module have in common.
#[derive(Default)]
pub(crate) struct Models {
    memory: Model,
    stack: Model,
}

impl Frozen {
    /// Packs what differs from the image in these ranges. The pages are added to `released`, and must still be
    /// released. `None` if there is no stack, or too much to pack.
    ///
    /// # Safety
    ///
    /// The ranges are the memory and the stack of a suspended instance that only the calling thread uses, and that is
    /// neither run nor dropped before the added pages have been given to [`Pages::release_all`].
    pub(super) unsafe fn take(
        memory: Range<usize>,
        stack: Range<usize>,
        image: Option<&Image>,
        models: &Models,
        released: &mut Vec<Pages<'static>>,
    ) -> Option<Box<Self>> {
        // SAFETY: the caller promises what `pages` requires, and keeps the instance until the pages are gone.
        let (stack_pages, memory_pages) = unsafe { (pages(&stack)?, pages(&memory)) };
        let pack = |pages: &Pages<'_>, image: Option<&Image>, model: &Model| {
            let changes = pages.diff(|page| image?.page(page));
            model.pack(&changes)
        };
        let packed_stack = pack(&stack_pages, None, &models.stack)?;
        let packed_memory = match &memory_pages {
            Some(pages) => Some(pack(pages, image, &models.memory)?),
            None => None,
        };
        // Only now: if the one could not be packed, the other must keep its contents.
        released.push(stack_pages);
        released.extend(memory_pages);
        Some(Box::new(Self {
            memory: (memory, packed_memory),
            stack: (stack, Some(packed_stack)),
        }))
    }

    /// Restores everything as it was.
    ///
    /// # Safety
    ///
    /// Only the calling thread uses the instance that this was taken from, which is still suspended.
    pub(super) unsafe fn put_back(&self, image: Option<&Image>, models: &Models) {
        let put = |(range, packed): &(Range<usize>, Option<Packed>), image: Option<&Image>, model: &Model| {
            // SAFETY: the caller promises it, and the pages are dropped before this returns.
            if let (Some(mut pages), Some(packed)) = (unsafe { pages(range) }, packed) {
                if let Some(image) = image {
                    pages.populate(image.span());
                }
                pages.restore(&model.unpack(packed), |page| image?.page(page));
            }
        };
        put(&self.stack, None, &models.stack);
        put(&self.memory, image, &models.memory);
    }
}

/// The pages of a suspended instance's memory or stack; `None` if there are none.
///
/// # Safety
///
/// The range is the memory or the stack of a suspended instance that only the calling thread uses: its fiber does not
/// run, and nobody else uses the addresses. The instance is not dropped before the pages are.
pub(super) unsafe fn pages(range: &Range<usize>) -> Option<Pages<'static>> {
    let base = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(range.start))?;
    // SAFETY: memories and stacks come from arenas, where they are whole pages, open and without the guard. The caller
    // promises that nobody else touches them and that they live as long as the pages.
    (!range.is_empty()).then(|| unsafe { Pages::from_raw(base, range.len()) })
}
