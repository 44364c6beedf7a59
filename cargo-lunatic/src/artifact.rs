//! Programs and tests that cargo has built, as its messages report them.

use std::path::PathBuf;

use cargo_metadata::TargetKind;

/// A WebAssembly module that cargo built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Artifact {
    /// Name of the target in its package, such as `power`.
    pub name: String,
    /// Kind of the target.
    pub kind: Kind,
    /// Whether it was built with `--test`, and so contains the tests of its target instead of its `main`.
    pub test: bool,
    /// Path of the `.wasm` file.
    pub path: PathBuf,
    /// The source file of the crate's root.
    pub source: PathBuf,
    /// The `Cargo.toml` of its package.
    pub manifest: PathBuf,
}

/// The kind of target that an [`Artifact`] was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A library; an artifact only if its tests are built.
    Lib,
    /// A program in `src/main.rs` or `src/bin`.
    Bin,
    /// A program in `examples`.
    Example,
    /// An integration test in `tests`.
    Test,
    /// A benchmark in `benches`.
    Bench,
}

impl Kind {
    fn of(kinds: &[TargetKind]) -> Kind {
        kinds
            .iter()
            .find_map(|kind| match kind {
                TargetKind::Bin => Some(Kind::Bin),
                TargetKind::Example => Some(Kind::Example),
                TargetKind::Test => Some(Kind::Test),
                TargetKind::Bench => Some(Kind::Bench),
                _ => None,
            })
            .unwrap_or(Kind::Lib)
    }
}

impl Artifact {
    /// The program that a message of cargo announces; most messages announce libraries.
    pub(crate) fn from_message(message: cargo_metadata::Artifact) -> Option<Artifact> {
        Some(Artifact {
            kind: Kind::of(&message.target.kind),
            name: message.target.name,
            test: message.profile.test,
            path: message.executable?.into_std_path_buf(),
            source: message.target.src_path.into_std_path_buf(),
            manifest: message.manifest_path.into_std_path_buf(),
        })
    }

    /// The folder of the package, which contains its `Cargo.toml`.
    pub fn package_folder(&self) -> &std::path::Path {
        self.manifest.parent().unwrap_or(&self.manifest)
    }
}

#[cfg(test)]
mod tests {
    use cargo_metadata::Message;

    use super::*;

    /// Recorded from cargo 1.95: `cargo build`, then `cargo test --no-run`, of a package with a build script, a library,
    /// a binary, an example and an integration test.
    const RECORDED: &str = include_str!("../tests/recorded/messages.json");

    #[test]
    fn finds_programs_among_the_messages() {
        let found: Vec<_> = Message::parse_stream(RECORDED.as_bytes())
            .filter_map(|message| match message.unwrap() {
                Message::CompilerArtifact(artifact) => Artifact::from_message(artifact),
                _ => None,
            })
            .map(|artifact| (artifact.name.clone(), artifact.kind, artifact.test, artifact))
            .collect();
        let short: Vec<_> = found
            .iter()
            .map(|(name, kind, test, _)| (name.as_str(), *kind, *test))
            .collect();
        assert_eq!(
            short,
            [
                ("hello", Kind::Bin, false),
                ("hello", Kind::Bin, false),
                ("greet", Kind::Example, false),
                ("hello", Kind::Bin, true),
                ("outside", Kind::Test, true),
                ("hello", Kind::Lib, true),
            ]
        );
        let (.., bin) = &found[0];
        assert!(
            bin.path.ends_with("target/wasm32-wasip1/debug/hello.wasm"),
            "{}",
            bin.path.display()
        );
        assert!(bin.source.ends_with("src/main.rs"));
        assert_eq!(bin.package_folder(), bin.manifest.parent().unwrap());
    }
}
