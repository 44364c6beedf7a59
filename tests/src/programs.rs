//! Runs the programs `lunatic` and `cargo-lunatic`, as users do.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::host::PATIENCE;
use crate::{profile_folder, target_folder, workspace};

/// A program, as users call it.
#[derive(Debug)]
pub struct Call {
    command: Command,
    stdin: Vec<u8>,
}

/// The host program, which caches compiled modules in the same place as the tests.
pub fn lunatic<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Call {
    call("lunatic", args).env("LUNATIC_CACHE", target_folder().join("tmp").join("lunatic-user-cache"))
}

/// The file of a program that users call.
pub fn path(name: &str) -> PathBuf {
    built().join(name)
}

/// The subcommand, as cargo calls it: `cargo-lunatic lunatic ARGS`. Its cache is the user's, which may contain the
/// toolchain.
pub fn cargo_lunatic<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Call {
    let mut call = call("cargo-lunatic", ["lunatic"]);
    call.command.args(args);
    call.command
        .env("CARGO_TARGET_DIR", target_folder())
        .current_dir(workspace());
    call
}

fn call<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Call {
    let mut command = Command::new(built().join(name));
    command.args(args);
    Call {
        command,
        stdin: Vec::new(),
    }
}

/// The folder of the programs. They are built on first use, because `cargo test -p lunatic-tests` alone does not build
/// the programs of other packages.
fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = profile_folder();
        let profile = match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let mut build = Command::new(cargo);
        build
            .current_dir(workspace())
            .args(["build", "--package=lunatic-cli", "--package=cargo-lunatic", "--bins"]);
        build
            .arg("--profile")
            .arg(profile)
            .arg("--target-dir")
            .arg(target_folder());
        // Remove the variables that cargo has set for this test. Build scripts that read them, such as that of `ring`,
        // would run again, and everything that depends on them would be compiled again here and then again outside.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_"];
            if told.iter().any(|told| text.starts_with(told)) || text == "OUT_DIR" {
                build.env_remove(&name);
            }
        }
        let status = build
            .status()
            .unwrap_or_else(|error| panic!("could not start cargo: {error}"));
        assert!(status.success(), "cargo could not build the host: {status}");
        folder
    })
}

impl Call {
    /// Sets the standard input of the program.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Call {
        self.stdin = text.into();
        self
    }

    /// Sets the working folder of the program.
    pub fn current_dir(mut self, folder: &std::path::Path) -> Call {
        self.command.current_dir(folder);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    /// Runs the program under a limit of the shell, such as `-v 1000000`.
    pub fn ulimit(self, limit: &str) -> Call {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(r#"ulimit {limit} && exec "$0" "$@""#));
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Call {
            command,
            stdin: self.stdin,
        }
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: &str) -> Call {
        self.command.env_remove(name);
        self
    }

    /// The command itself, for tests that need more than [`run`](Self::run).
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    ///
    /// If it cannot be started, or does not end within [`PATIENCE`].
    #[track_caller]
    pub fn run(mut self) -> Finished {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {:?}: {error}", self.command));
        let mut input = child.stdin.take().expect("it was to be a pipe");
        let stdout = Reader::new(child.stdout.take().expect("it was to be a pipe"));
        let stderr = Reader::new(child.stderr.take().expect("it was to be a pipe"));
        let stdin = std::mem::take(&mut self.stdin);
        let writer = std::thread::spawn(move || {
            // A program may end without reading all its input.
            let _ = input.write_all(&stdin);
        });
        let deadline = Instant::now() + PATIENCE;
        let hangs = !(stdout.is_closed_by(deadline) && stderr.is_closed_by(deadline));
        if hangs {
            let _ = child.kill();
        }
        let status = child
            .wait()
            .unwrap_or_else(|error| panic!("could not wait for {:?}: {error}", self.command));
        writer.join().expect("writing to a pipe does not panic");
        let finished = Finished {
            code: status.code(),
            stdout: stdout.text(),
            stderr: stderr.text(),
        };
        assert!(!hangs, "{:?} hangs\n{finished}", self.command);
        finished
    }
}

/// Reads the output of a program.
struct Reader {
    thread: JoinHandle<String>,
    closed: Receiver<()>,
}

impl Reader {
    fn new(mut pipe: impl Read + Send + 'static) -> Reader {
        let (close, closed) = channel();
        let thread = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // Text read before an error is kept; the test reports what is missing.
            let _ = pipe.read_to_end(&mut bytes);
            let _ = close.send(());
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Reader { thread, closed }
    }

    /// Waits until the program has closed its end of the pipe, at the latest when it ends.
    fn is_closed_by(&self, deadline: Instant) -> bool {
        self.closed
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .is_ok()
    }

    fn text(self) -> String {
        self.thread.join().expect("reading from a pipe does not panic")
    }
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` if a signal terminated it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Returns this value if the exit code is `code`.
    ///
    /// # Panics
    ///
    /// Otherwise, with all information.
    #[track_caller]
    pub fn code(self, code: i32) -> Finished {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit code {:?}\nstandard output:\n{}\nstandard error:\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}
