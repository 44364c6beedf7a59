//! Resets a used instance to a fresh one, byte for byte.
//!
//! A process can change only the memory and the mutable globals of a recyclable module
//! ([`lunatic_module::facts::Facts`]), but not its tables, segments and functions. Both are restored: the globals by
//! value, the memory page by page from the module's *image*, which is the memory as instantiation leaves it. Only pages
//! that hold data can differ from the image. The set of these pages is known from the last reset. If this thread has
//! had no page fault since then, and no other thread has run the instance, no further page can have been touched;
//! otherwise the kernel is asked. An instance whose memory has grown is not reused.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use lunatic_memory::{Pages, page_size, thread_faults};
use wasmtime::{AsContext, AsContextMut, Global, Instance, Memory, Val};

/// The most pages that an instance keeps between two processes; the others are returned to the operating system.
const KEPT_PAGES_MAX: usize = 64;

/// The contents of every fresh instance of a module.
pub(crate) struct Image {
    size: usize,
    /// The pages that are not all zero, in order.
    pages: Vec<(u32, Box<[u8]>)>,
    globals: Vec<Val>,
}

impl Image {
    fn capture(mut store: impl AsContextMut, memory: Memory, globals: &[Global]) -> Option<Self> {
        let pages = Pages::of(memory.data_mut(&mut store))?;
        let (size, all) = (pages.bytes().len(), pages.bytes().chunks_exact(page_size()));
        let resident = pages.resident();
        let pages = (0..)
            .zip(all)
            .filter(|(page, bytes)| resident.contains(*page) && !is_zero(bytes));
        let pages = pages.map(|(page, bytes)| (page, bytes.into())).collect();
        Some(Self {
            size,
            pages,
            globals: globals.iter().map(|global| global.get(&mut store)).collect(),
        })
    }

    /// The range in bytes that contains most pages with data; empty if they are far apart.
    pub(crate) fn span(&self) -> Range<usize> {
        let (Some((first, _)), Some((last, _))) = (self.pages.first(), self.pages.last()) else {
            return 0..0;
        };
        let count = (last - first + 1) as usize;
        if self.pages.len() * 4 < count * 3 {
            return 0..0;
        }
        let start = *first as usize * page_size();
        start..start + count * page_size()
    }

    /// The bytes of a page; `None` if they are all zero.
    pub(crate) fn page(&self, page: u32) -> Option<&[u8]> {
        let place = self.pages.binary_search_by_key(&page, |(number, _)| *number).ok()?;
        Some(&self.pages[place].1)
    }
}

/// What is needed to reset one instance.
pub(crate) struct Reset {
    memory: Memory,
    globals: Box<[Global]>,
    image: Arc<Image>,
    /// The pages that may differ from zero, in order.
    touched: Vec<u32>,
    /// The thread of the last check, and its number of page faults.
    seen: Option<Seen>,
}

/// A thread and its number of page faults at some time. While the number stays the same, the thread has touched no new
/// page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    thread: usize,
    faults: u64,
}

impl Seen {
    fn now() -> Self {
        Self {
            thread: this_thread(),
            faults: thread_faults(),
        }
    }
}

/// A number that is unique to the calling thread.
pub(super) fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

impl Reset {
    /// `instance` must have been made just now, from a module whose mutable globals are exported under these names. The
    /// first instance of a module makes the image that is `known` from then on.
    pub(crate) fn new(
        mut store: impl AsContextMut,
        instance: &Instance,
        memory: Memory,
        global_names: &[String],
        known: &OnceLock<Arc<Image>>,
    ) -> wasmtime::Result<Self> {
        let globals = global_names.iter().map(|name| {
            let global = instance.get_global(&mut store, name);
            global.ok_or_else(|| wasmtime::Error::msg(format!("the module lost its export `{name}`")))
        });
        let globals: Box<[Global]> = globals.collect::<Result<_, _>>()?;
        let image = match known.get() {
            Some(image) => image.clone(),
            None => {
                let image = Image::capture(&mut store, memory, &globals);
                let image = image.ok_or_else(|| wasmtime::Error::msg("the memory does not consist of whole pages"))?;
                known.get_or_init(|| Arc::new(image)).clone()
            }
        };
        Ok(Self {
            memory,
            globals,
            image,
            touched: Vec::new(),
            seen: None,
        })
    }

    /// False once the memory has grown.
    pub(crate) fn still_fits(&self, store: impl AsContext) -> bool {
        self.memory.data_size(store) == self.image.size
    }

    /// Restores memory and globals. The memory must still fit. `moved` says that other threads have run the instance
    /// since the last reset as well: their page faults have not been counted.
    pub(crate) fn make_fresh(&mut self, mut store: impl AsContextMut, moved: bool) -> wasmtime::Result<()> {
        let mut pages = Pages::of(self.memory.data_mut(&mut store)).expect("the image was taken of whole pages");
        let seen = Seen::now();
        let known = !moved && self.seen == Some(seen);
        if !known {
            self.look(&mut pages);
        }
        let mut image = self.image.pages.iter().peekable();
        let bytes = pages.bytes_mut();
        for page in &self.touched {
            let bytes = &mut bytes[*page as usize * page_size()..][..page_size()];
            match image.next_if(|(number, _)| number == page) {
                // Most pages are constants that nobody has changed: comparing them dirties no cache line.
                Some((_, fresh)) if *bytes == **fresh => {}
                Some((_, fresh)) => bytes.copy_from_slice(fresh),
                None => bytes.fill(0),
            }
        }
        // After a check, writing may have brought pages back.
        self.seen = Some(if known { seen } else { Seen::now() });
        for (global, value) in self.globals.iter().zip(&self.image.globals) {
            global.set(&mut store, *value)?;
        }
        Ok(())
    }

    /// Finds out which pages hold data or must; if there are too many, gives them back first.
    fn look(&mut self, pages: &mut Pages<'_>) {
        let resident = pages.resident();
        self.touched.clear();
        if resident.count() > KEPT_PAGES_MAX {
            pages.release();
        } else {
            self.touched.extend(resident.iter());
        }
        for (page, _) in &self.image.pages {
            if let Err(place) = self.touched.binary_search(page) {
                self.touched.insert(place, *page);
            }
        }
    }
}
