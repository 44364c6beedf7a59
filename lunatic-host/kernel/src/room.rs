//! What collections take up, and when they are to give room back.

/// The bytes that a map or set with room for so many entries `T` takes up: of its places an eighth stays empty, and each has
/// a byte of its own.
pub(crate) fn size<T>(capacity: usize) -> usize {
    (capacity + capacity / 7) * (size_of::<T>() + 1)
}

/// The bytes by which a map or set grows when another entry comes: it doubles when it is full.
pub(crate) fn growth<T>(len: usize, capacity: usize) -> usize {
    if len < capacity {
        return 0;
    }
    size::<T>((2 * capacity).max(3)) - size::<T>(capacity)
}

/// Whether a collection has come to hold so few entries that it is to give room back: what its capacity takes up is counted
/// by entries, or not at all.
pub(crate) fn is_roomy(len: usize, capacity: usize) -> bool {
    capacity > 32 && len < capacity / 4
}
