//! A module that is run again and again, each time as a system of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::verdict::Ended;
use crate::cli::HostArgs;
use crate::wasi::{Dir, Output, Stdin, flags};
use crate::{Module, Runtime, SystemConfig};

/// How often [`Program::run`] calls back.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);

/// What all runs have in common.
pub(super) struct Program<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) module: Arc<Module>,
    /// Environment, folders and limits.
    config: SystemConfig,
    /// The program's name, as it is given to it.
    file: String,
    /// How long a run may take.
    timeout: Option<Duration>,
}

impl<'a> Program<'a> {
    /// # Errors
    ///
    /// When what `host` asks for cannot be given to any system.
    pub(super) fn new(
        runtime: &'a Runtime,
        module: Arc<Module>,
        file: &Path,
        host: &HostArgs,
        timeout: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let mut config = host.system()?;
        add_environment(&mut config.wasi.env, std::env::vars_os());
        add_current_folder(&mut config.wasi.dirs);
        config.wasi.stdin = Stdin::Empty;
        // What is wrong with the folders is wrong for all tests: say it once.
        config.wasi.clone().open()?;
        Ok(Self {
            runtime,
            module,
            config,
            file: file.display().to_string(),
            timeout,
        })
    }

    /// Runs `entry` with these arguments and streams until it ends or has used up its time, and kills what is left of its
    /// system. Calls `watch` now and then meanwhile, with the time since the start.
    pub(super) fn run(
        &self,
        entry: &str,
        args: Vec<String>,
        (stdout, stderr): (Output, Output),
        mut watch: impl FnMut(Duration),
    ) -> Ended {
        let mut config = self.config.clone();
        config.entry = entry.to_owned();
        config.wasi.args = [self.file.clone()].into_iter().chain(args).collect();
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
        stdout.finish();
        stderr.finish();
        ended
    }

    /// Runs `_start` with these arguments and returns what it prints to standard output. What else it says is dropped.
    pub(super) fn ask(&self, args: Vec<String>) -> (Ended, Vec<u8>) {
        let (output, capture) = Output::captured();
        let ended = self.run("_start", args, (output, Output::discard()), |_| {});
        (ended, capture.take())
    }
}

/// Adds the host's variables, except those that are set already and those that no program can receive.
fn add_environment(
    env: &mut Vec<(String, String)>,
    host: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) {
    let given = std::mem::take(env);
    for (name, value) in host {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string())
            && !name.is_empty()
            && !name.contains('=')
        {
            env.push((name, value));
        }
    }
    for (name, value) in given {
        flags::set_env(env, name, value);
    }
}

/// Adds the current folder, as `.` and under its own name, for those who name files by `CARGO_MANIFEST_DIR`.
fn add_current_folder(dirs: &mut Vec<Dir>) {
    let current = std::env::current_dir().ok();
    let own_name = current.as_deref().and_then(Path::to_str).map(str::to_owned);
    for guest in [Some(".".to_owned()), own_name].into_iter().flatten() {
        if !dirs.iter().any(|dir| dir.guest == guest) {
            dirs.push(Dir {
                host: ".".into(),
                guest,
                read_only: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn programs_get_the_hosts_variables() {
        let mut env = vec![("A".to_owned(), "given".to_owned())];
        let host = [("A", "host"), ("B", "2"), ("", "nameless"), ("=C:", "odd")];
        let host = host.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        add_environment(&mut env, host.into_iter());
        assert_eq!(
            env,
            [("A", "given"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[cfg(unix)]
    #[test]
    fn variables_that_are_not_unicode_are_left_out() {
        use std::os::unix::ffi::OsStringExt;
        let mut env = Vec::new();
        let host = [
            ("A".into(), OsString::from_vec(vec![0xff])),
            (OsString::from_vec(vec![0xff]), "1".into()),
        ];
        add_environment(&mut env, host.into_iter());
        assert_eq!(env, []);
    }

    #[test]
    fn the_current_folder_is_given_unless_its_names_are_taken() {
        let own = std::env::current_dir().unwrap().to_str().unwrap().to_owned();
        let guests = |dirs: &[Dir]| dirs.iter().map(|dir| dir.guest.clone()).collect::<Vec<_>>();
        let mut dirs = Vec::new();
        add_current_folder(&mut dirs);
        assert_eq!(guests(&dirs), [".".to_owned(), own.clone()]);
        let mut dirs = vec![flags::parse_dir("/tmp::.").unwrap()];
        add_current_folder(&mut dirs);
        assert_eq!(guests(&dirs), [".".to_owned(), own]);
        assert_eq!(dirs[0].host, Path::new("/tmp"));
    }
}
