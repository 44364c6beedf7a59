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
        _ => metadata
            .workspace_packages()
            .into_iter()
            .filter(|p| specs.iter().any(|spec| matches(p, spec)))
            .collect(),
    };
    if packages.is_empty() {
        return Ok(None);
    }
    let default_run: Vec<&String> = packages
        .iter()
        .filter_map(|package| package.default_run.as_ref())
        .collect();
    if let [name] = default_run.as_slice() {
        return Ok(Some(name.to_string()));
    }
    let names = |is_kind: fn(&cargo_metadata::Target) -> bool| -> Vec<String> {
        let targets = packages.iter().flat_map(|package| &package.targets);
        targets
            .filter(|target| is_kind(target))
            .map(|target| target.name.clone())
            .collect()
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
        _ => Err(SelectError::Several(
            programs.into_iter().map(|artifact| artifact.name).collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use cargo_metadata::MetadataCommand;

    use super::*;
    use crate::artifact::Kind;

    /// Recorded from a workspace of `several` (binaries a, b), `single` (one binary), `library` (an example) and
    /// `chosen` (two binaries and `default-run`); the first two are its default members.
    const RECORDED: &str = include_str!("../tests/recorded/metadata.json");

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[track_caller]
    fn check(specs: &[&str], expected: Result<Option<&str>, SelectError>) {
        let metadata = MetadataCommand::parse(RECORDED).unwrap();
        assert_eq!(
            default_bin(&metadata, &texts(specs)),
            expected.map(|name| name.map(str::to_string)),
            "{specs:?}"
        );
    }

    #[test]
    fn the_binary_is_chosen_as_cargo_does() {
        check(&["single"], Ok(Some("single")));
        check(&["single@0.1.0"], Ok(Some("single")));
        check(&["chosen"], Ok(Some("second")));
        check(&["single", "chosen"], Ok(Some("second")));
        check(&["library", "single"], Ok(Some("single")));
        check(&["path+file:///home/user/ws/single#0.1.0"], Ok(Some("single")));
        // Unknown here: cargo reports it.
        check(&["single@0.2.0"], Ok(None));
        check(&["nobody"], Ok(None));
    }

    #[test]
    fn what_is_not_clear_is_an_error_with_the_candidates() {
        check(&[], Err(SelectError::Ambiguous(texts(&["a", "b", "single"]))));
        check(&["several"], Err(SelectError::Ambiguous(texts(&["a", "b"]))));
        check(&["library"], Err(SelectError::NoBin(texts(&["show"]))));
        let text = SelectError::Ambiguous(texts(&["a", "b"])).to_string();
        assert!(
            text.ends_with("or the `default-run` manifest key\navailable binaries: a, b"),
            "{text}"
        );
    }

    fn artifact(name: &str, test: bool) -> Artifact {
        Artifact {
            name: name.to_string(),
            kind: Kind::Bin,
            test,
            path: PathBuf::new(),
            source: PathBuf::new(),
            manifest: PathBuf::new(),
        }
    }

    #[test]
    fn only_one_program_is_run() {
        let one = only_program(vec![artifact("t", true), artifact("a", false)]);
        assert_eq!(one.map(|artifact| artifact.name), Ok("a".to_string()));
        let two = only_program(vec![artifact("a", false), artifact("b", false)]);
        assert_eq!(two, Err(SelectError::Several(texts(&["a", "b"]))));
        assert_eq!(only_program(vec![artifact("t", true)]), Err(SelectError::NothingBuilt));
    }
}
