//! The dependencies of a new project: where Lunatic's crates are taken from.

use std::path::{Path, PathBuf};

use super::template::Crate;

/// The folder that this program was built from. Lunatic's crates are beside it, for as long as a checkout exists.
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");

/// Where the crates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The user's checkout, from which this program was built.
    Checkout(PathBuf),
    /// A commit. This program was built from cargo's own checkout, which cargo may delete at any time.
    Commit(String),
    /// The registry.
    Release,
}

impl Origin {
    /// The origin of the crates that belong to this program.
    pub(super) fn of_this_program() -> Origin {
        Origin::of(Path::new(BUILT_FROM))
    }

    fn of(built_from: &Path) -> Origin {
        let Some(checkout) = built_from.parent() else {
            return Origin::Release;
        };
        if let Some(commit) = cargos_checkout(checkout) {
            return Origin::Commit(commit);
        }
        if checkout.join("lunatic/Cargo.toml").is_file() {
            return Origin::Checkout(checkout.to_path_buf());
        }
        Origin::Release
    }

    /// The lines for `[dependencies]`: a comment that says where the crates come from, and the crates.
    pub(super) fn lines(&self, crates: &[Crate]) -> String {
        let mut lines = match self {
            Origin::Checkout(_) => {
                "# Lunatic's checkout from which `cargo lunatic` was built. If it is moved, change the path; to use the\n\
                 # release, delete the path.\n"
            }
            Origin::Commit(_) => "# The commit from which `cargo lunatic` was built. To use a release, write its version.\n",
            Origin::Release => "",
        }
        .to_string();
        lines.push_str(&self.crates(crates));
        lines
    }

    /// One line for each crate.
    pub(super) fn crates(&self, crates: &[Crate]) -> String {
        let line = |krate: &Crate| match krate {
            Crate::Lunatic(name, folder) => format!("{name} = {}\n", self.value(folder)),
            Crate::Other(name, value) => format!("{name} = {value}\n"),
        };
        crates.iter().map(line).collect()
    }

    fn value(&self, folder: &str) -> String {
        let quoted = |text: String| toml::Value::String(text).to_string();
        let version = quoted(env!("CARGO_PKG_VERSION").to_string());
        match self {
            Origin::Checkout(checkout) => {
                let path = quoted(checkout.join(folder).display().to_string());
                format!("{{ version = {version}, path = {path} }}")
            }
            Origin::Commit(commit) => {
                let git = quoted(env!("CARGO_PKG_REPOSITORY").to_string());
                format!("{{ git = {git}, rev = {} }}", quoted(commit.clone()))
            }
            Origin::Release => version,
        }
    }
}

/// The commit, if cargo made this checkout: `…/git/checkouts/NAME-HASH/COMMIT`.
fn cargos_checkout(checkout: &Path) -> Option<String> {
    let commit = checkout.file_name()?.to_str()?;
    let is_commit = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_commit && checkout.parent()?.parent()?.ends_with("git/checkouts")).then(|| commit.to_string())
}

/// The header of the table of crates that the program uses.
pub(super) const DEPENDENCIES: &str = "\n[dependencies]\n";

/// The header of the table of crates that its build script uses.
pub(super) const BUILD_DEPENDENCIES: &str = "\n[build-dependencies]\n";

/// Inserts `lines` into a table of a manifest that cargo has written: where it is, or at the end.
pub(super) fn with_dependencies(manifest: &str, header: &str, lines: &str) -> String {
    match manifest.find(header) {
        Some(start) => {
            let (before, after) = manifest.split_at(start + header.len());
            format!("{before}{lines}{after}")
        }
        None => format!("{}\n{header}{lines}", manifest.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &str, expected: &str) {
        assert_eq!(with_dependencies(manifest, DEPENDENCIES, "lunatic = \"1\"\n"), expected);
    }

    #[test]
    fn the_dependencies_land_in_their_section() {
        check(
            "[package]\n\n[dependencies]\n",
            "[package]\n\n[dependencies]\nlunatic = \"1\"\n",
        );
        check(
            "[package]\n\n[dependencies]\n\n[lints]\nworkspace = true\n",
            "[package]\n\n[dependencies]\nlunatic = \"1\"\n\n[lints]\nworkspace = true\n",
        );
        check(
            "[package]\nname = \"x\"\n",
            "[package]\nname = \"x\"\n\n[dependencies]\nlunatic = \"1\"\n",
        );
        assert_eq!(
            with_dependencies(
                "[package]\n\n[dependencies]\nlunatic = \"1\"\n",
                BUILD_DEPENDENCIES,
                "cc = \"1\"\n"
            ),
            "[package]\n\n[dependencies]\nlunatic = \"1\"\n\n[build-dependencies]\ncc = \"1\"\n",
        );
    }

    const CRATES: &[Crate] = &[
        Crate::Lunatic("lunatic", "lunatic"),
        Crate::Lunatic("lunatic-http", "lunatic/http"),
        Crate::Other("serde", "\"1\""),
    ];

    fn table(origin: &Origin) -> toml::Table {
        origin.lines(CRATES).parse().unwrap()
    }

    #[test]
    fn a_checkout_is_used_while_it_exists() {
        let checkout = tempfile::tempdir().unwrap();
        let built_from = checkout.path().join("cargo-lunatic");
        assert_eq!(Origin::of(&built_from), Origin::Release);
        assert_eq!(
            table(&Origin::Release)["lunatic-http"].as_str(),
            Some(env!("CARGO_PKG_VERSION"))
        );

        std::fs::create_dir(checkout.path().join("lunatic")).unwrap();
        std::fs::write(checkout.path().join("lunatic/Cargo.toml"), "").unwrap();
        let origin = Origin::of(&built_from);
        let table = table(&origin);
        for (name, folder) in [("lunatic", "lunatic"), ("lunatic-http", "lunatic/http")] {
            let path = table[name]["path"].as_str().unwrap();
            assert_eq!(Path::new(path), checkout.path().join(folder));
            assert_eq!(table[name]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
        }
        assert_eq!(table["serde"].as_str(), Some("1"));
        assert!(origin.lines(CRATES).starts_with("# Lunatic's checkout from which"));
    }

    #[test]
    fn a_checkout_that_cargo_may_delete_is_replaced_by_its_commit() {
        let root = tempfile::tempdir().unwrap();
        let checkout = root.path().join("git/checkouts/lunatic-1f2e3d4c5b6a7988/850719b");
        std::fs::create_dir_all(checkout.join("lunatic")).unwrap();
        std::fs::write(checkout.join("lunatic/Cargo.toml"), "").unwrap();
        let origin = Origin::of(&checkout.join("cargo-lunatic"));
        assert_eq!(origin, Origin::Commit("850719b".to_string()));
        let table = table(&origin);
        assert_eq!(table["lunatic-http"]["rev"].as_str(), Some("850719b"));
        assert_eq!(table["lunatic"]["git"].as_str(), Some(env!("CARGO_PKG_REPOSITORY")));
        assert!(!origin.lines(CRATES).contains(root.path().to_str().unwrap()));
        for own in [
            "checkouts/lunatic-1f2e3d4c5b6a7988/850719b",
            "git/checkouts/lunatic/main",
        ] {
            assert_eq!(cargos_checkout(&Path::new("/home/user").join(own)), None, "{own}");
        }
    }
}
