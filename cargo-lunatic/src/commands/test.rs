//! `cargo lunatic test`: builds tests and runs each as a process on Lunatic.

use std::path::Path;

use clap::Parser;
use lunatic_cli::{HostArgs, TestArgs};

use super::{current_folder, shown};
use crate::args::{Compile, Selection, WideSelection};
use crate::artifact::{Artifact, Kind};
use crate::cargo::{Cargo, Verb};
use crate::error::Error;
use crate::shell::Shell;

/// Run tests on Lunatic, each as a process of its own
#[derive(Debug, clap::Args)]
#[command(after_help = "Run `cargo lunatic test -- --help` for the options of the test runner.")]
pub(super) struct Test {
    /// Run only tests whose name contains this
    #[arg(value_name = "TESTNAME", help_heading = "Arguments", display_order = 1)]
    filter: Option<String>,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    wide: WideSelection,

    #[command(flatten)]
    compile: Compile,

    #[command(flatten)]
    host: HostArgs,

    /// Build the tests, but do not run them
    #[arg(long, help_heading = "Options")]
    no_run: bool,

    /// Run all tests, whatever fails
    #[arg(long, help_heading = "Options")]
    no_fail_fast: bool,

    /// Options of the test runner
    #[arg(value_name = "ARGS", last = true, help_heading = "Arguments", display_order = 2)]
    arguments: Vec<String>,
}

/// What stands behind `--`.
#[derive(Debug, Parser)]
#[command(
    name = "cargo lunatic test --",
    bin_name = "cargo lunatic test --",
    no_binary_name = true
)]
struct Runner {
    #[command(flatten)]
    test: TestArgs,
}

impl Test {
    pub(super) fn shell(&self) -> Shell {
        self.compile.shell()
    }

    pub(super) fn execute(&self) -> Result<i32, Error> {
        let runner = self.runner().unwrap_or_else(|error| error.exit());
        let folder = current_folder()?;
        let cargo = Cargo::new(&folder, &self.compile.config, self.shell())?;
        let mut flags = [self.selection.to_cargo(), self.wide.to_cargo(), self.compile.to_cargo()].concat();
        if self.no_fail_fast {
            flags.push("--no-fail-fast".to_string());
        }
        let mut modules = cargo.build(Verb::BuildTests, &flags)?;
        modules.retain(|artifact| artifact.test);
        modules.sort_by_key(order);
        if self.no_run {
            for module in &modules {
                self.shell().status("Executable", description(module, &folder));
            }
            return Ok(0);
        }
        Ok(self.run(&modules, &runner, &folder))
    }

    fn runner(&self) -> Result<TestArgs, clap::Error> {
        Ok(Runner::try_parse_from(self.filter.iter().chain(&self.arguments))?.test)
    }

    /// Runs one module after the other; ends with the first that fails, or with the last.
    fn run(&self, modules: &[Artifact], runner: &TestArgs, folder: &Path) -> i32 {
        let mut failed = Vec::new();
        let mut code = 0;
        for module in modules {
            self.shell().status("Running", description(module, folder));
            let mut host = self.host.clone();
            host.env
                .push(format!("CARGO_MANIFEST_DIR={}", module.package_folder().display()));
            // As with cargo, tests find the files of their package where they expect them.
            if let Err(error) = std::env::set_current_dir(module.package_folder()) {
                let folder = module.package_folder().display().to_string();
                self.shell()
                    .failure(format!("could not enter the folder {folder}: {error}"));
                return 101;
            }
            let this = lunatic_cli::test(&module.path, runner, &host);
            if this != 0 {
                code = this;
                failed.push(rerun(module));
                if !self.no_fail_fast {
                    break;
                }
            }
        }
        match failed.as_slice() {
            [] => {}
            [one] => self.shell().failure(format!("test failed, to rerun pass `{one}`")),
            _ => self.shell().failure(format!(
                "{} targets failed:\n    `{}`",
                failed.len(),
                failed.join("`\n    `")
            )),
        }
        code
    }
}

/// Unit tests first, then integration tests, as cargo runs them.
fn order(module: &Artifact) -> (std::path::PathBuf, u8, String) {
    let kind = match module.kind {
        Kind::Lib => 0,
        Kind::Bin => 1,
        Kind::Example => 2,
        Kind::Test => 3,
        Kind::Bench => 4,
    };
    (module.manifest.clone(), kind, module.name.clone())
}

/// What is run, as cargo says it: `unittests src/main.rs (target/.../hello.wasm)`.
fn description(module: &Artifact, folder: &Path) -> String {
    let source = shown(&module.source, module.package_folder()).display();
    let path = shown(&module.path, folder).display();
    match module.kind {
        Kind::Test | Kind::Bench => format!("{source} ({path})"),
        _ => format!("unittests {source} ({path})"),
    }
}

/// The flags that select this module alone.
fn rerun(module: &Artifact) -> String {
    match module.kind {
        Kind::Lib => "--lib".to_string(),
        Kind::Bin => format!("--bin {}", module.name),
        Kind::Example => format!("--example {}", module.name),
        Kind::Test => format!("--test {}", module.name),
        Kind::Bench => format!("--bench {}", module.name),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        test: Test,
    }

    fn parse(line: &str) -> Test {
        Line::try_parse_from(["test"].into_iter().chain(line.split_whitespace()))
            .unwrap()
            .test
    }

    #[test]
    fn the_runner_gets_the_name_and_what_stands_behind_the_dashes() {
        let runner = parse("sorts --lib -- --exact --skip slow").runner().unwrap();
        assert_eq!(
            (runner.filter.as_deref(), runner.exact, runner.skip.len()),
            (Some("sorts"), true, 1)
        );
        let runner = parse("-- sorts --nocapture").runner().unwrap();
        assert_eq!((runner.filter.as_deref(), runner.nocapture), (Some("sorts"), true));
        assert!(parse("").runner().unwrap().filter.is_none());
        assert!(parse("-- --no-such-flag").runner().is_err());
    }

    fn module(kind: Kind, name: &str, source: &str) -> Artifact {
        Artifact {
            name: name.to_string(),
            kind,
            test: true,
            path: PathBuf::from("/w/target/a.wasm"),
            source: PathBuf::from("/w/p").join(source),
            manifest: PathBuf::from("/w/p/Cargo.toml"),
        }
    }

    #[test]
    fn modules_are_described_as_cargo_does() {
        let bin = module(Kind::Bin, "p", "src/main.rs");
        assert_eq!(
            description(&bin, Path::new("/w")),
            "unittests src/main.rs (target/a.wasm)"
        );
        assert_eq!(rerun(&bin), "--bin p");
        let test = module(Kind::Test, "outside", "tests/outside.rs");
        assert_eq!(
            description(&test, Path::new("/elsewhere")),
            "tests/outside.rs (/w/target/a.wasm)"
        );
        assert_eq!(rerun(&test), "--test outside");
    }

    #[test]
    fn unit_tests_come_before_integration_tests() {
        let mut modules = [
            module(Kind::Test, "b", "t"),
            module(Kind::Test, "a", "t"),
            module(Kind::Bin, "p", "s"),
            module(Kind::Lib, "p", "l"),
        ];
        modules.sort_by_key(order);
        let names: Vec<_> = modules
            .iter()
            .map(|module| (module.kind, module.name.as_str()))
            .collect();
        assert_eq!(
            names,
            [(Kind::Lib, "p"), (Kind::Bin, "p"), (Kind::Test, "a"), (Kind::Test, "b")]
        );
    }
}
