//! Making a used instance what a fresh one is, byte for byte.
//!
//! What a process can change of a recyclable module ([`crate::module::rewrite::Facts`]) is its memory and its mutable
//! globals; tables, segments and functions it cannot. Both are put back: the globals by value, the memory page by page
//! from the module's *image*, the memory as instantiation leaves it. Only pages that hold data can differ from the image.
//! Which ones do is known from last time; if this thread has had no page fault since then, and nobody else ran the
//! instance, no further page can have been touched, otherwise the kernel is asked. An instance whose memory has grown
//! is not used again.

use std::sync::Arc;

use wasmtime::{AsContext, AsContextMut, Global, Instance, Memory, Val};

use super::residency::{self, PAGE_SIZE};
use crate::module::Module;

/// An instance keeps at most so many pages between two processes; the others go back to the system.
const KEPT_PAGES_MAX: usize = 64;

/// What every fresh instance of a module looks like.
pub(crate) struct Image {
    size: usize,
    /// The pages that are not all zero, in order.
    pages: Vec<(u32, Box<[u8]>)>,
    globals: Vec<Val>,
}

impl Image {
    fn capture(mut store: impl AsContextMut, memory: Memory, globals: &[Global]) -> Self {
        let bytes = memory.data(&store);
        let is_zero = |page: &[u8]| page.iter().all(|byte| *byte == 0);
        let pages = residency::resident_pages(bytes)
            .into_iter()
            .map(|page| (page, &bytes[page as usize * PAGE_SIZE..][..PAGE_SIZE]))
            .filter(|(_, bytes)| !is_zero(bytes))
            .map(|(page, bytes)| (page, bytes.into()))
            .collect();
        let size = bytes.len();
        Self { size, pages, globals: globals.iter().map(|global| global.get(&mut store)).collect() }
    }

    /// The bytes of a page, `None` if they are all zero.
    pub(crate) fn page(&self, page: u32) -> Option<&[u8]> {
        let place = self.pages.binary_search_by_key(&page, |(number, _)| *number).ok()?;
        Some(&self.pages[place].1)
    }
}

/// What it takes to make one instance fresh again.
pub(crate) struct Reset {
    memory: Memory,
    globals: Box<[Global]>,
    image: Arc<Image>,
    /// The pages that may differ from zero, in order.
    touched: Vec<u32>,
    /// The thread and its number of page faults at the last look.
    seen: (usize, u64),
}

impl Reset {
    /// `instance` must have been made just now.
    pub(crate) fn new(
        mut store: impl AsContextMut,
        instance: &Instance,
        memory: Memory,
        module: &Module,
    ) -> wasmtime::Result<Self> {
        let globals = module.facts.globals.iter().map(|name| {
            let global = instance.get_global(&mut store, name);
            global.ok_or_else(|| wasmtime::Error::msg(format!("the module lost its export `{name}`")))
        });
        let globals: Box<[Global]> = globals.collect::<Result<_, _>>()?;
        let image = module.image.get_or_init(|| Arc::new(Image::capture(&mut store, memory, &globals))).clone();
        Ok(Self { memory, globals, image, touched: Vec::new(), seen: (0, 0) })
    }

    pub(crate) fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// False once the memory has grown.
    pub(crate) fn still_fits(&self, store: impl AsContext) -> bool {
        self.memory.data_size(store) == self.image.size
    }

    /// Puts memory and globals back. The memory must still fit.
    pub(crate) fn make_fresh(&mut self, mut store: impl AsContextMut) -> wasmtime::Result<()> {
        let bytes = self.memory.data_mut(&mut store);
        let seen = (residency::thread_number(), residency::thread_faults());
        let mut faults_expected = false;
        if self.seen != seen {
            self.touched = residency::resident_pages(bytes);
            if self.touched.len() > KEPT_PAGES_MAX {
                residency::release(bytes);
                self.touched.clear();
            }
            for (page, _) in &self.image.pages {
                if let Err(place) = self.touched.binary_search(page) {
                    self.touched.insert(place, *page);
                }
            }
            faults_expected = true;
        }
        let mut image = self.image.pages.iter().peekable();
        for page in &self.touched {
            let bytes = &mut bytes[*page as usize * PAGE_SIZE..][..PAGE_SIZE];
            match image.next_if(|(number, _)| number == page) {
                Some((_, fresh)) => bytes.copy_from_slice(fresh),
                None => bytes.fill(0),
            }
        }
        self.seen = if faults_expected { (seen.0, residency::thread_faults()) } else { seen };
        for (global, value) in self.globals.iter().zip(&self.image.globals) {
            global.set(&mut store, *value)?;
        }
        Ok(())
    }
}
