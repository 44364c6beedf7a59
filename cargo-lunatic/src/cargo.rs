//! Calls cargo with the toolchain and the flags for guests, and collects what it builds.

use std::ffi::OsString;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use cargo_metadata::{Message, Metadata, MetadataCommand};

use crate::artifact::Artifact;
use crate::config::Config;
use crate::environment::{Environment, is_left_by_cargo};
use crate::error::Error;
use crate::rustflags::{self, Carrier};
use crate::shell::Shell;
use crate::toolchain::{Search, Toolchain, c, debian};
use crate::{TARGET, toolchain};

/// What cargo does with guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// The selected targets.
    Build,
    /// The tests of the selected targets, and the programs that these need.
    BuildTests,
    /// The benchmarks of the selected targets.
    BuildBenches,
    /// Checks the selected targets without building them.
    Check,
    /// Checks them with Clippy.
    Clippy,
    /// Builds their documentation.
    Doc,
}

impl Verb {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Verb::Build => &["build"],
            Verb::BuildTests => &["test", "--no-run"],
            Verb::BuildBenches => &["bench", "--no-run"],
            Verb::Check => &["check"],
            Verb::Clippy => &["clippy"],
            Verb::Doc => &["doc"],
        }
    }

    /// Whether programs come out, which cargo reports on stdout. Otherwise, stdout is the user's.
    fn makes_programs(self) -> bool {
        matches!(self, Verb::Build | Verb::BuildTests | Verb::BuildBenches)
    }
}

/// Cargo in one folder, with a toolchain that can build guests.
#[derive(Debug)]
pub(crate) struct Cargo<'a> {
    folder: &'a Path,
    toolchain: Toolchain,
    carrier: Carrier,
    shell: Shell,
}

impl<'a> Cargo<'a> {
    /// Prepares to call cargo in `folder` with these `--config` arguments; finds or makes the toolchain.
    pub(crate) fn new(folder: &'a Path, config: &[String], shell: Shell) -> Result<Cargo<'a>, toolchain::Missing> {
        let env = Environment::Process;
        let config = Config::load(folder, config, &env);
        let carrier = rustflags::carrier(&config, &env);
        let toolchain = Search {
            folder,
            config: &config,
            env: &env,
            shell,
        }
        .find_or_make()?;
        Ok(Cargo {
            folder,
            toolchain,
            carrier,
            shell,
        })
    }

    /// Calls cargo with `verb` for the targets that `arguments` select, and returns the programs that were built. Cargo's
    /// progress and diagnostics go to stderr as usual.
    ///
    /// If the build needs a C compiler for guests and there is none, one is installed where possible.
    pub(crate) fn call(&self, verb: Verb, arguments: &[String]) -> Result<Vec<Artifact>, Error> {
        let env = Environment::Process;
        let compiler = match c::find(&env) {
            c::Found::Chosen => return self.call_with(verb, arguments, &[]),
            c::Found::Compiler(compiler) => return self.call_with(verb, arguments, &compiler.variables(&env)),
            c::Found::Missing => c::StandIn::new().map_err(Error::CargoOutput)?,
        };
        let stand_in = [("CC_wasm32_wasip1", compiler.program().into_os_string())];
        let built = self.call_with(verb, arguments, &stand_in);
        if built.is_ok() || !compiler.was_wanted() {
            return built;
        }
        debian::install_c(self.shell).map_err(Error::NoCCompiler)?;
        match c::find(&env) {
            c::Found::Compiler(compiler) => self.call_with(verb, arguments, &compiler.variables(&env)),
            _ => built,
        }
    }

    fn call_with(
        &self,
        verb: Verb,
        arguments: &[String],
        variables: &[(&str, OsString)],
    ) -> Result<Vec<Artifact>, Error> {
        let mut command = self.verb_command(verb, arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        if !verb.makes_programs() {
            let status = command.status().map_err(|source| self.not_started(source))?;
            return if status.success() {
                Ok(Vec::new())
            } else {
                Err(failed(status))
            };
        }
        let mut artifacts = Vec::new();
        let status = self.read(command, |stdout| {
            for message in Message::parse_stream(BufReader::new(stdout)) {
                if let Message::CompilerArtifact(artifact) = message.map_err(Error::CargoOutput)? {
                    artifacts.extend(Artifact::from_message(artifact));
                }
            }
            Ok(())
        })?;
        if status.success() {
            Ok(artifacts)
        } else {
            Err(failed(status))
        }
    }

    /// Cargo with a verb, its arguments, and the target and flags of guests. Ours come before the user's, which may end
    /// with arguments for another program.
    fn verb_command(&self, verb: Verb, arguments: &[String]) -> Command {
        let mut command = self.command();
        command.args(verb.arguments()).args(["--target", TARGET]);
        if verb.makes_programs() {
            command.arg("--message-format=json-render-diagnostics");
        }
        match &self.carrier {
            Carrier::Nothing => {}
            Carrier::Variable(name, value) => drop(command.env(name, value)),
            Carrier::Config(argument) => drop(command.args(["--config", argument])),
        }
        command.args(arguments);
        command
    }

    /// The packages of the workspace, without their dependencies.
    pub(crate) fn metadata(&self, arguments: &[String]) -> Result<Metadata, Error> {
        let mut command = self.command();
        command
            .args(["metadata", "--no-deps", "--format-version=1"])
            .args(arguments);
        let mut text = String::new();
        let status = self.read(command, |mut stdout| {
            std::io::Read::read_to_string(&mut stdout, &mut text)
                .map(drop)
                .map_err(Error::CargoOutput)
        })?;
        if !status.success() {
            return Err(failed(status));
        }
        MetadataCommand::parse(text).map_err(|error| Error::CargoOutput(std::io::Error::other(error)))
    }

    /// Starts `command`, passes its stdout to `read` and waits until it exits.
    fn read(
        &self,
        mut command: Command,
        read: impl FnOnce(std::process::ChildStdout) -> Result<(), Error>,
    ) -> Result<ExitStatus, Error> {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|source| self.not_started(source))?;
        let result = child.stdout.take().map_or(Ok(()), read);
        let status = child.wait().map_err(Error::CargoOutput)?;
        // A cargo that failed has already reported why; its truncated output is only a consequence.
        if status.success() {
            result?;
        }
        Ok(status)
    }

    fn not_started(&self, source: std::io::Error) -> Error {
        Error::StartCargo {
            program: self.toolchain.cargo.clone(),
            source,
        }
    }

    fn command(&self) -> Command {
        command(&self.toolchain, self.folder)
    }
}

/// A C compiler for guests: an existing one, or one that can be installed.
pub(crate) fn c_compiler(shell: Shell) -> Result<c::CCompiler, Error> {
    let env = Environment::Process;
    if let c::Found::Compiler(compiler) = c::find(&env) {
        return Ok(compiler);
    }
    debian::install_c(shell).map_err(Error::NoCCompiler)?;
    match c::find(&env) {
        c::Found::Compiler(compiler) => Ok(compiler),
        c::Found::Chosen | c::Found::Missing => {
            let why = "it is not found although it was installed, or CC_wasm32_wasip1 chooses another";
            Err(Error::NoCCompiler(toolchain::Attempt::new(
                "clang for WebAssembly",
                why,
            )))
        }
    }
}

/// Cargo of this toolchain in `folder`, without the variables that an outer cargo has set.
pub(crate) fn command(toolchain: &Toolchain, folder: &Path) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if is_left_by_cargo(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    if let Some(rustc) = &toolchain.rustc {
        command.env("RUSTC", rustc);
    }
    if let Some(rustdoc) = &toolchain.rustdoc {
        command.env("RUSTDOC", rustdoc);
    }
    command
}

/// The failure of cargo. If a signal has ended it, callers expect the code that a shell would report.
fn failed(status: ExitStatus) -> Error {
    Error::Cargo(status.code().or_else(|| code_of_signal(status)).unwrap_or(101))
}

#[cfg(unix)]
fn code_of_signal(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal().map(|signal| 128 + signal)
}

#[cfg(not(unix))]
fn code_of_signal(_: ExitStatus) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_signal_has_the_code_that_a_shell_reports() {
        use std::os::unix::process::ExitStatusExt as _;
        for (raw, expected) in [(2, 130), (15, 143), (101 << 8, 101), (1 << 8, 1)] {
            let code = match failed(ExitStatus::from_raw(raw)) {
                Error::Cargo(code) => code,
                other => panic!("{other}"),
            };
            assert_eq!(code, expected);
        }
    }
    use crate::toolchain::Way;

    /// Asserts how cargo is called for `line`: the variables that are set, the program and its arguments.
    #[track_caller]
    fn check(verb: Verb, carrier: Carrier, line: &str, expected: &str) {
        let cargo = Cargo {
            folder: Path::new("/p"),
            toolchain: Toolchain {
                way: Way::Debian,
                cargo: "/bin/cargo".into(),
                rustc: Some("/t/rustc".into()),
                rustdoc: Some("/t/rustdoc".into()),
                library_folder: "/t/lib".into(),
            },
            carrier,
            shell: Shell::new(true, None),
        };
        let arguments: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        let command = cargo.verb_command(verb, &arguments);
        assert_eq!(command.get_current_dir(), Some(Path::new("/p")));
        let set = command
            .get_envs()
            .filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words = words.map(|word| word.display().to_string());
        let line: Vec<String> = set.chain(words).collect();
        assert_eq!(line.join(" "), expected);
    }

    #[test]
    fn every_verb_has_the_target_the_toolchain_and_the_flags() {
        let config = || Carrier::Config("k=['-x']".to_string());
        let toolchain = "RUSTC=/t/rustc RUSTDOC=/t/rustdoc /bin/cargo";
        for (verb, line, expected) in [
            (
                Verb::Build,
                "-r",
                "build --target wasm32-wasip1 --message-format=json-render-diagnostics --config k=['-x'] -r",
            ),
            (
                Verb::BuildTests,
                "--lib",
                "test --no-run --target wasm32-wasip1 --message-format=json-render-diagnostics --config k=['-x'] --lib",
            ),
            (
                Verb::Check,
                "--tests --message-format json",
                "check --target wasm32-wasip1 --config k=['-x'] --tests --message-format json",
            ),
            (
                Verb::Clippy,
                "-p a -- -D warnings",
                "clippy --target wasm32-wasip1 --config k=['-x'] -p a -- -D warnings",
            ),
            (
                Verb::Doc,
                "--no-deps --open",
                "doc --target wasm32-wasip1 --config k=['-x'] --no-deps --open",
            ),
        ] {
            check(verb, config(), line, &format!("{toolchain} {expected}"));
        }
    }

    #[test]
    fn the_flags_travel_where_the_users_flags_are() {
        check(
            Verb::Check,
            Carrier::Variable("RUSTFLAGS", "-g -x".into()),
            "",
            "RUSTC=/t/rustc RUSTDOC=/t/rustdoc RUSTFLAGS=-g -x /bin/cargo check --target wasm32-wasip1",
        );
        check(
            Verb::Check,
            Carrier::Nothing,
            "",
            "RUSTC=/t/rustc RUSTDOC=/t/rustdoc /bin/cargo check --target wasm32-wasip1",
        );
    }
}
