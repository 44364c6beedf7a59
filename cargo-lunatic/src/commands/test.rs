//! `cargo lunatic test`: builds tests and runs each as a process on Lunatic.

use std::path::{Path, PathBuf};

use clap::Parser;
use clap::builder::PossibleValuesParser;
use lunatic_cli::{HostArgs, Junit, TestArgs, TestFormat};

use super::{current_folder, shown};
use crate::args::{Compile, Selection, WideSelection};
use crate::artifact::{Artifact, Kind};
use crate::cargo::{Cargo, Verb};
use crate::error::Error;
use crate::rights_file;
use crate::shell::Shell;

/// Run tests on Lunatic, each as a separate program
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

    /// Build the tests without running them
    #[arg(long, help_heading = "Options")]
    no_run: bool,

    /// Run all tests, even after one has failed
    #[arg(long, help_heading = "Options")]
    no_fail_fast: bool,

    /// Format of the results: json prints one object a line, as libtest does
    #[arg(long, value_name = "FMT", help_heading = "Options",
          value_parser = PossibleValuesParser::new(["human", "short", "json"]))]
    message_format: Option<String>,

    /// Also write the results of all test programs to this file, in the format of JUnit
    #[arg(long, value_name = "FILE", help_heading = "Options")]
    junit: Option<PathBuf>,

    /// Options of the test runner
    #[arg(value_name = "ARGS", last = true, help_heading = "Arguments", display_order = 2)]
    arguments: Vec<String>,
}

/// The arguments after `--`.
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
        let mut runner = self.runner().unwrap_or_else(|error| error.exit());
        let folder = current_folder()?;
        // Before the current folder becomes that of a package.
        runner.report = match &runner.junit {
            Some(path) if !self.no_run => Some(create(path)?),
            _ => None,
        };
        let cargo = Cargo::new(&folder, &self.compile.config, self.shell())?;
        let mut flags = [self.selection.to_cargo(), self.wide.to_cargo(), self.compile.to_cargo()].concat();
        if self.no_fail_fast {
            flags.push("--no-fail-fast".to_string());
        }
        let mut host = self.host.clone();
        rights_file::begin_in(&mut host, &folder);
        let mut modules = cargo.call(Verb::BuildTests, &flags)?;
        modules.retain(|artifact| artifact.test);
        modules.sort_by_key(order);
        if self.no_run {
            for module in &modules {
                self.shell().status("Executable", description(module, &folder));
            }
            return Ok(0);
        }
        Ok(self.run(&modules, &mut runner, &host, &folder))
    }

    fn runner(&self) -> Result<TestArgs, clap::Error> {
        let mut runner = Runner::try_parse_from(self.filter.iter().chain(&self.arguments))?.test;
        match self.message_format.as_deref() {
            Some("json") => runner.format = TestFormat::Json,
            Some("short") => runner.format = TestFormat::Terse,
            _ => {}
        }
        if self.junit.is_some() {
            runner.junit.clone_from(&self.junit);
        }
        Ok(runner)
    }

    /// Runs the modules in turn; stops after the first that fails.
    fn run(&self, modules: &[Artifact], runner: &mut TestArgs, host: &HostArgs, folder: &Path) -> i32 {
        let mut failed = Vec::new();
        let mut code = 0;
        for module in modules {
            self.shell().status("Running", description(module, folder));
            let mut host = host.clone();
            host.env
                .push(format!("CARGO_MANIFEST_DIR={}", module.package_folder().display()));
            // As with cargo, the current folder of a test is that of its package.
            if let Err(error) = std::env::set_current_dir(module.package_folder()) {
                let folder = module.package_folder().display().to_string();
                self.shell()
                    .failure(format!("could not enter the folder {folder}: {error}"));
                return 101;
            }
            runner.suite = Some(suite(module));
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

fn create(path: &Path) -> Result<Junit, Error> {
    Junit::create(path).map_err(|source| Error::File {
        action: "create",
        path: path.to_path_buf(),
        source,
    })
}

/// The name of the module in results: as its flag selects it, without dashes, or the name of the library.
fn suite(module: &Artifact) -> String {
    match module.kind {
        Kind::Lib => module.name.clone(),
        Kind::Bin => format!("bin/{}", module.name),
        Kind::Example => format!("example/{}", module.name),
        Kind::Test => format!("test/{}", module.name),
        Kind::Bench => format!("bench/{}", module.name),
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

/// The module as cargo names it: `unittests src/main.rs (target/.../hello.wasm)`.
fn description(module: &Artifact, folder: &Path) -> String {
    let source = shown(&module.source, module.package_folder()).display();
    let path = shown(&module.path, folder).display();
    match module.kind {
        Kind::Test | Kind::Bench => format!("{source} ({path})"),
        _ => format!("unittests {source} ({path})"),
    }
}

/// The flags that select only this module.
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
            (&*runner.filters, runner.exact, runner.skip.len()),
            (&["sorts".to_owned()][..], true, 1)
        );
        let runner = parse("-- sorts --nocapture").runner().unwrap();
        assert_eq!((runner.filters.join(" "), runner.nocapture), ("sorts".into(), true));
        let runner = parse("parses -- prints --exact sorts").runner().unwrap();
        assert_eq!(
            (runner.filters.join(" "), runner.exact),
            ("parses prints sorts".into(), true)
        );
        assert!(parse("").runner().unwrap().filters.is_empty());
        assert!(parse("-- --no-such-flag").runner().is_err());
    }

    #[test]
    fn results_can_be_for_programs() {
        let runner = parse("--message-format json --junit a.xml").runner().unwrap();
        assert_eq!((runner.format, runner.junit), (TestFormat::Json, Some("a.xml".into())));
        let runner = parse("--message-format=short -- --junit b.xml").runner().unwrap();
        assert_eq!((runner.format, runner.junit), (TestFormat::Terse, Some("b.xml".into())));
        assert_eq!(parse("-- --format json").runner().unwrap().format, TestFormat::Json);
        assert!(Line::try_parse_from(["test", "--message-format=xml"]).is_err());
        assert!(create(Path::new("/no/such/folder/a.xml")).is_err());
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
        assert_eq!((suite(&bin), suite(&test)), ("bin/p".into(), "test/outside".into()));
        assert_eq!(suite(&module(Kind::Lib, "p", "src/lib.rs")), "p");
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
