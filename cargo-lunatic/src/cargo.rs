//! Calls cargo with the toolchain and the flags for guests, and reads what it built.

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

/// What cargo is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Build what is selected.
    Build,
    /// Build the tests of what is selected, and the programs they need.
    BuildTests,
}

impl Verb {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Verb::Build => &["build"],
            Verb::BuildTests => &["test", "--no-run"],
        }
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
    /// Gets ready to call cargo in `folder` with these `--config` arguments; finds or makes the toolchain.
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

    /// Builds what `arguments` select. Cargo's progress and diagnostics go to stderr as ever.
    ///
    /// A build that wants a C compiler for guests where none is there gets one, if that can be installed.
    pub(crate) fn build(&self, verb: Verb, arguments: &[String]) -> Result<Vec<Artifact>, Error> {
        let env = Environment::Process;
        let compiler = match c::find(&env) {
            c::Found::Chosen => return self.build_with(verb, arguments, &[]),
            c::Found::Compiler(compiler) => return self.build_with(verb, arguments, &compiler.variables(&env)),
            c::Found::Missing => c::StandIn::new().map_err(Error::CargoOutput)?,
        };
        let stand_in = [("CC_wasm32_wasip1", compiler.program().into_os_string())];
        let built = self.build_with(verb, arguments, &stand_in);
        if built.is_ok() || !compiler.was_wanted() {
            return built;
        }
        debian::install_c(self.shell).map_err(Error::NoCCompiler)?;
        match c::find(&env) {
            c::Found::Compiler(compiler) => self.build_with(verb, arguments, &compiler.variables(&env)),
            _ => built,
        }
    }

    fn build_with(
        &self,
        verb: Verb,
        arguments: &[String],
        variables: &[(&str, OsString)],
    ) -> Result<Vec<Artifact>, Error> {
        let mut command = self.command();
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
            .args(verb.arguments())
            .args(["--target", TARGET, "--message-format=json-render-diagnostics"]);
        match &self.carrier {
            Carrier::Nothing => {}
            Carrier::Variable(name, value) => drop(command.env(name, value)),
            Carrier::Config(argument) => drop(command.args(["--config", argument])),
        }
        command.args(arguments);
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

    /// The packages of the workspace, without what they depend on.
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

    /// Starts `command`, hands its stdout to `read` and waits for its end.
    fn read(
        &self,
        mut command: Command,
        read: impl FnOnce(std::process::ChildStdout) -> Result<(), Error>,
    ) -> Result<ExitStatus, Error> {
        let start = |source| Error::StartCargo {
            program: self.toolchain.cargo.clone(),
            source,
        };
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(start)?;
        let result = child.stdout.take().map_or(Ok(()), read);
        let status = child.wait().map_err(Error::CargoOutput)?;
        // A cargo that failed has said why; that its output broke off is no more than a consequence.
        if status.success() {
            result?;
        }
        Ok(status)
    }

    fn command(&self) -> Command {
        command(&self.toolchain, self.folder)
    }
}

/// A C compiler for guests: one that is there, or one that can be installed.
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

/// Cargo of this toolchain in `folder`, without what an outer cargo left in the environment.
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

fn failed(status: ExitStatus) -> Error {
    Error::Cargo(status.code().unwrap_or(101))
}
