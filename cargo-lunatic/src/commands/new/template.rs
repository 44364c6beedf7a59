//! What a new project consists of.

use crate::rights_file;

/// The program that a new project begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Template {
    /// Processes that send their results through a channel
    #[default]
    Basic,
    /// An actor with a supervisor
    Actor,
    /// A web server
    Web,
    /// A command-line program with arguments and files
    Cli,
    /// A library whose functions use processes
    Library,
    /// A program that calls C code, each time in a process of its own
    C,
}

/// A crate that a template uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crate {
    /// A crate of Lunatic's workspace: its name, and its folder there.
    Lunatic(&'static str, &'static str),
    /// Another crate: its name, and the value in the manifest.
    Other(&'static str, &'static str),
}

/// A file of a new project: its path, relative to the project, and its text.
pub(super) type File = (&'static str, &'static str);

/// Sets the target for editors and plain `cargo`.
const TARGET: File = (".cargo/config.toml", include_str!("target.toml.template"));

const SDK: Crate = Crate::Lunatic("lunatic", "lunatic");
const HTTP: Crate = Crate::Lunatic("lunatic-http", "lunatic/http");
const SERDE: Crate = Crate::Other("serde", r#"{ version = "1", features = ["derive"] }"#);
const CC: Crate = Crate::Other("cc", r#""1""#);

impl Template {
    /// The source file, relative to the project.
    pub(super) fn path(self) -> &'static str {
        match self {
            Template::Library => "src/lib.rs",
            _ => "src/main.rs",
        }
    }

    pub(super) fn source(self) -> &'static str {
        match self {
            Template::Basic => include_str!("main.rs.template"),
            Template::Actor => include_str!("actor.rs.template"),
            Template::Web => include_str!("web.rs.template"),
            Template::Cli => include_str!("cli.rs.template"),
            Template::Library => include_str!("library.rs.template"),
            Template::C => include_str!("c.rs.template"),
        }
    }

    /// The files beside the source. With C code, the target is not set for other programs than `cargo lunatic`: they
    /// would call a C compiler that makes WebAssembly, which only `cargo lunatic` finds or installs.
    pub(super) fn files(self) -> &'static [File] {
        match self {
            Template::Web => &[TARGET, (rights_file::FILE, include_str!("web.toml.template"))],
            Template::Cli => &[TARGET, (rights_file::FILE, include_str!("cli.toml.template"))],
            Template::C => &[
                ("build.rs", include_str!("c.build.template")),
                ("src/adler.c", include_str!("c.c.template")),
            ],
            Template::Basic | Template::Actor | Template::Library => &[TARGET],
        }
    }

    pub(super) fn crates(self) -> &'static [Crate] {
        match self {
            Template::Basic | Template::Cli | Template::Library | Template::C => &[SDK],
            Template::Actor => &[SDK, SERDE],
            Template::Web => &[SDK, HTTP],
        }
    }

    /// What the build script uses.
    pub(super) fn build_crates(self) -> &'static [Crate] {
        match self {
            Template::C => &[CC],
            _ => &[],
        }
    }

    /// What to do with the project.
    pub(super) fn next(self) -> &'static str {
        match self {
            Template::Basic | Template::Actor | Template::C => "`cargo lunatic run` and `cargo lunatic test`",
            Template::Web => "`cargo lunatic run`, and visit http://127.0.0.1:8080",
            Template::Cli => "`cargo lunatic run -- Cargo.toml` and `cargo lunatic test`",
            Template::Library => "`cargo lunatic test`",
        }
    }
}

/// The program of `cargo new`.
const CARGOS_PROGRAM: &str = "fn main() {\n    println!(\"Hello, world!\");\n}\n";

/// The library of `cargo new`.
const CARGOS_LIBRARY: &str = "\
pub fn add(left: u64, right: u64) -> u64 {
    left + right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_works() {
        let result = add(2, 2);
        assert_eq!(result, 4);
    }
}
";

/// Whether a source file is what cargo writes into a new package, to the letter.
pub(super) fn is_cargos(source: &[u8]) -> bool {
    source == CARGOS_PROGRAM.as_bytes() || source == CARGOS_LIBRARY.as_bytes()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_template_uses_its_crates_and_has_a_test() {
        for template in Template::value_variants() {
            let source = template.source();
            for name in template.crates().iter().map(|krate| match krate {
                Crate::Lunatic(name, _) | Crate::Other(name, _) => name.replace('-', "_"),
            }) {
                assert!(source.contains(&format!("{name}::")), "{template:?}: {name}");
            }
            assert!(source.contains("#[lunatic::test]"), "{template:?}");
            assert!(!is_cargos(source.as_bytes()), "{template:?}");
        }
    }

    #[test]
    fn the_rights_of_every_template_are_valid() {
        for template in Template::value_variants() {
            let Some((_, rights)) = template.files().iter().find(|(path, _)| *path == rights_file::FILE) else {
                continue;
            };
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(rights_file::FILE), rights).unwrap();
            let (_, file) = rights_file::read(folder.path()).unwrap().unwrap();
            assert_eq!(file.lines().len(), 1, "{template:?}");
        }
    }
}
