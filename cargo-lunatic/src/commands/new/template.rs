//! What a new project consists of.

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
}

/// A crate that a template uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crate {
    /// A crate of Lunatic's workspace: its name, and its folder there.
    Lunatic(&'static str, &'static str),
    /// Another crate: its name, and the value in the manifest.
    Other(&'static str, &'static str),
}

const SDK: Crate = Crate::Lunatic("lunatic", "lunatic");
const HTTP: Crate = Crate::Lunatic("lunatic-http", "lunatic/http");
const SERDE: Crate = Crate::Other("serde", r#"{ version = "1", features = ["derive"] }"#);

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
        }
    }

    /// The program's `lunatic.toml`, if it needs rights.
    pub(super) fn rights(self) -> Option<&'static str> {
        match self {
            Template::Web => Some(include_str!("web.toml.template")),
            Template::Cli => Some(include_str!("cli.toml.template")),
            Template::Basic | Template::Actor | Template::Library => None,
        }
    }

    pub(super) fn crates(self) -> &'static [Crate] {
        match self {
            Template::Basic | Template::Cli | Template::Library => &[SDK],
            Template::Actor => &[SDK, SERDE],
            Template::Web => &[SDK, HTTP],
        }
    }

    /// What to do with the project.
    pub(super) fn next(self) -> &'static str {
        match self {
            Template::Basic | Template::Actor => "`cargo lunatic run` and `cargo lunatic test`",
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
    use crate::rights_file;

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
            let Some(rights) = template.rights() else { continue };
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(rights_file::FILE), rights).unwrap();
            let (_, file) = rights_file::read(folder.path()).unwrap().unwrap();
            assert_eq!(file.lines().len(), 1, "{template:?}");
        }
    }
}
