//! Completes the C library: Debian's wasi-libc may be older than Rust's library and lack functions that it calls.
//!
//! A program that depends on one of them would not link. Therefore a stand-in is added for each, which fails with "not
//! supported", as most of them also do in newer releases: WASI has no threads and no permissions. Each stand-in is an
//! object of its own at the end of the archive; if the library has the function, the linker takes that one.

use std::path::{Path, PathBuf};

use super::{Compiler, bare, process};
use crate::TARGET;

/// The source of the stand-ins; `--cfg` chooses one of them.
const SOURCE: &str = include_str!("c_stubs/stubs.rs.template");

/// The functions that Rust's library calls and that wasi-libc of 2022 lacks.
const FUNCTIONS: &[&str] = &[
    "chmod",
    "fchmod",
    "pthread_attr_destroy",
    "pthread_attr_init",
    "pthread_attr_setstacksize",
    "pthread_create",
    "pthread_detach",
    "pthread_join",
    "realpath",
];

/// Adds the stand-ins to the archive `libc`, using the library for the target in `sysroot` and temporary files in
/// `work`.
pub(super) fn add(
    compiler: &Compiler,
    archiver: &Path,
    libc: &Path,
    sysroot: &Path,
    work: &Path,
) -> Result<(), String> {
    let source = work.join("stubs.rs");
    std::fs::write(&source, SOURCE).map_err(|error| format!("cannot write `{}`: {error}", source.display()))?;
    let mut objects: Vec<PathBuf> = Vec::new();
    for name in FUNCTIONS {
        let object = work.join(format!("rust_{name}.o"));
        let mut command = compiler.command(sysroot);
        command.args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=obj",
            "-O",
            "-Ccodegen-units=1",
            "--target",
            TARGET,
        ]);
        command
            .args(["--cfg", &format!("stub=\"{name}\""), "-o"])
            .arg(&object)
            .arg(&source)
            .current_dir("/");
        process::output(&mut command)?;
        objects.push(object);
    }
    process::output(bare(archiver).arg("qs").arg(libc).args(&objects)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_its_stand_in() {
        for name in FUNCTIONS {
            assert_eq!(SOURCE.matches(&format!("stub = \"{name}\"")).count(), 1, "{name}");
            assert!(SOURCE.contains(&format!("extern \"C\" fn {name}(")), "{name}");
        }
        assert_eq!(SOURCE.matches("stub = ").count(), FUNCTIONS.len());
    }
}
