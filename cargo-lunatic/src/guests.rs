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
use crate::shell::Shell;

/// Builds what `arguments` select of the package or workspace in `folder`, as `cargo lunatic build` does, and returns
/// the programs.
///
/// `arguments` are those of `cargo build`, without `--target` and `--message-format`. Cargo's progress and diagnostics
/// go to stderr. Several processes and threads may build at the same time; cargo lets one after the other.
///
/// # Errors
///
/// When the toolchain cannot be found or made, or cargo fails.
pub fn build(folder: impl AsRef<Path>, arguments: &[&str]) -> Result<Vec<Artifact>, Error> {
    call(folder.as_ref(), Verb::Build, arguments)
}

/// Builds the tests that `arguments` select, as `cargo lunatic test --no-run` does, and returns the modules that hold
/// them.
///
/// # Errors
///
/// As [`build`].
pub fn build_tests(folder: impl AsRef<Path>, arguments: &[&str]) -> Result<Vec<Artifact>, Error> {
    let mut artifacts = call(folder.as_ref(), Verb::BuildTests, arguments)?;
    artifacts.retain(|artifact| artifact.test);
    Ok(artifacts)
}

/// A C compiler that makes whole programs for Lunatic: give it sources and `-o FILE`. It is installed if it is not there
/// and can be.
///
/// # Errors
///
/// When there is none and none can be installed; the error says what to do.
pub fn c_compiler() -> Result<std::process::Command, Error> {
    Ok(crate::cargo::c_compiler(Shell::new(false, None))?.command())
}

fn call(folder: &Path, verb: Verb, arguments: &[&str]) -> Result<Vec<Artifact>, Error> {
    if !folder.join("Cargo.toml").is_file() {
        return Err(Error::NoManifest(folder.to_path_buf()));
    }
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string()).collect();
    let config = config_arguments(&arguments);
    Cargo::new(folder, &config, Shell::new(false, None))?.build(verb, &arguments)
}

/// The values of `--config` among cargo's arguments.
fn config_arguments(arguments: &[String]) -> Vec<String> {
    let mut values = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--config") {
            Some("") => values.extend(arguments.next().cloned()),
            Some(rest) => values.extend(rest.strip_prefix('=').map(str::to_string)),
            None => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_arguments_are_found_in_both_forms() {
        let arguments = ["--release", "--config", "a=1", "--config=b=2", "--configuration"].map(str::to_string);
        assert_eq!(config_arguments(&arguments), ["a=1", "b=2"]);
        assert!(config_arguments(&["--config".to_string()]).is_empty());
    }

    #[test]
    fn a_folder_without_manifest_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(folder.path(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("there is no Cargo.toml in"), "{error}");
    }
}
