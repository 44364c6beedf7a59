//! Environment variables, which tests can replace with their own.

use std::ffi::OsString;
use std::path::PathBuf;

/// Reads environment variables: those of this process, or a test's list.
#[derive(Debug, Clone, Default)]
pub(crate) enum Environment {
    #[default]
    Process,
    #[cfg(test)]
    Fixed(std::collections::BTreeMap<String, OsString>),
}

impl Environment {
    /// An environment with exactly these variables.
    #[cfg(test)]
    pub(crate) fn fixed(vars: &[(&str, &str)]) -> Environment {
        Environment::Fixed(
            vars.iter()
                .map(|(name, value)| (name.to_string(), value.into()))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<OsString> {
        match self {
            Environment::Process => std::env::var_os(name),
            #[cfg(test)]
            Environment::Fixed(vars) => vars.get(name).cloned(),
        }
    }

    /// A variable that is valid Unicode and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.into_string().ok().filter(|value| !value.is_empty())
    }

    /// A variable that names a file or folder; an empty one counts as unset.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The first file named `program` in the folders of `PATH`.
    pub(crate) fn find_program(&self, program: &str) -> Option<PathBuf> {
        let path = self.get("PATH")?;
        let file_name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path)
            .map(|folder| folder.join(&file_name))
            .find(|file| file.is_file())
    }
}

/// Whether cargo sets this variable for the programs that it runs, and a nested call of cargo must not see it.
///
/// `cargo run` and `cargo test` leave such variables behind when `cargo lunatic` is an alias of `cargo run`, or when a
/// test builds guests.
pub(crate) fn is_left_by_cargo(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_BIN_EXE_")
        || matches!(
            name,
            "CARGO_MANIFEST_DIR"
                | "CARGO_MANIFEST_PATH"
                | "CARGO_BIN_NAME"
                | "CARGO_CRATE_NAME"
                | "CARGO_PRIMARY_PACKAGE"
                | "CARGO_TARGET_TMPDIR"
                | "CARGO_RUSTC_CURRENT_DIR"
                | "OUT_DIR"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_cargo_leaves_behind() {
        for name in [
            "CARGO_PKG_NAME",
            "CARGO_MANIFEST_DIR",
            "CARGO_BIN_EXE_lunatic",
            "OUT_DIR",
        ] {
            assert!(is_left_by_cargo(name), "{name}");
        }
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TERM_COLOR",
            "PATH",
        ] {
            assert!(!is_left_by_cargo(name), "{name}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_unset_where_a_name_is_wanted() {
        let env = Environment::fixed(&[("RUSTC", ""), ("CARGO", "/bin/cargo")]);
        assert_eq!(env.path("RUSTC"), None);
        assert_eq!(env.text("RUSTC"), None);
        assert_eq!(env.path("CARGO"), Some(PathBuf::from("/bin/cargo")));
        assert_eq!(env.get("RUSTC"), Some(OsString::new()));
    }
}
