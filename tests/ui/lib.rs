//! What the compiler says to users of the crate `lunatic`; see `ui.rs`.
