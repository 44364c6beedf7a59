//! The imports for traces. On other targets, where there is no host, they do nothing, because code that runs natively
//! in a test may call them.

use std::sync::atomic::{AtomicI32, Ordering};

use lunatic_sys::codes::OK;
use lunatic_sys::record::Fields;
use lunatic_sys::trace::{Context, PARENT_LEN, STATE_LEN_MAX};

use super::buffer;

/// Whether there is a host.
const IS_GUEST: bool = cfg!(target_arch = "wasm32");

/// The number that means no span.
pub(crate) const NONE: i32 = 0;

/// The context of the calling process.
pub(crate) fn current() -> Option<Context> {
    if !IS_GUEST {
        return None;
    }
    let mut text = [0; PARENT_LEN + STATE_LEN_MAX];
    // SAFETY: `text` is writable for its length.
    let len = unsafe { lunatic_sys::trace::current(text.as_mut_ptr(), text.len()) };
    let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
    let long;
    let text = match text.get(..len) {
        Some(text) => text,
        None => {
            long = buffer();
            &long
        }
    };
    Context::from_text(std::str::from_utf8(text).ok()?)
}

/// Sets the context of the calling process, or removes it; false if it does not have the right.
pub(crate) fn set(context: Option<&Context>) -> bool {
    let text = context.map(Context::to_text).unwrap_or_default();
    if !IS_GUEST {
        return false;
    }
    // SAFETY: `text` is readable for its length.
    unsafe { lunatic_sys::trace::set(text.as_ptr(), text.len()) == OK }
}

/// Whether spans are recorded, once that is known. Each process has its own copy of this static.
static RECORDED: AtomicI32 = AtomicI32::new(UNKNOWN);

/// Not known yet.
const UNKNOWN: i32 = -1;

/// Whether spans are recorded.
#[inline]
pub(crate) fn is_recorded() -> bool {
    match RECORDED.load(Ordering::Relaxed) {
        UNKNOWN => ask(),
        recorded => recorded != 0,
    }
}

#[cold]
fn ask() -> bool {
    let mut recorded = 0;
    if IS_GUEST {
        // SAFETY: the import takes nothing.
        recorded = unsafe { lunatic_sys::trace::recorded() };
    }
    RECORDED.store(recorded, Ordering::Relaxed);
    recorded != 0
}

/// Opens a span, and returns its number or [`NONE`].
pub(crate) fn open(kind: i32, name: &str, fields: &Fields) -> i32 {
    if !is_recorded() {
        return NONE;
    }
    let fields = if fields.is_empty() {
        Vec::new()
    } else {
        fields.to_bytes()
    };
    // SAFETY: `name` and `fields` are readable for their lengths.
    unsafe { lunatic_sys::trace::open(kind, name.as_ptr(), name.len(), fields.as_ptr(), fields.len()) }
}

/// Makes a span the current one.
#[cfg(feature = "tracing")]
pub(crate) fn enter(span: i32) {
    if span != NONE {
        // SAFETY: the import takes a number only.
        unsafe { lunatic_sys::trace::enter(span) };
    }
}

/// Leaves a span.
#[cfg(feature = "tracing")]
pub(crate) fn leave(span: i32) {
    if span != NONE {
        // SAFETY: the import takes a number only.
        unsafe { lunatic_sys::trace::leave(span) };
    }
}

/// Adds fields to a span.
pub(crate) fn record(span: i32, fields: &Fields) {
    if span != NONE {
        let fields = fields.to_bytes();
        // SAFETY: `fields` is readable for its length.
        unsafe { lunatic_sys::trace::record(span, fields.as_ptr(), fields.len()) };
    }
}

/// Marks a span as failed.
pub(crate) fn fail(span: i32, text: &str) {
    if span != NONE {
        // SAFETY: `text` is readable for its length.
        unsafe { lunatic_sys::trace::fail(span, text.as_ptr(), text.len()) };
    }
}

/// Ends a span.
pub(crate) fn close(span: i32) {
    if span != NONE {
        // SAFETY: the import takes a number only.
        unsafe { lunatic_sys::trace::close(span) };
    }
}
