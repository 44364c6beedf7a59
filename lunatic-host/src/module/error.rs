//! Why a module cannot be loaded.

use std::fmt;

use lunatic_kernel::budget::Exhausted;
use lunatic_module::rewrite::RewriteError;

/// Why bytes could not be made a module.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are not a module that Lunatic runs; the text says what is wrong.
    Invalid(String),
    /// None of the keys that the host trusts has signed it; the text says more.
    Untrusted(String),
    /// The module imports something that the host does not provide; the text names it.
    Import(String),
    /// The compiler failed.
    Compile(String),
    /// Compilation exceeds the limit for guests; the text says which.
    TooCostly(String),
    /// The asking process cannot pay for what must be kept.
    Exhausted(Exhausted),
    /// An extension of the host failed to provide its functions.
    Link(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Import(text) => write!(f, "{text}"),
            Self::Untrusted(text) => write!(
                f,
                "this host runs only modules that are signed by a key that it trusts: {text}"
            ),
            Self::Compile(text) | Self::TooCostly(text) => write!(f, "the module could not be compiled: {text}"),
            Self::Exhausted(exhausted) => write!(f, "the module could not be compiled: {exhausted}"),
            Self::Link(text) => write!(f, "an extension of the host could not provide its functions: {text}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<Exhausted> for LoadError {
    fn from(exhausted: Exhausted) -> Self {
        Self::Exhausted(exhausted)
    }
}

impl From<RewriteError> for LoadError {
    fn from(error: RewriteError) -> Self {
        Self::Invalid(error.to_string())
    }
}
