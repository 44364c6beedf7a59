//! A process that has to do with nobody.

pub(crate) struct Relations;
