//! `cargo lunatic bench`: builds benchmarks and runs each as a program on Lunatic.

use std::path::Path;

use lunatic_cli::HostArgs;

use super::{current_folder, shown};
use crate::args::{Compile, Selection};
use crate::artifact::{Artifact, Kind};
use crate::cargo::{Cargo, Verb};
use crate::error::Error;
use crate::rights_file;
use crate::shell::Shell;

/// Run the benchmarks in `benches` on Lunatic, one after the other
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A benchmark is a program: set `harness = false` in its `[[bench]]`. As with cargo, it gets `--bench`, \
                        BENCHNAME and ARGS as arguments, and is built with the profile `bench`. It may use the folder of its \
                        package and the environment, as tests may."
)]
pub(super) struct Bench {
    /// Run only benchmarks whose name contains this, if the harness supports filters
    #[arg(value_name = "BENCHNAME", help_heading = "Arguments", display_order = 1)]
    filter: Option<String>,

    #[command(flatten)]
    selection: Selection,

    /// Only the benchmark with this name
    #[arg(long, value_name = "NAME", help_heading = "Target selection")]
    bench: Vec<String>,

    /// All packages of the workspace
    #[arg(long, visible_alias = "all", help_heading = "Package selection")]
    workspace: bool,

    #[command(flatten)]
    compile: Compile,

    #[command(flatten)]
    host: HostArgs,

    /// Build the benchmarks without running them
    #[arg(long, help_heading = "Options")]
    no_run: bool,

    /// Run all benchmarks, even after one has failed
    #[arg(long, help_heading = "Options")]
    no_fail_fast: bool,

    /// Arguments for the benchmarks
    #[arg(value_name = "ARGS", last = true, help_heading = "Arguments", display_order = 2)]
    arguments: Vec<String>,
}

impl Bench {
    pub(super) fn shell(&self) -> Shell {
        self.compile.shell()
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        let folder = current_folder()?;
        let cargo = Cargo::new(&folder, &self.compile.config, self.shell())?;
        let mut modules = cargo.call(Verb::BuildBenches, &self.to_cargo())?;
        modules.retain(|artifact| artifact.kind == Kind::Bench);
        modules.sort_by_key(|module| (module.manifest.clone(), module.name.clone()));
        if modules.is_empty() {
            self.shell().failure(
                "there are no benchmarks: add a program to `benches`, and `[[bench]]` with its `name` and `harness = false` to \
                 Cargo.toml",
            );
            return Ok(101);
        }
        if self.no_run {
            for module in &modules {
                self.shell().status("Executable", description(module, &folder));
            }
            return Ok(0);
        }
        let mut host = self.host.clone();
        rights_file::begin_in(&mut host, &folder);
        Ok(self.run(&modules, &host, &folder))
    }

    /// The arguments for cargo. Without a selection, only benchmarks are built, and not the libraries and programs of the
    /// package as benchmarks of libtest, of which stable Rust has none.
    fn to_cargo(&self) -> Vec<String> {
        let mut flags = [self.selection.to_cargo(), self.compile.to_cargo()].concat();
        if self.workspace {
            flags.push("--workspace".to_string());
        }
        match self.bench.is_empty() && !self.selection.names_target() {
            true => flags.push("--benches".to_string()),
            false => flags.extend(self.bench.iter().map(|name| format!("--bench={name}"))),
        }
        flags
    }

    /// Runs the modules in turn; stops after the first that fails.
    fn run(&self, modules: &[Artifact], host: &HostArgs, folder: &Path) -> i32 {
        let arguments: Vec<String> = self.filter.iter().chain(&self.arguments).cloned().collect();
        let (mut failed, mut code) = (Vec::new(), 0);
        for module in modules {
            self.shell().status("Running", description(module, folder));
            // As with cargo, the current folder of a benchmark is that of its package.
            if let Err(error) = std::env::set_current_dir(module.package_folder()) {
                let folder = module.package_folder().display();
                self.shell()
                    .failure(format!("could not enter the folder {folder}: {error}"));
                return 101;
            }
            let this = lunatic_cli::bench(&module.path, &arguments, host);
            if this != 0 {
                code = this;
                failed.push(format!("--bench {}", module.name));
                if !self.no_fail_fast {
                    break;
                }
            }
        }
        if !failed.is_empty() {
            let failed = failed.join("`, `");
            self.shell().failure(format!("bench failed, to rerun pass `{failed}`"));
        }
        code
    }
}

fn description(module: &Artifact, folder: &Path) -> String {
    let source = shown(&module.source, module.package_folder()).display();
    format!("{source} ({})", shown(&module.path, folder).display())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let words = ["bench"].into_iter().chain(line.split_whitespace());
        let bench = Line::try_parse_from(words)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .bench;
        assert_eq!(bench.to_cargo().join(" "), expected, "{line}");
    }

    #[test]
    fn cargo_builds_what_is_selected() {
        check("", "--benches");
        check("sort -- --quick", "--benches");
        check("--bench sort -p a", "--package=a --bench=sort");
        check("--workspace --profile dev", "--profile=dev --workspace --benches");
    }

    #[test]
    fn the_name_and_what_stands_behind_the_dashes_are_for_the_benchmarks() {
        let bench = Line::parse_from(["bench", "sort", "--", "--quick"]).bench;
        assert_eq!(
            (bench.filter.as_deref(), bench.arguments),
            (Some("sort"), vec!["--quick".to_owned()])
        );
    }
}
