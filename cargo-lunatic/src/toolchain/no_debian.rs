//! Ways 2 and 4 on systems that are not Debian: neither can work.

use std::path::PathBuf;

use super::{Attempt, Search, Toolchain, cache_folder};
use crate::environment::Environment;

/// The name of way 2 in errors.
pub(super) const MADE_EARLIER: &str = "a toolchain made earlier";

/// Where made toolchains would be kept.
pub(crate) fn toolchains_folder(env: &Environment) -> Option<PathBuf> {
    Some(cache_folder(env)?.join("toolchains"))
}

/// Nothing can have been made.
pub(super) fn find_made(_env: &Environment) -> Result<Toolchain, Attempt> {
    Err(Attempt::new(MADE_EARLIER, "toolchains are made on Debian only"))
}

/// No C compiler can be installed.
pub(crate) fn install_c(_shell: crate::shell::Shell) -> Result<(), Attempt> {
    Err(Attempt::new("clang for WebAssembly", "it is not there")
        .help("install the WASI SDK from https://github.com/WebAssembly/wasi-sdk and set WASI_SDK_PATH to its folder"))
}

/// Nothing can be made.
pub(super) fn make(_search: &Search) -> Result<Toolchain, Attempt> {
    Err(Attempt::new(
        "a toolchain made from Debian's packages",
        "this system is not Debian or a derivative of it",
    ))
}
