//! `cargo lunatic new`: a project that runs and passes its test.

use std::path::{Path, PathBuf};

use super::{current_folder, shown};
use crate::error::Error;
use crate::shell::Shell;

const MAIN_RS: &str = include_str!("new/main.rs.template");
const GITIGNORE: &str = "/target\n";

/// Where this program was built from: beside it is the `lunatic` crate, as long as the checkout exists.
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");

/// Create a new project for Lunatic
#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// Folder to make; its last part is the name of the package
    path: PathBuf,

    /// Name of the package, if it is not that of the folder
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Version control system: git, hg, pijul, fossil, none
    #[arg(long, value_name = "VCS")]
    vcs: Option<String>,

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl New {
    pub(super) fn shell(&self) -> Shell {
        Shell::new(self.quiet, None)
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        let folder = current_folder()?;
        self.cargo_new(&folder)?;
        let root = folder.join(&self.path);
        let manifest = root.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).map_err(file_error("read", &manifest))?;
        write(&manifest, &with_dependency(&text, &dependency(Path::new(BUILT_FROM))))?;
        write(&root.join("src/main.rs"), MAIN_RS)?;
        let gitignore = root.join(".gitignore");
        if !gitignore.exists() {
            write(&gitignore, GITIGNORE)?;
        }
        let shown = shown(&root, &folder).display();
        self.shell().status("Created", format!("Lunatic project `{shown}`"));
        self.shell().status(
            "Next",
            format!("`cd {shown}`, then `cargo lunatic run` and `cargo lunatic test`"),
        );
        Ok(0)
    }

    /// Cargo itself makes the package: it knows which names are bad, which folders are taken, whether there is a
    /// repository, and whether the package belongs to a workspace.
    fn cargo_new(&self, folder: &Path) -> Result<(), Error> {
        let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let mut command = std::process::Command::new(&cargo);
        command.args(["new", "--quiet", "--bin"]).current_dir(folder);
        if let Some(name) = &self.name {
            command.arg(format!("--name={name}"));
        }
        if let Some(vcs) = &self.vcs {
            command.arg(format!("--vcs={vcs}"));
        }
        command.arg("--").arg(&self.path);
        let status = command
            .status()
            .map_err(|source| Error::StartCargo { program: cargo, source })?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::Cargo(status.code().unwrap_or(101)))
        }
    }
}

/// The line of `[dependencies]`: the checkout's crate if it is there, else the released one of the same version.
fn dependency(built_from: &Path) -> String {
    let lunatic = built_from.parent().map(|checkout| checkout.join("lunatic"));
    match lunatic {
        Some(path) if path.join("Cargo.toml").is_file() => {
            format!(
                "lunatic = {{ path = {} }}",
                toml::Value::String(path.display().to_string())
            )
        }
        _ => format!("lunatic = \"{}\"", env!("CARGO_PKG_VERSION")),
    }
}

/// Puts `line` into `[dependencies]` of a manifest as cargo writes it, wherever that stands.
fn with_dependency(manifest: &str, line: &str) -> String {
    const HEADER: &str = "[dependencies]\n";
    match manifest.find(HEADER) {
        Some(start) => {
            let (before, after) = manifest.split_at(start + HEADER.len());
            format!("{before}{line}\n{after}")
        }
        None => format!("{}\n\n{HEADER}{line}\n", manifest.trim_end()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(file_error("write", path))
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &str, expected: &str) {
        assert_eq!(with_dependency(manifest, "lunatic = \"1\""), expected);
    }

    #[test]
    fn the_dependency_lands_in_its_section() {
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
    }

    #[test]
    fn the_checkout_is_used_while_it_exists() {
        let checkout = tempfile::tempdir().unwrap();
        let built_from = checkout.path().join("cargo-lunatic");
        assert_eq!(
            dependency(&built_from),
            format!("lunatic = \"{}\"", env!("CARGO_PKG_VERSION"))
        );
        std::fs::create_dir(checkout.path().join("lunatic")).unwrap();
        std::fs::write(checkout.path().join("lunatic/Cargo.toml"), "").unwrap();
        let line = dependency(&built_from);
        let table: toml::Table = line.parse().unwrap();
        let path = table["lunatic"]["path"].as_str().unwrap();
        assert_eq!(Path::new(path), checkout.path().join("lunatic"));
    }
}
