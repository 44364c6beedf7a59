//! Types that cross the boundary as bytes.

/// A handle of a process or of a channel: 16 bytes, two little-endian `u64`s.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RawHandle {
    /// Which process or channel. For people too: this is the number that reports show.
    pub id: u64,
    /// Proof that the handle was given out by the host: a keyed hash of the id, not guessable.
    pub key: u64,
}

/// The size of [`RawHandle`] in guest memory, in bytes.
pub const RAW_HANDLE_SIZE: usize = 16;
const _: () = assert!(size_of::<RawHandle>() == RAW_HANDLE_SIZE);
