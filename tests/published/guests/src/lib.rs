//! The tests of this package are in `tests`, its programs in `src/bin`.
