//! `cargo lunatic new` and `cargo lunatic init`: create a project that runs and whose test passes.

mod dependency;
mod template;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use self::dependency::{BUILD_DEPENDENCIES, DEPENDENCIES, Origin, with_dependencies};
use self::template::{Template, is_cargos};
use super::{current_folder, shown};
use crate::error::Error;
use crate::shell::Shell;

const GITIGNORE: &str = "/target\n";

/// Create a new project for Lunatic
#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// Folder to create; its name becomes the name of the package
    path: PathBuf,

    #[command(flatten)]
    project: Project,
}

/// Create a project for Lunatic in an existing folder, and keep its files
#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// Folder of the project; its name becomes the name of the package
    #[arg(default_value = ".")]
    path: PathBuf,

    #[command(flatten)]
    project: Project,
}

/// The options of both.
#[derive(Debug, clap::Args)]
struct Project {
    /// Program that the project begins with
    #[arg(long, value_enum, default_value_t, value_name = "TEMPLATE")]
    template: Template,

    /// Same as `--template library`
    #[arg(long, conflicts_with = "template")]
    lib: bool,

    /// Name of the package [default: the name of the folder]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Edition of Rust [default: the newest]
    #[arg(long, value_name = "YEAR")]
    edition: Option<String>,

    /// Version control system: git, hg, pijul, fossil, none
    #[arg(long, value_name = "VCS")]
    vcs: Option<String>,

    /// Print only errors
    #[arg(short, long)]
    quiet: bool,
}

impl New {
    pub(super) fn shell(&self) -> Shell {
        self.project.shell()
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        self.project.make("new", &self.path)
    }
}

impl Init {
    pub(super) fn shell(&self) -> Shell {
        self.project.shell()
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        self.project.make("init", &self.path)
    }
}

impl Project {
    fn shell(&self) -> Shell {
        Shell::new(self.quiet, None)
    }

    fn template(&self) -> Template {
        if self.lib { Template::Library } else { self.template }
    }

    /// Has cargo create the package with its command `verb`, then adds what makes it a project for Lunatic.
    fn make(&self, verb: &str, path: &Path) -> Result<i32, Error> {
        let folder = current_folder()?;
        let root = folder.join(path);
        let template = self.template();
        let source = root.join(template.path());
        let existed = source.exists();
        self.call_cargo(verb, path, &folder)?;

        let manifest = root.join("Cargo.toml");
        let text = read(&manifest)?;
        let origin = Origin::of_this_program();
        let mut text = with_dependencies(&text, DEPENDENCIES, &origin.lines(template.crates()));
        if is_free(&source, existed)? {
            write(&source, template.source())?;
            for (path, text) in template.files() {
                write_new(&root.join(path), text)?;
            }
            if !template.build_crates().is_empty() {
                text = with_dependencies(&text, BUILD_DEPENDENCIES, &origin.crates(template.build_crates()));
            }
        } else {
            self.shell().status("Kept", "the sources that are there");
        }
        write(&manifest, &text)?;
        if self.vcs.as_deref().is_none_or(|vcs| vcs == "git") {
            write_new(&root.join(".gitignore"), GITIGNORE)?;
        }
        self.report(path, shown(&root, &folder));
        Ok(0)
    }

    /// Cargo itself creates the package: it knows which names are invalid, which folders are taken, whether there is a
    /// repository, and whether the package belongs to a workspace.
    fn call_cargo(&self, verb: &str, path: &Path, folder: &Path) -> Result<(), Error> {
        let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let mut command = std::process::Command::new(&cargo);
        command.args([verb, "--quiet"]).current_dir(folder);
        command.arg(match self.template() {
            Template::Library => "--lib",
            _ => "--bin",
        });
        for (flag, value) in [("name", &self.name), ("edition", &self.edition), ("vcs", &self.vcs)] {
            if let Some(value) = value {
                command.arg(format!("--{flag}={value}"));
            }
        }
        command.arg("--").arg(path);
        let status = command
            .status()
            .map_err(|source| Error::StartCargo { program: cargo, source })?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::Cargo(status.code().unwrap_or(101)))
        }
    }

    fn report(&self, path: &Path, shown: &Path) {
        let shown = shown.display();
        self.shell().status("Created", format!("Lunatic project `{shown}`"));
        let next = self.template().next();
        self.shell().status(
            "Next",
            match path == Path::new(".") {
                true => next.to_string(),
                false => format!("`cd {shown}`, then {next}"),
            },
        );
    }
}

/// Whether the template may take the place of the source file, which is there already if it `existed` before cargo was
/// called. Cargo creates none if it finds another file, such as `main.rs` beside `Cargo.toml`.
fn is_free(source: &Path, existed: bool) -> Result<bool, Error> {
    if !source.exists() {
        return Ok(false);
    }
    let bytes = std::fs::read(source).map_err(file_error("read", source))?;
    Ok(!existed || is_cargos(&bytes))
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(file_error("read", path))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(file_error("write", path))
}

/// Writes a file, unless one is there.
fn write_new(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(file_error("create", folder))?;
    }
    match std::fs::File::create_new(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(file_error("write", path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(file_error("write", path)(error)),
    }
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { action, path, source }
}
