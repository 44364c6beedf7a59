//! The subcommands, one file each.

mod build;
mod doctor;
mod new;
mod run;
mod test;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::args::Compile;
use crate::error::Error;
use crate::shell::Shell;

/// The variables we look at ourselves; cargo's are respected too.
const ENVIRONMENT: &str = "\
Environment:
  LUNATIC_TOOLCHAIN  Where the target for guests may come from
      auto           all of the following, which is the default
      rustup         the Rust in use, or `rustup target add`
      debian         a toolchain made from Debian's packages
  LUNATIC_CACHE      Folder for what can be made again
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
    New(new::New),
    Doctor(doctor::Doctor),
}

/// Runs `cargo lunatic` with these arguments, the program's name first, and returns the exit code for the shell.
///
/// The guest's own exit code where a guest ran; cargo's where cargo failed; 101 for other errors, as in cargo; 2 for
/// arguments that are wrong.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(own_arguments(arguments));
    let (shell, result) = match cli.command {
        Command::Run(run) => (run.shell(), run.execute()),
        Command::Build(build) => (build.shell(), build.execute()),
        Command::Test(test) => (test.shell(), test.execute()),
        Command::New(new) => (new.shell(), new.execute()),
        Command::Doctor(doctor) => (doctor.shell(), doctor.execute()),
    };
    let code = result.unwrap_or_else(|error| {
        // What went wrong inside cargo, cargo has said.
        if !matches!(error, Error::Cargo(_)) {
            shell.error(&error);
        }
        error.exit_code()
    });
    // Of a code outside of a byte the shell sees the lowest byte, and it must not see success.
    ExitCode::from(u8::try_from(code).unwrap_or(if code & 0xff == 0 { 1 } else { (code & 0xff) as u8 }))
}

/// Leaves out the `lunatic` that cargo puts between the program's name and the arguments.
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

/// A path as cargo shows it: relative where it lies below the current folder.
fn shown<'a>(path: &'a Path, current: &Path) -> &'a Path {
    path.strip_prefix(current).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
