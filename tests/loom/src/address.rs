//! The id of the only channel.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id;

impl Id {
    pub(crate) const NONE: Self = Self;
}
