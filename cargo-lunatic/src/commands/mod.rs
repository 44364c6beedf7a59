//! The subcommands, one file each.

mod bench;
mod build;
mod completions;
mod doctor;
mod man;
mod new;
mod pass;
mod run;
mod test;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::args::Compile;
use crate::cargo::Verb;
use crate::error::Error;
use crate::shell::Shell;

/// The variables that this program reads itself; it respects cargo's variables, too.
const ENVIRONMENT: &str = "\
Environment:
  LUNATIC_TOOLCHAIN  Where to get the target for guests
      auto           from any of the following (the default)
      rustup         the Rust in use, or `rustup target add`
      debian         a toolchain made from Debian's packages
  LUNATIC_CACHE      Folder for files that can be made again
                     [default: lunatic in XDG_CACHE_HOME or ~/.cache]";

/// Build WebAssembly guests with cargo and run them on Lunatic
#[derive(Debug, Parser)]
#[command(
    name = "cargo-lunatic",
    bin_name = "cargo lunatic",
    version,
    propagate_version = true
)]
#[command(after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Build(build::Build),
    Test(test::Test),
    Bench(bench::Bench),
    /// Check programs for errors without building them
    #[command(after_help = "Options: those of `cargo check`; see `cargo help check`.")]
    Check(pass::Pass),
    /// Check programs with Clippy
    #[command(after_help = "Options: those of `cargo clippy`; see `cargo clippy --help`.")]
    Clippy(pass::Pass),
    /// Build the documentation of programs and their dependencies
    #[command(after_help = "Options: those of `cargo doc`, such as `--open`; see `cargo help doc`.")]
    Doc(pass::Pass),
    New(new::New),
    Init(new::Init),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs `cargo lunatic` with these arguments, of which the first is the program's name, and returns the exit code for
/// the shell.
///
/// This is the guest's own exit code if a guest ran, cargo's if cargo failed, 2 if the arguments are wrong, and 101 for
/// other errors, as in cargo.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(own_arguments(arguments));
    let (shell, result) = match cli.command {
        Command::Run(run) => (run.shell(), run.execute()),
        Command::Build(build) => (build.shell(), build.execute()),
        Command::Test(test) => (test.shell(), test.execute()),
        Command::Bench(bench) => (bench.shell(), bench.execute()),
        Command::Check(pass) => (pass.shell(), pass.execute(Verb::Check)),
        Command::Clippy(pass) => (pass.shell(), pass.execute(Verb::Clippy)),
        Command::Doc(pass) => (pass.shell(), pass.execute(Verb::Doc)),
        Command::New(new) => (new.shell(), new.execute()),
        Command::Init(init) => (init.shell(), init.execute()),
        Command::Doctor(doctor) => (doctor.shell(), doctor.execute()),
        Command::Completions(completions) => (Shell::new(false, None), completions.execute(Cli::command())),
        Command::Man(man) => (man.shell(), man.execute(Cli::command())),
    };
    let code = result.unwrap_or_else(|error| {
        // Cargo has already reported its own errors.
        if !matches!(error, Error::Cargo(_)) {
            shell.error(&error);
        }
        error.exit_code()
    });
    ExitCode::from(lunatic_cli::shell_code(code))
}

/// Removes the `lunatic` that cargo inserts after the program's name.
fn own_arguments(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|first| first == "lunatic") {
        arguments.remove(1);
    }
    arguments
}

impl Compile {
    fn shell(&self) -> Shell {
        Shell::new(self.quiet, self.color.as_deref())
    }
}

fn current_folder() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(|source| Error::File {
        action: "find",
        path: PathBuf::from("."),
        source,
    })
}

/// A path as cargo shows it: relative if it lies below the current folder.
fn shown<'a>(path: &'a Path, current: &Path) -> &'a Path {
    path.strip_prefix(current).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let own = own_arguments(line.split_whitespace().map(OsString::from));
        assert_eq!(
            own,
            expected.split_whitespace().map(OsString::from).collect::<Vec<_>>(),
            "{line}"
        );
    }

    #[test]
    fn works_as_subcommand_and_alone() {
        check("cargo-lunatic lunatic run -r", "cargo-lunatic run -r");
        check("cargo-lunatic run -r", "cargo-lunatic run -r");
        check("cargo-lunatic run lunatic", "cargo-lunatic run lunatic");
        check("cargo-lunatic lunatic new lunatic", "cargo-lunatic new lunatic");
        check("cargo-lunatic", "cargo-lunatic");
    }

    #[test]
    fn paths_are_shown_as_cargo_shows_them() {
        assert_eq!(shown(Path::new("/a/b/c"), Path::new("/a")), Path::new("b/c"));
        assert_eq!(shown(Path::new("/x/c"), Path::new("/a")), Path::new("/x/c"));
    }
}
