//! Freezing and thawing one suspended instance.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::Runner;
use super::image::Image;
use super::residency::Pages;
use super::runs::Runs;

/// What a frozen instance had changed.
pub(super) struct Frozen {
    memory: (Range<usize>, Runs),
    stack: (Range<usize>, Runs),
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
        let Some(stack_runs) = take(&stack, None, released) else {
            return false;
        };
        let memory_runs = take(&memory, self.module.image.get().map(|image| &**image), released);
        let memory = (memory, memory_runs.unwrap_or_default());
        self.frozen = Some(Box::new(Frozen {
            memory,
            stack: (stack, stack_runs),
        }));
        true
    }

    /// Puts everything back as it was.
    pub(super) fn thaw(&mut self) {
        let Some(frozen) = self.frozen.take() else { return };
        put(&frozen.stack, None);
        put(&frozen.memory, self.module.image.get().map(|image| &**image));
    }
}

fn take(range: &Range<usize>, image: Option<&Image>, released: &mut Vec<Pages<'static>>) -> Option<Runs> {
    let pages = pages(range)?;
    let runs = pages.diff(|page| image?.page(page));
    released.push(pages);
    Some(runs)
}

fn put((range, runs): &(Range<usize>, Runs), image: Option<&Image>) {
    if let Some(mut pages) = pages(range) {
        if let Some(image) = image {
            pages.populate(image.span());
        }
        pages.restore(runs, |page| image?.page(page));
    }
}

/// The pages of a suspended instance's memory or stack; `None` if there are none.
fn pages(range: &Range<usize>) -> Option<Pages<'static>> {
    let base = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(range.start))?;
    // SAFETY: the range is the memory or the stack of an instance that this thread has taken out of the process's task,
    // and that is suspended: its fiber does not run and nobody else knows the addresses. Both come from arenas, where
    // they are whole pages, open and without the guard. They live as long as the instance, which the runner owns; `put`
    // drops the value before the runner can go, and who calls `freeze_into` promises that.
    (!range.is_empty()).then(|| unsafe { Pages::from_raw(base, range.len()) })
}

/// A frozen instance must be whole again before it is dropped: its fiber is then resumed once more, to unwind.
impl Drop for Runner {
    fn drop(&mut self) {
        self.thaw();
    }
}
