//! `cargo lunatic run --watch`: builds and runs a program, and updates the running program each time its sources
//! change.
//!
//! The program runs in a process of its own: this command again, with the file to run and an admin door as arguments.
//! An update is therefore the same as `lunatic upgrade`. If the change does not fit, or no process of the program can
//! change while it runs, the program is shut down in order and started again. A program that does not compile changes
//! nothing.

mod program;
mod sources;

use std::future::poll_fn;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use self::program::{Program, Upgraded};
use self::sources::Sources;
use crate::artifact::Artifact;
use crate::error::Error;
use crate::shell::Shell;

/// How often files are checked.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long files must be unchanged before they are built: an editor may write several.
const QUIET: Duration = Duration::from_millis(100);

/// How a program is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// While it runs, or by a restart if that is not possible
    Upgrade,
    /// By a restart
    Restart,
}

/// Builds, runs and watches until SIGINT or SIGTERM, and returns the exit code of the program that is running then.
/// `folder` is where most sources are.
pub(crate) fn watch(
    shell: Shell,
    way: Way,
    (folder, door): (&Path, Option<&Path>),
    build: &dyn Fn() -> Result<Artifact, Error>,
) -> Result<i32, Error> {
    let asked = listen()?;
    let before = Sources::in_folder(folder);
    let mut built = build()?;
    let mut sources = Sources::of(&built.path, &manifests(&built)).since(&before);
    let mut rights = Sources::of_files([rights_file(&built)]);
    let mut program = Program::start(&built, door)?;
    let mut was_running = true;
    loop {
        match asked.last() {
            None => {}
            // The terminal sends it to the program as well, others do not.
            Some(Asked::INTERRUPT) if std::io::stdin().is_terminal() => return program.end(&asked),
            Some(_) => {
                program.tell()?;
                return program.end(&asked);
            }
        }
        let is_running = program.is_running()?;
        if was_running && !is_running {
            shell.status("Waiting", "for a change: the program has ended");
        }
        was_running = is_running;
        thread::sleep(LOOK_EVERY);
        let Some(changed) = sources.changed().map(Path::to_owned) else {
            continue;
        };
        let was = sources;
        sources = when_quiet(was.now()).with_neighbours();
        shell.status("Changed", changed.display());
        match build() {
            Ok(new) => built = new,
            Err(Error::Cargo(_)) => {
                shell.status(
                    "Waiting",
                    "for another change: the program does not compile, and its last build keeps running",
                );
                continue;
            }
            Err(error) => return Err(error),
        }
        sources = Sources::of(&built.path, &manifests(&built)).since(&sources);
        was_running = true;
        let brought = match rights.changed() {
            Some(_) => Err("the program: its rights have changed".into()),
            None => bring(&mut program, &built.path, way, shell),
        };
        if let Err(why) = brought {
            // The user may have ended the program, and with it the upgrade.
            if asked.last().is_some() {
                continue;
            }
            shell.status("Restarting", why);
            program.stop()?;
            rights = Sources::of_files([rights_file(&built)]);
            program = Program::start(&built, door)?;
        }
    }
}

/// Upgrades a program to the module that was built. The error says why it must be restarted instead.
fn bring(program: &mut Program, file: &Path, way: Way, shell: Shell) -> Result<(), String> {
    if !program.is_running().unwrap_or(false) {
        return Err("the program, which had ended".into());
    }
    if way == Way::Restart {
        return Err("the program".into());
    }
    let Some(Upgraded { changed, left }) = program.upgrade(file)? else {
        shell.status("Unchanged", "the program: the build is the same as before");
        return Ok(());
    };
    let left = match left {
        0 => String::new(),
        1 => "; 1 has no point of change, and stays in its version".into(),
        left => format!("; {left} have no point of change, and stay in their version"),
    };
    let processes = if changed == 1 { "process" } else { "processes" };
    shell.status("Upgraded", format!("{changed} {processes}{left}"));
    Ok(())
}

/// The files after they have not changed for a while.
fn when_quiet(mut sources: Sources) -> Sources {
    loop {
        thread::sleep(QUIET);
        let now = sources.now();
        if now == sources {
            return now;
        }
        sources = now;
    }
}

/// The files that cargo and this program read in addition to the sources.
fn manifests(built: &Artifact) -> Vec<PathBuf> {
    let lock = built.package_folder().join("Cargo.lock");
    vec![built.manifest.clone(), rights_file(built), lock]
}

/// The file with the rights of the program, which are those of its whole life.
fn rights_file(built: &Artifact) -> PathBuf {
    built.package_folder().join("lunatic.toml")
}

/// The user's requests to end, as signals convey them.
struct Asked {
    last: AtomicU8,
    count: AtomicU32,
}

impl Asked {
    /// SIGINT: Ctrl-C of a terminal, or sent by another program.
    const INTERRUPT: u8 = 1;
    const TERMINATE: u8 = 2;

    /// The last signal, if there was one.
    fn last(&self) -> Option<u8> {
        Some(self.last.load(Ordering::Relaxed)).filter(|last| *last != 0)
    }

    /// How many signals there have been.
    fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    fn add(&self, signal: u8) {
        self.last.store(signal, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Listens for signals, and remembers them.
fn listen() -> Result<Arc<Asked>, Error> {
    let failed = |source| Error::File {
        action: "listen for signals in",
        path: PathBuf::from("."),
        source,
    };
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(failed)?;
    let entered = executor.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    drop(entered);
    let asked = Arc::new(Asked {
        last: AtomicU8::new(0),
        count: AtomicU32::new(0),
    });
    let told = asked.clone();
    thread::spawn(move || {
        // A second signal ends a program that takes long to end.
        loop {
            let next = poll_fn(|context| {
                if terminate.poll_recv(context).is_ready() {
                    return Poll::Ready(Asked::TERMINATE);
                }
                interrupt.poll_recv(context).map(|_| Asked::INTERRUPT)
            });
            told.add(executor.block_on(next));
        }
    });
    Ok(asked)
}
