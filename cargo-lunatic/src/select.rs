//! Chooses the program for `cargo lunatic run`, by cargo's own rules.

mod candidates;

use cargo_metadata::{DependencyKind, Metadata, Package};

use self::candidates::Candidates;
use crate::artifact::Artifact;

/// Why no program could be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelectError {
    /// The packages with these names have no binary; holds what else there is to run.
    NoBin(Vec<String>, Candidates),
    /// There are several binaries and nothing selects one; holds all of them, and the examples.
    Ambiguous(Candidates),
    /// The flags select several programs; holds those that were built.
    Several(Vec<String>),
    /// Cargo built no program for these flags, for example because an example is a library.
    NothingBuilt,
}

impl std::fmt::Display for SelectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SelectError::NoBin(packages, candidates) => {
                write!(f, "there is no program to run: ")?;
                match packages.as_slice() {
                    [package] => write!(f, "the package `{package}` has no bin target, such as src/main.rs")?,
                    _ => write!(
                        f,
                        "none of the {} packages here has a bin target, such as src/main.rs",
                        packages.len()
                    )?,
                }
                match candidates.is_empty() {
                    true => write!(f, "; nor is there an example"),
                    false => write!(f, "\nrun one of these:{candidates}"),
                }
            }
            SelectError::Ambiguous(candidates) => write!(
                f,
                "there are several programs; run one of these, or set `default-run` in the package's Cargo.toml:\
                 {candidates}"
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

/// Chooses the binary if the user named none: `default-run`, or else the only one.
///
/// `specs` are the `--package` arguments; without them, those of cargo's default members are searched that are
/// programs for Lunatic. `None` means that the packages are unknown here, and the choice is left to cargo.
pub(crate) fn default_bin(metadata: &Metadata, specs: &[String]) -> Result<Option<String>, SelectError> {
    let packages: Vec<&Package> = match specs {
        [] => guests(metadata.workspace_default_packages()),
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
    let targets = packages.iter().flat_map(|package| &package.targets);
    let bins: Vec<_> = targets.filter(|target| target.is_bin()).collect();
    let mut candidates = Candidates::of(&packages, metadata);
    match bins.as_slice() {
        [] => {
            if candidates.is_empty() {
                candidates = Candidates::of(&guests(metadata.workspace_packages()), metadata);
            }
            Err(SelectError::NoBin(names(&packages), candidates))
        }
        [bin] => Ok(Some(bin.name.clone())),
        _ => Err(SelectError::Ambiguous(candidates)),
    }
}

/// Those packages that use Lunatic's SDK, if any does: in a workspace with native programs, these are not meant.
fn guests(packages: Vec<&Package>) -> Vec<&Package> {
    let uses_sdk = |package: &&Package| {
        let mut dependencies = package.dependencies.iter();
        dependencies.any(|dependency| dependency.name == "lunatic" && dependency.kind == DependencyKind::Normal)
    };
    let guests: Vec<&Package> = packages.iter().copied().filter(uses_sdk).collect();
    if guests.is_empty() { packages } else { guests }
}

fn names(packages: &[&Package]) -> Vec<String> {
    packages.iter().map(|package| package.name.to_string()).collect()
}

/// `name`, `name@version` or a full package id.
fn matches(package: &Package, spec: &str) -> bool {
    match spec.split_once('@') {
        Some((name, version)) => package.name.as_str() == name && package.version.to_string() == version,
        None => package.name.as_str() == spec || package.id.repr == spec,
    }
}

/// The only program among what cargo built.
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

    /// A workspace with these manifests and empty source files, as cargo describes it in its folder `folder`.
    fn workspace(files: &[(&str, &str)], folder: &str) -> Metadata {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let mut command = MetadataCommand::new();
        command.no_deps().current_dir(root.path().join(folder));
        command.exec().unwrap()
    }

    fn package(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}")
    }

    /// Native programs, of which one has `default-run`, beside programs for Lunatic.
    fn mixed(folder: &str, guest: &str) -> Metadata {
        let native = package(
            "native",
            "default-run = \"native\"\n[dev-dependencies]\nlunatic = \"1\"",
        );
        let guest = package("guest", guest);
        let extra = package(
            "extra",
            "[[example]]\nname = \"shown\"\nrequired-features = [\"x\"]\n[features]\nx = []\n",
        );
        workspace(
            &[
                (
                    "Cargo.toml",
                    "[workspace]\nresolver = \"3\"\nmembers = [\"native\", \"guest\", \"extra\"]\n",
                ),
                ("native/Cargo.toml", &native),
                ("native/src/main.rs", ""),
                ("native/src/bin/one.rs", ""),
                ("guest/Cargo.toml", &guest),
                ("guest/src/lib.rs", ""),
                ("guest/src/bin/one.rs", ""),
                ("guest/src/bin/two.rs", ""),
                ("guest/examples/demo.rs", ""),
                ("extra/Cargo.toml", &extra),
                ("extra/src/lib.rs", ""),
                ("extra/examples/shown.rs", ""),
            ],
            folder,
        )
    }

    const USES_SDK: &str = "[dependencies]\nlunatic = \"1\"\n";

    #[track_caller]
    fn check_error(metadata: &Metadata, specs: &[&str], expected: &str) {
        let error = default_bin(metadata, &texts(specs)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{specs:?}");
    }

    #[test]
    fn native_programs_beside_guests_are_not_meant() {
        check_error(
            &mixed("", USES_SDK),
            &[],
            "there are several programs; run one of these, or set `default-run` in the package's Cargo.toml:\n\
             programs:\n    cargo lunatic run --bin two\n    cargo lunatic run -p guest --bin one\n\
             examples:\n    cargo lunatic run --example demo",
        );
        let chosen = |metadata: &Metadata| default_bin(metadata, &[]).unwrap();
        let one = mixed("", &format!("autobins = false\n[[bin]]\nname = \"two\"\n{USES_SDK}"));
        assert_eq!(chosen(&one).as_deref(), Some("two"));
        let default_run = mixed("", &format!("default-run = \"two\"\n{USES_SDK}"));
        assert_eq!(chosen(&default_run).as_deref(), Some("two"));
        // Where nothing uses the SDK, a program for plain WASI is meant, and cargo's rules hold.
        assert_eq!(chosen(&mixed("", "")).as_deref(), Some("native"));
        // Whoever names a package, or is in its folder, means it.
        assert_eq!(chosen(&mixed("native", USES_SDK)).as_deref(), Some("native"));
        let named = default_bin(&mixed("", USES_SDK), &texts(&["native"]));
        assert_eq!(named.unwrap().as_deref(), Some("native"));
    }

    #[test]
    fn without_a_program_the_others_of_the_workspace_are_named() {
        let no_bins = format!("autobins = false\n{USES_SDK}");
        check_error(
            &mixed("guest", &no_bins),
            &[],
            "there is no program to run: the package `guest` has no bin target, such as src/main.rs\n\
             run one of these:\nexamples:\n    cargo lunatic run --example demo",
        );
        check_error(
            &mixed("guest", &no_bins),
            &["extra"],
            "there is no program to run: the package `extra` has no bin target, such as src/main.rs\n\
             run one of these:\nexamples:\n    cargo lunatic run -p extra --example shown --features x",
        );
        let bare = format!("autobins = false\nautoexamples = false\n{USES_SDK}");
        check_error(
            &mixed("", &bare),
            &[],
            "there is no program to run: the package `guest` has no bin target, such as src/main.rs; nor is there an \
             example",
        );
        let empty = [
            ("Cargo.toml", "[workspace]\nmembers = [\"library\", \"app\"]\n"),
            ("library/Cargo.toml", &package("library", "")),
            ("library/src/lib.rs", ""),
            ("app/Cargo.toml", &package("app", "")),
            ("app/src/main.rs", ""),
        ];
        check_error(
            &workspace(&empty, "library"),
            &[],
            "there is no program to run: the package `library` has no bin target, such as src/main.rs\n\
             run one of these:\nprograms:\n    cargo lunatic run -p app --bin app",
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let bins: Vec<String> = (0..40).map(|number| format!("p/src/bin/b{number:02}.rs")).collect();
        let manifest = package("p", "");
        let mut files = vec![("p/Cargo.toml", manifest.as_str())];
        files.extend(bins.iter().map(|name| (name.as_str(), "")));
        let error = default_bin(&workspace(&files, "p"), &[]).unwrap_err().to_string();
        assert!(error.ends_with("--bin b31\n    and 8 more"), "{error}");
    }

    #[test]
    fn in_this_checkout_the_benchmarks_are_not_meant() {
        let mut command = MetadataCommand::new();
        command
            .no_deps()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
        let error = default_bin(&command.exec().unwrap(), &[]).unwrap_err().to_string();
        for part in [
            "\n    cargo lunatic run --bin talk\n",
            "\n    cargo lunatic run --example power\n",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("benches"), "{error}");
    }

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
        let candidates = |programs: &[&str], examples: &[&str]| Candidates {
            programs: texts(programs),
            examples: texts(examples),
        };
        let [a, b] = ["a", "b"].map(|name| format!("cargo lunatic run --bin {name}"));
        let all = [&a, &b, "cargo lunatic run --bin single"];
        check(&[], Err(SelectError::Ambiguous(candidates(&all, &[]))));
        check(&["several"], Err(SelectError::Ambiguous(candidates(&[&a, &b], &[]))));
        let show = candidates(&[], &["cargo lunatic run -p library --example show"]);
        check(&["library"], Err(SelectError::NoBin(texts(&["library"]), show)));
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
