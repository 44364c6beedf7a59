//! A module that is run repeatedly, each time as a system of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use lunatic_host::log::Log;
use lunatic_host::wasi::{Output, Stdin};
use lunatic_host::{Module, Runtime, SystemConfig};

use super::verdict::Ended;
use crate::HostArgs;
use crate::trust::{add_current_folder, add_environment, trust};

/// The interval of the callback of [`Program::run`].
const WATCH_INTERVAL: Duration = Duration::from_millis(20);

/// What all runs have in common.
pub(super) struct Program<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) module: Arc<Module>,
    /// Environment, folders and limits.
    config: SystemConfig,
    /// How records are logged; each run has a log of its own.
    log: Log,
    /// The program's name, as passed to it.
    file: String,
    /// What exported tests get instead of the name, if they use the interface of Lunatic 0.13.
    guest_args: Option<Vec<String>>,
    /// How long a run may take.
    timeout: Option<Duration>,
}

impl<'a> Program<'a> {
    /// # Errors
    ///
    /// If no system can be given what `host` asks for.
    pub(super) fn new(
        runtime: &'a Runtime,
        module: Arc<Module>,
        file: &Path,
        host: &HostArgs,
        guest_args: &[String],
        timeout: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let mut config = host.system()?;
        config.dumps = host.dumps.open()?;
        let is_compat = crate::compat::is_compat(&module);
        if !is_compat && !guest_args.is_empty() {
            bail!("only tests of the interface of Lunatic 0.13 take arguments after `--`: leave them out");
        }
        if is_compat {
            trust(&mut config);
        } else {
            add_environment(&mut config.wasi.env, std::env::vars_os());
            add_current_folder(&mut config.wasi.dirs);
        }
        config.wasi.stdin = Stdin::Empty;
        // An error of the folders concerns all tests: report it once.
        config.wasi.clone().open()?;
        Ok(Self {
            runtime,
            module,
            config,
            log: host.log.on(&Output::discard())?,
            file: file.display().to_string(),
            guest_args: is_compat.then(|| guest_args.to_vec()),
            timeout,
        })
    }

    /// Runs `entry` with these arguments and streams until it ends or its time is up, and kills the rest of its system.
    /// Meanwhile, calls `watch` repeatedly with the time since the start.
    pub(super) fn run(
        &self,
        entry: &str,
        args: Vec<String>,
        (stdout, stderr): (Output, Output),
        mut watch: impl FnMut(Duration),
    ) -> Ended {
        let mut config = self.config.clone();
        config.entry = entry.to_owned();
        config.wasi.args = match &self.guest_args {
            Some(args) if entry != "_start" => args.clone(),
            _ => [self.file.clone()].into_iter().chain(args).collect(),
        };
        config.log = Some(self.log.on(stderr.clone()));
        (config.wasi.stdout, config.wasi.stderr) = (stdout.clone(), stderr.clone());
        let start = Instant::now();
        let ended = match self.runtime.start(&self.module, config) {
            Err(error) => Ended::NotStarted(format!("{error:#}")),
            Ok(system) => loop {
                let left = self
                    .timeout
                    .map_or(Duration::MAX, |timeout| timeout.saturating_sub(start.elapsed()));
                if let Some(reason) = system.wait_timeout(left.min(WATCH_INTERVAL)) {
                    break Ended::Reason(reason);
                }
                match self.timeout {
                    Some(timeout) if start.elapsed() >= timeout => break Ended::TimedOut(timeout),
                    _ => watch(start.elapsed()),
                }
            },
        };
        // Lines that nobody will finish.
        if let Some(dumps) = &self.config.dumps {
            dumps.finish();
        }
        stdout.finish();
        stderr.finish();
        ended
    }

    /// Runs `_start` with these arguments and returns what it prints to standard output. Discards its other output.
    pub(super) fn ask(&self, args: Vec<String>) -> (Ended, Vec<u8>) {
        let (output, capture) = Output::captured();
        let ended = self.run("_start", args, (output, Output::discard()), |_| {});
        (ended, capture.take())
    }
}
