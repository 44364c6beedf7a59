//! Commands that inspect and control a running program: clients of its admin door.

mod alarms;
mod cluster;
mod dashboard;
mod dump;
mod firefox;
mod flame;
mod inspect;
mod list;
mod log_level;
mod profile;
mod ps;
mod table;
mod top;
mod trace;
mod tree;
mod upgrade;

use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use lunatic_admin::view::{AlarmsView, SystemView};
use lunatic_admin::{Client, Trouble};
use lunatic_host::Id;
use serde::Serialize;

use self::cluster::Cluster;
use self::dashboard::Dashboard;
use self::dump::Dump;
use self::list::List;
use self::log_level::LogLevel;
use self::profile::Profile;
use self::ps::Ps;
use self::trace::Trace;
use self::upgrade::Upgrade;

/// The program that a command is about.
#[derive(Debug, Clone, clap::Args)]
pub struct At {
    /// The program: its process id, the file that it runs, or the path of its socket. Optional if only one program runs
    /// with `--admin`
    #[arg(long, value_name = "PROGRAM")]
    at: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The commands.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Operate {
    /// List the processes of a running program
    Ps(Ps),
    /// Show the top processes of a running program, updated every second
    Top(At),
    /// List channels, names, sockets and other things of a running program
    List(List),
    /// Show a running program in a browser
    Dashboard(Dashboard),
    /// Show the processes of a running program as a tree: each below the process that spawned it
    Tree(At),
    /// Show one process of a running program: its relations to other processes, and its stack
    Inspect {
        /// The process, such as 17 or 17.2
        process: Id,
        #[command(flatten)]
        at: At,
    },
    /// Show what processes of a running program do, as it happens
    Trace(Trace),
    /// Show where the processes of a running program spend their time
    Profile(Profile),
    /// Write a core dump of a waiting process of a running program, or show a core dump
    Dump(Dump),
    /// Kill a process of a running program
    Kill {
        /// The process, such as 17 or 17.2
        process: Id,
        #[command(flatten)]
        at: At,
    },
    /// Send an exit signal to a process of a running program
    Exit {
        /// The process, such as 17 or 17.2
        process: Id,
        /// `shutdown`, `normal`, or the text of an error
        #[arg(default_value = "shutdown")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
    /// Upgrade a running program to another version of its code
    Upgrade(Upgrade),
    /// Shut a running program down in order, as SIGTERM does
    Stop(At),
    /// Show the state of a running program: processes, memory and alarms
    Status(At),
    /// Show which records of a running program are logged, or change that
    LogLevel(LogLevel),
    /// Make certificates for nodes on several machines, and show a running cluster
    Cluster(Cluster),
}

/// Executes a command and returns the exit code for the shell.
#[must_use]
pub fn operate(command: &Operate) -> i32 {
    match try_operate(command) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error:#}");
            1
        }
    }
}

fn try_operate(command: &Operate) -> anyhow::Result<()> {
    match command {
        Operate::Ps(ps) => ps.run(),
        Operate::List(list) => list.run(),
        Operate::Top(at) => top::run(at),
        Operate::Dashboard(dashboard) => dashboard.run(),
        Operate::Tree(at) => tree::run(at),
        Operate::Trace(trace) => trace.run(),
        Operate::Upgrade(upgrade) => upgrade.run(),
        Operate::Inspect { process, at } => inspect::run(*process, at),
        Operate::Profile(profile) => profile.run(),
        Operate::Dump(dump) => dump.run(),
        Operate::LogLevel(log_level) => log_level.run(),
        Operate::Cluster(cluster) => cluster.run(),
        Operate::Kill { process, at } => at.post(&format!("/v1/processes/{}/kill", bare(*process))),
        Operate::Exit { process, reason, at } => {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("reason", reason)
                .finish();
            at.post(&format!("/v1/processes/{}/exit?{query}", bare(*process)))
        }
        Operate::Stop(at) => at.post("/v1/shutdown"),
        Operate::Status(at) => {
            let client = at.client()?;
            let view: SystemView = client.get("/v1/system")?;
            let alarms: AlarmsView = client.get("/v1/alarms")?;
            let both = Status {
                system: &view,
                alarms: &alarms,
            };
            at.print(&both, || status(&view) + &alarms::lines(&alarms))
        }
    }
}

/// What `lunatic status --json` prints.
#[derive(Serialize)]
struct Status<'a> {
    #[serde(flatten)]
    system: &'a SystemView,
    #[serde(flatten)]
    alarms: &'a AlarmsView,
}

/// An id for use in a URL, without the `#`, which would begin a fragment there.
fn bare(id: Id) -> String {
    id.to_string().trim_start_matches('#').to_owned()
}

impl At {
    /// A client of the program that is meant.
    fn client(&self) -> anyhow::Result<Client> {
        let by_file = self
            .at
            .as_deref()
            .filter(|at| at.parse::<u32>().is_err() && !is_socket(at));
        let which = if by_file.is_some() { None } else { self.at.as_deref() };
        let mut found = lunatic_admin::find(which).context("cannot look for programs")?;
        if which.is_none() {
            found.retain(is_alive);
        }
        let mut programs = found.iter().map(|path| Client::new(path)).collect::<Vec<_>>();
        if let Some(file) = by_file {
            programs.retain(|client| runs(client, file));
        }
        match (programs.len(), &self.at) {
            (1, _) => Ok(programs.remove(0)),
            (0, None) => {
                bail!("no running program was started with `--admin`: start one with `lunatic run --admin FILE.wasm`")
            }
            (0, Some(at)) => bail!("no running program `{at}` was started with `--admin`"),
            _ => {
                let all: Vec<_> = programs.iter().map(name).collect();
                bail!(
                    "several programs are running; select one with `--at`:\n  {}",
                    all.join("\n  ")
                )
            }
        }
    }

    fn post(&self, path: &str) -> anyhow::Result<()> {
        self.client()?.post::<()>(path)?;
        self.print(&(), String::new)
    }

    /// Prints a view in the requested format.
    fn print(&self, view: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        print(self.json, view, text)
    }
}

/// Prints a view as JSON or as text.
fn print(json: bool, view: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = match json {
        true => format!("{}\n", serde_json::to_string_pretty(view)?),
        false => text(),
    };
    crate::put(&text).context("cannot print")
}

/// Whether a program listens on a socket. Removes a socket that was left behind.
fn is_alive(path: &PathBuf) -> bool {
    match UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                let _ = fs::remove_file(path);
            }
            false
        }
    }
}

/// Whether this is the path of a socket, and not that of the file that a program runs.
fn is_socket(at: &str) -> bool {
    fs::metadata(at).is_ok_and(|found| found.file_type().is_socket())
}

fn runs(client: &Client, file: &str) -> bool {
    let view: Result<SystemView, Trouble> = client.get("/v1/system");
    view.is_ok_and(|view| is_named(&view.program, file))
}

/// Whether `file` names the program that was started as `program`, perhaps in another folder: as it was written there, as
/// the name of the file, with or without its ending, or as another path of the file.
fn is_named(program: &str, file: &str) -> bool {
    let path = Path::new(program);
    let is = |part: Option<&std::ffi::OsStr>| part.is_some_and(|part| part == file);
    let is_same_file =
        || fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(file).is_ok_and(|file| file == path));
    program == file || is(path.file_name()) || is(path.file_stem()) || is_same_file()
}

fn name(client: &Client) -> String {
    let view: Result<SystemView, Trouble> = client.get("/v1/system");
    match view {
        Ok(view) => format!("{:>7}  {}", view.pid, view.program),
        Err(trouble) => format!("{}: {trouble}", client.path().display()),
    }
}

/// Formats a number of bytes.
fn size(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Formats a duration.
fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1e3),
        60_000..3_600_000 => format!("{}:{:02} min", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{}:{:02} h", ms / 3_600_000, ms / 60_000 % 60),
    }
}

fn status(view: &SystemView) -> String {
    let lines = [
        ("program", format!("{} (process {})", view.program, view.pid)),
        ("host", format!("Lunatic {}", view.version)),
        ("runs for", time(view.uptime_ms)),
        (
            "processes",
            format!(
                "{}; {} wait, {} of them frozen",
                view.processes, view.waiting, view.frozen
            ),
        ),
        ("instances", view.instances.to_string()),
        ("linear memories", size(view.memory_bytes)),
        (
            "kept for processes",
            format!("{}; {} of it messages", size(view.kept_bytes), size(view.queued_bytes)),
        ),
        ("descriptors", view.descriptors.to_string()),
        ("timers", view.timers.to_string()),
    ];
    facts(&lines)
}

fn facts(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    lines
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// The width of the terminal, if standard output is one.
fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    std::env::var("COLUMNS").ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(
            [0, 1023, 1024, 1536, 3 << 20, 5 << 30].map(size),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "3.0 MiB", "5.0 GiB"]
        );
        assert_eq!(
            [0, 999, 1_500, 61_000, 3_660_000].map(time),
            ["0 ms", "999 ms", "1.5 s", "1:01 min", "1:01 h"]
        );
    }
}
