//! The sizes of collections, and when they must give room back.

/// The bytes of a map or set with room for this many entries `T`: an eighth of its places, or one, stays empty, and
/// each place has an additional byte.
pub(crate) fn size<T>(capacity: usize) -> usize {
    (capacity + capacity.div_ceil(7)) * (size_of::<T>() + 1)
}

/// The bytes by which a full map or set grows with another entry: it doubles, or begins with four places.
pub(crate) fn growth<T>(capacity: usize) -> usize {
    size::<T>(capacity.max(3))
}

/// Whether a collection has so few entries left that it must give room back, because its capacity is charged by
/// entries, or not at all.
pub(crate) fn is_roomy(len: usize, capacity: usize) -> bool {
    capacity > 32 && len < capacity / 4
}
