//! A program that is watched: a process of its own, with an admin door.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use lunatic_admin::upgrade::UpgradeView;
use lunatic_admin::{Client, Trouble};
use rustix::process::{Pid, Signal, kill_process};

use super::Asked;
use crate::artifact::Artifact;
use crate::error::Error;

/// How often the progress of an upgrade is requested.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How often it is checked whether a program that is to end has ended.
const END_EVERY: Duration = Duration::from_millis(20);
/// How long a program that has just been started may take to open its door.
const DOOR_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a version may take to compile.
const COMPILE_TIME: Duration = Duration::from_secs(300);

/// The result of an upgrade.
pub(super) struct Upgraded {
    /// Processes that run the new version.
    pub(super) changed: usize,
    /// Processes that have no point of change.
    pub(super) left: usize,
}

/// A program that runs or has ended.
pub(super) struct Program {
    child: Child,
    door: Client,
}

impl Program {
    /// Starts a program that was built: runs this command again, with the same arguments, on the built module. `door`
    /// is the path that the user has given for the admin door.
    pub(super) fn start(built: &Artifact, door: Option<&Path>) -> Result<Self, Error> {
        let file = &built.path;
        let failed = |source| Error::File {
            action: "run",
            path: file.to_owned(),
            source,
        };
        let own = std::env::current_exe().map_err(failed)?;
        let mut arguments = vec![OsString::from("run"), OsString::from("--built"), file.into()];
        arguments.extend(["--built-in".into(), built.package_folder().into()]);
        if door.is_none() {
            arguments.push("--admin".into());
        }
        arguments.extend(without_watch(std::env::args_os()));
        let child = Command::new(own).args(arguments).spawn().map_err(failed)?;
        let path = match door {
            Some(path) if path != Path::new("auto") => path.to_owned(),
            _ => lunatic_admin::path_of(child.id()),
        };
        Ok(Self {
            child,
            door: Client::new(&path),
        })
    }

    /// Whether it is still running.
    pub(super) fn is_running(&mut self) -> Result<bool, Error> {
        Ok(self.child.try_wait().map_err(lost)?.is_none())
    }

    /// Shuts it down in order, waits for it, and returns its exit code.
    pub(super) fn stop(&mut self) -> Result<i32, Error> {
        self.tell()?;
        self.wait()
    }

    /// Tells it to end in order; a second time, at once.
    pub(super) fn tell(&mut self) -> Result<(), Error> {
        if self.is_running()? {
            // It may have ended just now.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        Ok(())
    }

    /// Waits until it ends, tells it again whenever the user asks once more, and returns its exit code.
    pub(super) fn end(&mut self, asked: &Asked) -> Result<i32, Error> {
        let mut told = asked.count();
        while self.is_running()? {
            let count = asked.count();
            if std::mem::replace(&mut told, count) != count {
                self.tell()?;
            }
            thread::sleep(END_EVERY);
        }
        self.wait()
    }

    /// Waits until it ends, and returns its exit code.
    fn wait(&mut self) -> Result<i32, Error> {
        let status = self.child.wait().map_err(lost)?;
        Ok(status.code().unwrap_or(1))
    }

    /// Upgrades it to the version in `file` without canaries; the error says why this is not possible. Returns `None` if it
    /// runs this version already.
    pub(super) fn upgrade(&mut self, file: &Path) -> Result<Option<Upgraded>, String> {
        let wasm = std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let mut view = self.begin(wasm)?;
        while !view.is_over {
            thread::sleep(ASK_EVERY);
            view = self.door.get("/v1/upgrade").map_err(|trouble| trouble.to_string())?;
        }
        match view.phase.as_str() {
            "done" if view.from == view.to && view.changed == 0 && view.kinds.is_empty() => Ok(None),
            "done" if view.changed == 0 && view.kinds.is_empty() => {
                Err("the program: none of its processes has a point of change".into())
            }
            "done" => Ok(Some(Upgraded {
                changed: view.changed,
                left: view.without_point,
            })),
            _ => Err(format!("the program: {}", view.why.unwrap_or(view.phase))),
        }
    }

    fn begin(&mut self, wasm: Vec<u8>) -> Result<UpgradeView, String> {
        /// A short patience: processes that do not reach their point of change in time change later.
        const PATH: &str = "/v1/upgrade?canary=none&patience=2";
        let start = std::time::Instant::now();
        loop {
            match self.door.post_body(PATH, wasm.clone(), COMPILE_TIME) {
                Ok(view) => return Ok(view),
                // The program has just been started.
                Err(Trouble::NobodyThere(_))
                    if start.elapsed() < DOOR_TIMEOUT && self.is_running().unwrap_or(false) =>
                {
                    thread::sleep(ASK_EVERY);
                }
                Err(trouble) => return Err(format!("the program: {trouble}")),
            }
        }
    }
}

/// A watched program does not outlive its watcher.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lost(source: std::io::Error) -> Error {
    Error::File {
        action: "wait for",
        path: PathBuf::from("the program"),
        source,
    }
}

/// The arguments after `run`, without the first `--watch`. A second one is among the program's own arguments, which are
/// unchanged.
fn without_watch(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept: Vec<_> = arguments.skip_while(|argument| argument != "run").skip(1).collect();
    let is_watch = |argument: &OsString| argument == "--watch" || argument.to_string_lossy().starts_with("--watch=");
    if let Some(place) = kept.iter().position(is_watch) {
        kept.remove(place);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn the_program_gets_all_arguments_but_one() {
        for (line, expected) in [
            (
                "run --watch=restart -r --dir . -- --watch run",
                "-r --dir . -- --watch run",
            ),
            ("run -r --watch serve --watch", "-r serve --watch"),
        ] {
            let line = format!("cargo-lunatic lunatic {line}");
            let kept = without_watch(line.split(' ').map(OsString::from));
            assert_eq!(kept.join(OsStr::new(" ")), expected);
        }
    }
}
