//! Other languages: their examples are built, with compilers from package registries, and run; their ports pass the
//! conformance kit.
//!
//! A compiler is installed into the target folder by the first test that needs it. Where that is not possible, because a
//! registry cannot be reached or a program is not there, the test says so on standard error and is over.

mod exceptions;
mod header;
mod ports;
mod toolchains;
