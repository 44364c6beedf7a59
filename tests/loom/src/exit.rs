//! Reasons, by number.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExitReason(pub(crate) u32);
