//! What collections take up, and when they are to give room back.

/// The bytes that a map or set with room for so many entries `T` takes up: of its places an eighth stays empty, or one, and each
/// has a byte of its own.
pub(crate) fn size<T>(capacity: usize) -> usize {
    (capacity + capacity.div_ceil(7)) * (size_of::<T>() + 1)
}

/// The bytes by which a full map or set grows when another entry comes: it doubles, or begins with four places.
pub(crate) fn growth<T>(capacity: usize) -> usize {
    size::<T>(capacity.max(3))
}

/// Whether a collection has come to hold so few entries that it is to give room back: what its capacity takes up is counted
/// by entries, or not at all.
pub(crate) fn is_roomy(len: usize, capacity: usize) -> bool {
    capacity > 32 && len < capacity / 4
}
