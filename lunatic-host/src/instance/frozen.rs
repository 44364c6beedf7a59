//! Freezing and thawing one suspended instance.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::Runner;
use super::image::Image;
use super::packed::{Model, Packed};
use super::residency::Pages;

/// What a frozen instance had changed.
pub(super) struct Frozen {
    /// Nothing, if there is no memory.
    memory: (Range<usize>, Option<Packed>),
    stack: (Range<usize>, Option<Packed>),
}

impl Runner {
    /// Gives the pages of the suspended instance back to the system; false if that cannot be done or has been done.
    pub(crate) fn freeze(&mut self) -> bool {
        let mut pages = Vec::new();
        // SAFETY: the pages are released before anybody can run or drop the runner.
        let frozen = unsafe { self.freeze_into(&mut pages) };
        Pages::release_all(pages);
        frozen
    }

    /// As [`freeze`](Self::freeze), but the pages are still to be released: they are added to `released`.
    ///
    /// # Safety
    ///
    /// The runner is not run and not dropped before what it added has been given to [`Pages::release_all`].
    pub(crate) unsafe fn freeze_into(&mut self, released: &mut Vec<Pages<'static>>) -> bool {
        if self.frozen.is_some() {
            return false;
        }
        let memory = self.seat.memory.lock().clone();
        let stack = self.stacks.stack_at(self.seat.stack.load(Ordering::Relaxed));
        let Some(stack) = stack else { return false };
        let module = &*self.module;
        let Some(packed) = take(&stack, None, &module.models.stack, released) else {
            return false;
        };
        let memory = {
            let packed = take(
                &memory,
                module.image.get().map(|image| &**image),
                &module.models.memory,
                released,
            );
            (memory, packed)
        };
        self.frozen = Some(Box::new(Frozen {
            memory,
            stack: (stack, Some(packed)),
        }));
        true
    }

    /// Whether the memory of the suspended instance has more pages that hold data.
    pub(crate) fn holds_more_than(&mut self, pages_max: usize) -> bool {
        if pages_max == usize::MAX || self.frozen.is_some() {
            return false;
        }
        let memory = self.seat.memory.lock().clone();
        pages(&memory).is_some_and(|pages| pages.resident().count() > pages_max)
    }

    /// Puts everything back as it was.
    pub(crate) fn thaw(&mut self) {
        let Some(frozen) = self.frozen.take() else { return };
        let module = &*self.module;
        put(&frozen.stack, None, &module.models.stack);
        put(
            &frozen.memory,
            module.image.get().map(|image| &**image),
            &module.models.memory,
        );
    }
}

/// What frozen processes of a module have in common.
#[derive(Default)]
pub(crate) struct Models {
    memory: Model,
    stack: Model,
}

fn take(
    range: &Range<usize>,
    image: Option<&Image>,
    model: &Model,
    released: &mut Vec<Pages<'static>>,
) -> Option<Packed> {
    let pages = pages(range)?;
    let packed = model.pack(&pages.diff(|page| image?.page(page)));
    released.push(pages);
    Some(packed)
}

fn put((range, packed): &(Range<usize>, Option<Packed>), image: Option<&Image>, model: &Model) {
    if let (Some(mut pages), Some(packed)) = (pages(range), packed) {
        if let Some(image) = image {
            pages.populate(image.span());
        }
        pages.restore(&model.unpack(packed), |page| image?.page(page));
    }
}

/// The pages of a suspended instance's memory or stack; `None` if there are none.
fn pages(range: &Range<usize>) -> Option<Pages<'static>> {
    let base = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(range.start))?;
    // SAFETY: the range is the memory or the stack of an instance that this thread has taken out of the process's task,
    // and that is suspended: its fiber does not run and nobody else knows the addresses. Both come from arenas, where
    // they are whole pages, open and without the guard. They live as long as the instance, which the runner owns; `put`
    // and `holds_more_than` drop the value before the runner can go, and who calls `freeze_into` promises that.
    (!range.is_empty()).then(|| unsafe { Pages::from_raw(base, range.len()) })
}

/// A frozen instance must be whole again before it is dropped: its fiber is then resumed once more, to unwind.
impl Drop for Runner {
    fn drop(&mut self) {
        self.thaw();
    }
}
