//! `cargo lunatic run`: builds one program and runs it.

use std::path::{Path, PathBuf};

#[cfg(unix)]
use lunatic_cli::Configuration;
use lunatic_cli::HostArgs;

use super::{current_folder, shown};
use crate::args::{Compile, Selection};
use crate::artifact::Artifact;
use crate::cargo::{Cargo, Verb};
use crate::error::Error;
use crate::shell::Shell;
#[cfg(unix)]
use crate::watch::{self, Way};
use crate::{rights_file, select};

/// Run a program on Lunatic
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: the program's own; 101 if its main process panicked or it could not be built, \
                        134 if it trapped, 70 for a deadlock."
)]
pub(super) struct Run {
    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    compile: Compile,

    #[command(flatten)]
    host: HostArgs,

    /// Rebuild when a source file changes, and upgrade the running program
    #[cfg(unix)]
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "upgrade")]
    watch: Option<Way>,

    /// Run the program on the first of N nodes, which are all in this process: see `lunatic::node`
    #[cfg(unix)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    nodes: Option<u32>,

    /// Run this module, which `--watch` has built
    #[arg(long, hide = true, value_name = "FILE")]
    built: Option<PathBuf>,

    /// The folder of the module's package
    #[arg(long, hide = true, value_name = "FOLDER", requires = "built")]
    built_in: Option<PathBuf>,

    /// Arguments for the program
    #[arg(value_name = "ARGS", trailing_var_arg = true, help_heading = "Arguments")]
    arguments: Vec<String>,
}

impl Run {
    pub(super) fn shell(&self) -> Shell {
        self.compile.shell()
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        let shell = self.shell();
        let folder = current_folder()?;
        if let Some(file) = &self.built {
            return self.run_in(file, self.built_in.as_deref().unwrap_or(&folder), &folder);
        }
        #[cfg(unix)]
        if let Some(way) = self.watch {
            let door = self.host.admin.as_deref();
            return watch::watch(shell, way, (&folder, door), &|| self.build(&folder, shell));
        }
        let program = self.build(&folder, shell)?;
        self.run_in(&program.path, program.package_folder(), &folder)
    }

    /// Builds the selected program.
    fn build(&self, folder: &Path, shell: Shell) -> Result<Artifact, Error> {
        let cargo = Cargo::new(folder, &self.compile.config, shell)?;
        let mut flags = [self.selection.to_cargo(), self.compile.to_cargo()].concat();
        if !self.selection.names_target() {
            let metadata = cargo.metadata(&self.compile.to_metadata())?;
            flags.extend(select::default_bin(&metadata, &self.selection.package)?.map(|name| format!("--bin={name}")));
        }
        Ok(select::only_program(cargo.call(Verb::Build, &flags)?)?)
    }

    /// Runs a module with the rights of its package.
    fn run_in(&self, file: &Path, package: &Path, folder: &Path) -> Result<i32, Error> {
        let shell = self.shell();
        let path = shown(file, folder);
        let line = [path.display().to_string()]
            .into_iter()
            .chain(self.arguments.iter().cloned());
        shell.status("Running", format!("`{}`", line.collect::<Vec<_>>().join(" ")));
        let mut host = self.host.clone();
        #[cfg(unix)]
        {
            host.node = self.nodes.map(lunatic_cli::NodeArgs::local);
        }
        if let Some((_, file)) = rights_file::read(package)? {
            file.add_to(&mut host, package);
            #[cfg(unix)]
            if self.host.log.level.is_none() {
                host.configuration = Some(configuration(package));
            }
        }
        Ok(lunatic_cli::run(path, &self.arguments, &host))
    }
}

/// The part of a package's file that can be read again; a flag takes precedence.
#[cfg(unix)]
fn configuration(package: &Path) -> Configuration {
    let folder = package.to_owned();
    Configuration::new(package.to_owned(), move || {
        let file = rights_file::read(&folder)?;
        Ok(file.and_then(|(_, file)| file.log_level()))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        run: Run,
    }

    #[track_caller]
    fn check(line: &str, flags: &str, arguments: &str) {
        let Line { run } = Line::try_parse_from(["run"].into_iter().chain(line.split_whitespace())).unwrap();
        assert_eq!(
            [run.selection.to_cargo(), run.compile.to_cargo()].concat().join(" "),
            flags,
            "{line}"
        );
        assert_eq!(run.arguments.join(" "), arguments, "{line}");
    }

    #[test]
    fn the_programs_arguments_are_its_own() {
        check("--example power -r", "--example=power --release", "");
        check("-r -- -r --bin x", "--release", "-r --bin x");
        check("--bin x one --two -3", "--bin=x", "one --two -3");
        check("-- -- x", "", "-- x");
    }

    #[test]
    fn the_hosts_flags_are_taken() {
        let line = ["run", "--dir", "/tmp", "--workers=2", "--env=A=1", "x"];
        let Line { run } = Line::try_parse_from(line).unwrap();
        assert_eq!(
            (run.host.dirs.len(), run.host.workers, run.host.env.len()),
            (1, Some(2), 1)
        );
        assert_eq!(run.arguments, ["x"]);
    }
}
