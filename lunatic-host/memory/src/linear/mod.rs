//! Linear memories: the two layouts of guests' memories, and the budget that all of them share.
//!
//! | | [`FastMemories`] | [`DenseMemories`] |
//! |---|---|---|
//! | address space each | 4 GiB and a guard | the size class: 64 KiB, 128 KiB, ... 4 GiB |
//! | out of bounds | a page that faults | an explicit check before each access |
//! | kernel maps each | 2 | none |
//! | number | a thousand | a million |
//! | growth | opens more pages, never moves | free within the slot, then moves to a larger one |
//!
//! A module is compiled for one layout: the configuration of an engine must match its memory creator (see each
//! creator's `configure`). Both need `memory_init_cow(false)`, because wasmtime can map images only into its own
//! memories. A creator refuses requests that come from a wrong configuration.
//!
//! To access a process's memory from outside, `Memory::data_ptr` and `Memory::data_size` are sufficient: the slot
//! begins at the former, and no page beyond the latter was ever touched. Both change when a dense memory grows.
//!
//! A memory that ends is zeroed before its slot is given back, and all its pages are returned to the operating system.

mod budget;
mod dense;
mod fast;

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use self::budget::Charge;
pub use self::budget::MemoryBudget;
pub use self::dense::DenseMemories;
pub use self::fast::FastMemories;

use crate::arena::{ArenaError, Slot};

thread_local! {
    static EXPECTED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    static REFUSAL: Cell<Option<MemoryError>> = const { Cell::new(None) };
}

/// Returns why this thread could not make a memory, since the last call. Wasmtime passes on only the text.
pub fn take_refusal() -> Option<MemoryError> {
    REFUSAL.take()
}

/// The text of an error for wasmtime.
fn refuse(error: MemoryError) -> String {
    let text = error.to_string();
    REFUSAL.set(Some(error));
    text
}

/// Announces that the next memory that this thread makes will be written immediately in this range of bytes, so that
/// all of it is prepared together instead of page by page. This is a hint that affects only the speed.
pub fn expect_data(range: Range<usize>) {
    EXPECTED.set((range.start, range.end));
}

/// Prepares what [`expect_data`] has announced, in the first `open` bytes of a slot.
fn populate_expected(slot: &mut Slot, open: usize) {
    let (start, end) = EXPECTED.take();
    if start < end && end <= open {
        slot.populate(start..end);
    }
}

/// Why a linear memory could not be made or grown.
#[derive(Debug)]
#[non_exhaustive]
pub enum MemoryError {
    /// The memories of all processes together have reached their limit.
    Budget {
        /// Bytes that were requested.
        wanted: usize,
        /// The limit of all memories together, in bytes.
        limit: usize,
    },
    /// The memory would be larger than this layout allows.
    TooLarge {
        /// Bytes that were requested.
        wanted: usize,
        /// The largest memory in bytes.
        size_max: usize,
    },
    /// The engine is configured for another layout: a bug of the host.
    Layout {
        /// Bytes of reservation that wasmtime requests.
        reservation: usize,
        /// Bytes of guard that wasmtime requests.
        guard: usize,
    },
    /// There is no slot, or its pages could not be opened.
    Arena(ArenaError),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryError::Budget { wanted, limit } => write!(
                f,
                "the memory of all processes together has reached its limit ({limit} bytes; {wanted} more were requested)"
            ),
            MemoryError::TooLarge { wanted, size_max } => {
                write!(
                    f,
                    "a memory of {wanted} bytes is larger than a memory can be ({size_max} bytes)"
                )
            }
            MemoryError::Layout { reservation, guard } => write!(
                f,
                "the engine is configured for another memory layout (reservation {reservation}, guard {guard})"
            ),
            MemoryError::Arena(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MemoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MemoryError::Arena(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ArenaError> for MemoryError {
    fn from(error: ArenaError) -> Self {
        MemoryError::Arena(error)
    }
}

#[cfg(test)]
mod tests;
