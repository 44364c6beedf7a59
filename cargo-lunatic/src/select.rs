//! Which program `cargo lunatic run` means, by cargo's own rules.

use cargo_metadata::{Metadata, Package};

use crate::artifact::Artifact;

/// Why no program could be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelectError {
    /// The packages have no binary; holds the examples they have.
    NoBin(Vec<String>),
    /// There are several binaries and nothing says which; holds them all.
    Ambiguous(Vec<String>),
    /// The flags named several programs; holds those that were built.
    Several(Vec<String>),
    /// Cargo built no program for these flags, such as an example that is a library.
    NothingBuilt,
}

impl std::fmt::Display for SelectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SelectError::NoBin(examples) if examples.is_empty() => {
                write!(f, "a bin target must be available for `cargo lunatic run`")
            }
            SelectError::NoBin(examples) => write!(
                f,
                "a bin target must be available for `cargo lunatic run`; examples are run with `--example NAME`\n\
                 available examples: {}",
                examples.join(", ")
            ),
            SelectError::Ambiguous(bins) => write!(
                f,
                "`cargo lunatic run` could not determine which binary to run; use the `--bin` option to specify a \
                 binary, or the `default-run` manifest key\navailable binaries: {}",
                bins.join(", ")
            ),
            SelectError::Several(names) => write!(
                f,
                "`cargo lunatic run` can run at most one executable, but several were specified: {}\n\
                 say which with `--package`, `--bin` or `--example`",
                names.join(", ")
            ),
            SelectError::NothingBuilt => write!(
                f,
                "cargo built no program to run; name a bin target with `--bin` or an example that is a program with \
                 `--example`"
            ),
        }
    }
}

impl std::error::Error for SelectError {}

/// Chooses the binary when the user named none: `default-run`, else the only one there is.
///
/// `specs` are the `--package` arguments; without them cargo's default members are looked at. `None` means that the
/// packages are not known here, and cargo shall judge.
pub(crate) fn default_bin(metadata: &Metadata, specs: &[String]) -> Result<Option<String>, SelectError> {
    let packages: Vec<&Package> = match specs {
        [] => metadata.workspace_default_packages(),
        _ => metadata.workspace_packages().into_iter().filter(|p| specs.iter().any(|spec| matches(p, spec))).collect(),
    };
    if packages.is_empty() {
        return Ok(None);
    }
    let default_run: Vec<&String> = packages.iter().filter_map(|package| package.default_run.as_ref()).collect();
    if let [name] = default_run.as_slice() {
        return Ok(Some(name.to_string()));
    }
    let names = |is_kind: fn(&cargo_metadata::Target) -> bool| -> Vec<String> {
        let targets = packages.iter().flat_map(|package| &package.targets);
        targets.filter(|target| is_kind(target)).map(|target| target.name.clone()).collect()
    };
    let mut bins = names(|target| target.is_bin());
    match bins.len() {
        0 => Err(SelectError::NoBin(names(|target| target.is_example()))),
        1 => Ok(bins.pop()),
        _ => {
            bins.sort();
            Err(SelectError::Ambiguous(bins))
        }
    }
}

/// `name`, `name@version` or a full package id.
fn matches(package: &Package, spec: &str) -> bool {
    match spec.split_once('@') {
        Some((name, version)) => package.name.as_str() == name && package.version.to_string() == version,
        None => package.name.as_str() == spec || package.id.repr == spec,
    }
}

/// The one program among what cargo built.
pub(crate) fn only_program(artifacts: Vec<Artifact>) -> Result<Artifact, SelectError> {
    let mut programs: Vec<Artifact> = artifacts.into_iter().filter(|artifact| !artifact.test).collect();
    match programs.len() {
        0 => Err(SelectError::NothingBuilt),
        1 => programs.pop().ok_or(SelectError::NothingBuilt),
        _ => Err(SelectError::Several(programs.into_iter().map(|artifact| artifact.name).collect())),
    }
}
