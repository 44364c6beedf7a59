//! Freezing and thawing one suspended instance: what it has changed is packed, and its pages go back to the system.

use std::ops::Range;
use std::ptr::NonNull;

use lunatic_memory::{Model, Packed, Pages};

use super::image::Image;

/// What a frozen instance had changed.
pub(super) struct Frozen {
    /// Nothing, if there is no memory.
    memory: (Range<usize>, Option<Packed>),
    stack: (Range<usize>, Option<Packed>),
}

/// What frozen processes of a module have in common.
#[derive(Default)]
pub(crate) struct Models {
    memory: Model,
    stack: Model,
}

impl Frozen {
    /// Packs what differs from the image in these ranges; the pages are still to be released, and are added to `released`.
    /// `None` if there is no stack.
    ///
    /// # Safety
    ///
    /// The ranges are the memory and the stack of a suspended instance that the calling thread has alone, and that is
    /// neither run nor dropped before what was added has been given to [`Pages::release_all`].
    pub(super) unsafe fn take(
        memory: Range<usize>,
        stack: Range<usize>,
        image: Option<&Image>,
        models: &Models,
        released: &mut Vec<Pages<'static>>,
    ) -> Option<Box<Self>> {
        // SAFETY: the caller promises what `pages` asks for, and keeps the instance until the pages are gone.
        let (stack_pages, memory_pages) = unsafe { (pages(&stack)?, pages(&memory)) };
        let mut pack = |pages: Pages<'static>, image: Option<&Image>, model: &Model| {
            let packed = model.pack(&pages.diff(|page| image?.page(page)));
            released.push(pages);
            packed
        };
        let packed_stack = pack(stack_pages, None, &models.stack);
        let packed_memory = memory_pages.map(|pages| pack(pages, image, &models.memory));
        Some(Box::new(Self {
            memory: (memory, packed_memory),
            stack: (stack, Some(packed_stack)),
        }))
    }

    /// Puts everything back as it was.
    ///
    /// # Safety
    ///
    /// The calling thread alone has the instance that this was taken of, which is still suspended.
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
/// The range is the memory or the stack of an instance that is suspended and that the calling thread has alone: its fiber
/// does not run, and nobody else uses the addresses. The instance is not dropped before the pages are.
pub(super) unsafe fn pages(range: &Range<usize>) -> Option<Pages<'static>> {
    let base = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(range.start))?;
    // SAFETY: memories and stacks come from arenas, where they are whole pages, open and without the guard. The caller
    // promises that nobody else touches them and that they live as long as the pages.
    (!range.is_empty()).then(|| unsafe { Pages::from_raw(base, range.len()) })
}
