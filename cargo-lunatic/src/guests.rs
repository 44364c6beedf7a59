//! Builds guests for programs that need them, such as tests.
//!
//! ```no_run
//! let guests = cargo_lunatic::guests::build("guests", &["--bins", "--release"])?;
//! for guest in guests {
//!     println!("{} is in {}", guest.name, guest.path.display());
//! }
//! # Ok::<(), cargo_lunatic::Error>(())
//! ```

use std::path::Path;

use crate::artifact::Artifact;
use crate::cargo::{Cargo, Verb};
use crate::error::Error;
use crate::passed;
use crate::shell::Shell;

/// Builds what `arguments` select of the package or workspace in `folder`, as `cargo lunatic build` does, and returns
/// the programs.
///
/// `arguments` are those of `cargo build`, without `--target` and `--message-format`. Cargo's progress and diagnostics
/// go to stderr. Several processes and threads may build at the same time; cargo lets one build after the other.
///
/// # Errors
///
/// If the toolchain cannot be found or made, or if cargo fails.
pub fn build(folder: impl AsRef<Path>, arguments: &[&str]) -> Result<Vec<Artifact>, Error> {
    call(folder.as_ref(), Verb::Build, arguments)
}

/// Builds the tests that `arguments` select, as `cargo lunatic test --no-run` does, and returns the modules that
/// contain them.
///
/// # Errors
///
/// As [`build`].
pub fn build_tests(folder: impl AsRef<Path>, arguments: &[&str]) -> Result<Vec<Artifact>, Error> {
    let mut artifacts = call(folder.as_ref(), Verb::BuildTests, arguments)?;
    artifacts.retain(|artifact| artifact.test);
    Ok(artifacts)
}

/// Returns a command that compiles C programs for Lunatic: pass it sources and `-o FILE`. Installs the compiler if it
/// is missing and can be installed.
///
/// # Errors
///
/// If there is no compiler and none can be installed; the error says what to do.
pub fn c_compiler() -> Result<std::process::Command, Error> {
    Ok(crate::cargo::c_compiler(Shell::new(false, None))?.command())
}

fn call(folder: &Path, verb: Verb, arguments: &[&str]) -> Result<Vec<Artifact>, Error> {
    if !folder.join("Cargo.toml").is_file() {
        return Err(Error::NoManifest(folder.to_path_buf()));
    }
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string()).collect();
    let config = passed::values("--config", &arguments);
    Cargo::new(folder, &config, Shell::new(false, None))?.call(verb, &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_manifest_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(folder.path(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("there is no Cargo.toml in"), "{error}");
    }
}
