//! Sets of numbers; how they are hashed does not matter here.

pub(crate) type NumberSet<K> = std::collections::HashSet<K>;
