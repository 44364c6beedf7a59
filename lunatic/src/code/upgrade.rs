//! Upgrades that a program begins itself.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use lunatic_sys::codes;

use super::Version;
use crate::Module;
use crate::host;

/// Brings the running system to another version of its program, as `lunatic upgrade` does from outside.
///
/// It goes on beside the processes: it first finds out which kinds of process the version can have, by letting it read a state of
/// each; then a few processes change and are watched, and then the others. If something goes wrong before all have changed, those
/// that have go back. A process needs the right [`Upgrade`](crate::rights::Right::Upgrade) for that; one that has fewer
/// rights than the main process changes only processes that have its rights or less.
///
/// One upgrade of a system goes on at a time. Another one, from outside or of a process with more rights than the one that began
/// it, takes precedence: what this one has changed goes back first.
///
/// # Examples
///
/// ```no_run
/// use lunatic::Module;
/// use lunatic::code::{Phase, Upgrade};
///
/// fn update(wasm: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
///     let upgrade = Upgrade::new().canary_percent(5.0).begin(Module::compile(wasm)?)?;
///     let report = upgrade.wait().ok_or("another upgrade has taken its place")?;
///     match report.phase {
///         Phase::Done => println!("{} processes changed", report.changed),
///         phase => println!("{phase}: {}", report.why.unwrap_or_default()),
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing changes until it begins"]
pub struct Upgrade {
    settings: String,
}

impl Upgrade {
    /// An upgrade in which one process changes first and is watched for ten seconds.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, name: &str, value: impl fmt::Display) -> Self {
        // A line feed would begin another setting.
        let value = value.to_string().replace('\n', " ");
        self.settings += &format!("{name}={value}\n");
        self
    }

    fn set_seconds(self, name: &str, time: Duration) -> Self {
        self.set(name, time.as_secs_f64())
    }

    /// Changes nothing: for each kind of process the version reads the state of one, and the report says what came of it.
    pub fn rehearse(self) -> Self {
        self.set("rehearse", "yes")
    }

    /// Goes on though some kinds of processes cannot change; they stay as they are.
    pub fn partial(self) -> Self {
        self.set("partial", "yes")
    }

    /// So many processes change first and are watched; with 0, all change at once.
    pub fn canaries(self, count: usize) -> Self {
        self.set("canary", count)
    }

    /// So many of a hundred, and at least one, change first and are watched. From 0 to 100, or the upgrade is not begun.
    pub fn canary_percent(self, percent: f64) -> Self {
        self.set("canary", format_args!("{percent}%"))
    }

    /// Those change first and are watched that have `part` in a registered name, or in the name of the function that they began with.
    pub fn canaries_named(self, part: &str) -> Self {
        self.set("canary", format_args!("name:{part}"))
    }

    /// For how long those that change first are watched; 10 s if nothing is said. If one of them fails, if its mailbox grows, or if
    /// processes of the new version fail at more than twice the rate of the others, all go back. At most a day.
    pub fn watch(self, time: Duration) -> Self {
        self.set_seconds("watch", time)
    }

    /// How long an instance may take to read the state of a process; 5 s if nothing is said. At most a day.
    pub fn limit(self, time: Duration) -> Self {
        self.set_seconds("limit", time)
    }

    /// How long processes are waited for that do not come to their point of change; 60 s if nothing is said. They change
    /// later, when they do. At most a day.
    pub fn patience(self, time: Duration) -> Self {
        self.set_seconds("patience", time)
    }

    /// Children change before their parents, and not after them.
    pub fn children_first(self) -> Self {
        self.set("children-first", "yes")
    }

    /// Begins.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`].
    ///
    /// # Panics
    ///
    /// If the handle of the module was not made by [`Module::compile`].
    pub fn begin(&self, module: Module) -> Result<UpgradeUnderWay, UpgradeError> {
        match host::code::upgrade(module.raw(), &self.settings) {
            Ok(number) => Ok(UpgradeUnderWay { number }),
            Err(codes::DENIED) => Err(UpgradeError::Denied(host::text())),
            Err(codes::FULL) => Err(UpgradeError::Busy),
            Err(codes::BAD_CONFIG) => Err(UpgradeError::Settings(host::text())),
            Err(codes::BAD_MODULE) => Err(UpgradeError::Module(host::text())),
            Err(codes::LIMIT) => Err(UpgradeError::Limit(host::text())),
            Err(codes::CLOSED) => Err(UpgradeError::Module("who compiled the module has ended".into())),
            Err(code) => panic!("this is no handle of a module: {code}"),
        }
    }
}

/// An upgrade that was begun. A copy stands for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeUnderWay {
    number: i32,
}

impl UpgradeUnderWay {
    /// How it stands. `None` if another upgrade has been begun since.
    #[must_use]
    pub fn report(self) -> Option<UpgradeReport> {
        Some(UpgradeReport::read(&host::code::upgrade_report(self.number)?))
    }

    /// Waits until nothing more will happen, and tells what has. `None` if another upgrade has been begun since.
    ///
    /// A process that waits here does not come to its own point of change meanwhile: it changes afterwards.
    #[must_use = "it says whether the system was upgraded"]
    pub fn wait(self) -> Option<UpgradeReport> {
        host::code::upgrade_wait(self.number, None);
        self.report()
    }

    /// As [`wait`](Self::wait), but not for longer than this: the report may be one of an upgrade that still goes on.
    #[must_use = "it says whether the system was upgraded"]
    pub fn wait_timeout(self, timeout: Duration) -> Option<UpgradeReport> {
        host::code::upgrade_wait(self.number, Some(timeout));
        self.report()
    }

    /// Takes back what it has changed. Nothing happens if it is over.
    pub fn cancel(self) {
        host::code::upgrade_cancel(self.number);
    }
}

/// How an upgrade stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeReport {
    /// The version that was current before.
    pub from: Version,
    /// The version that the processes are brought to.
    pub to: Version,
    /// What it does.
    pub phase: Phase,
    /// Why it was refused, or goes back.
    pub why: Option<String>,
    /// Processes that run the version.
    pub changed: usize,
    /// Processes that stay in theirs, because it was tried and did not work.
    pub kept: usize,
    /// Why, of the first of them: a text that names the process, and one that says why.
    pub refusals: Vec<(String, String)>,
    /// Processes that have not come to their point of change, and change when they do.
    pub waiting: usize,
    /// Processes that have no point of change: they stay in their version to their end.
    pub without_point: usize,
    /// What can change, and what not.
    pub kinds: Vec<Kind>,
    /// How long processes stood still: half of them no longer than the first, 99 of a hundred no longer than the second, and none
    /// longer than the third.
    pub pauses: [Duration; 3],
    /// How long it took, or takes.
    pub time: Duration,
}

/// What an upgrade does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The version is compared with what runs, and reads the state of one process of each kind.
    Checking,
    /// The first processes change.
    Canary,
    /// These are watched.
    Watching,
    /// The others change.
    Changing,
    /// All is done.
    Done,
    /// It was checked, and that is all that was asked for.
    Rehearsed,
    /// Nothing was changed.
    Refused,
    /// All that had changed goes back.
    RollingBack,
    /// All that had changed has gone back.
    RolledBack,
}

impl Phase {
    const ALL: [Self; 9] = [
        Self::Checking,
        Self::Canary,
        Self::Watching,
        Self::Changing,
        Self::Done,
        Self::Rehearsed,
        Self::Refused,
        Self::RollingBack,
        Self::RolledBack,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Canary => "canary",
            Self::Watching => "watching",
            Self::Changing => "changing",
            Self::Done => "done",
            Self::Rehearsed => "rehearsed",
            Self::Refused => "refused",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Rehearsed | Self::Refused | Self::RolledBack)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Processes that go on at the same function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kind {
    /// The function.
    pub entry: String,
    /// How many there are.
    pub processes: usize,
    /// The version has read the state of one of them.
    pub is_tried: bool,
    /// Why the version cannot have them, if it cannot.
    pub misfit: Option<String>,
}

impl Kind {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '\t');
        let (processes, state, entry) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        Some(Self {
            entry: entry.into(),
            processes,
            is_tried: state == "tried",
            misfit: parts.next().map(Into::into),
        })
    }
}

impl UpgradeReport {
    /// Reads what the host has written, and passes over what it does not know.
    fn read(text: &str) -> Self {
        let mut report = Self {
            from: Version(0),
            to: Version(0),
            phase: Phase::Checking,
            why: None,
            changed: 0,
            kept: 0,
            refusals: Vec::new(),
            waiting: 0,
            without_point: 0,
            kinds: Vec::new(),
            pauses: [Duration::ZERO; 3],
            time: Duration::ZERO,
        };
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let number: u64 = value.parse().unwrap_or(0);
            let (count, time) = (
                usize::try_from(number).unwrap_or(usize::MAX),
                Duration::from_nanos(number),
            );
            let version = || Version(u32::try_from(number).unwrap_or(0));
            match name {
                "from" => report.from = version(),
                "to" => report.to = version(),
                "phase" => {
                    let phase = Phase::ALL.into_iter().find(|phase| phase.name() == value);
                    report.phase = phase.unwrap_or(report.phase);
                }
                "why" => report.why = Some(value.into()),
                "changed" => report.changed = count,
                "kept" => report.kept = count,
                "waiting" => report.waiting = count,
                "without-point" => report.without_point = count,
                "pause-p50-ns" => report.pauses[0] = time,
                "pause-p99-ns" => report.pauses[1] = time,
                "pause-max-ns" => report.pauses[2] = time,
                "time-ns" => report.time = time,
                "kind" => report.kinds.extend(Kind::read(value)),
                "refusal" => {
                    let parts = value.split_once('\t');
                    report
                        .refusals
                        .extend(parts.map(|(process, why)| (process.into(), why.into())));
                }
                _ => {}
            }
        }
        report
    }
}

/// Why an upgrade was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The process does not have the right [`Upgrade`](crate::rights::Right::Upgrade).
    Denied(String),
    /// Another upgrade of the system goes on.
    Busy,
    /// A setting makes no sense; the text says which, and what is expected.
    Settings(String),
    /// The module is gone, or cannot be compiled for all that it needs.
    Module(String),
    /// The process cannot pay for the compiled module, or the machine refused a thread.
    Limit(String),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another upgrade of this program goes on"),
            Self::Denied(why) | Self::Settings(why) | Self::Module(why) | Self::Limit(why) => f.write_str(why),
        }
    }
}

impl Error for UpgradeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_lines() {
        let upgrade = Upgrade::new()
            .canaries_named("a\nbatch=1")
            .watch(Duration::from_millis(1500));
        assert_eq!(upgrade.settings, "canary=name:a batch=1\nwatch=1.5\n");
        assert_eq!(Upgrade::new().canary_percent(2.5).settings, "canary=2.5%\n");
    }

    #[test]
    fn reports_are_read() {
        let report = UpgradeReport::read(
            "from=1\nto=3\nphase=rolled back\nwhy=it = bad\nchanged=2\nkind=5\tmisfit\ta::<b>\tno such\nkind=1\ttried\tc d\n\
             refusal=#7\tdid not\npause-p99-ns=1500\nunknown=1\n",
        );
        assert_eq!((report.from.number(), report.to.number(), report.changed), (1, 3, 2));
        assert_eq!(
            (report.phase, report.why.as_deref()),
            (Phase::RolledBack, Some("it = bad"))
        );
        assert_eq!(report.kinds[0].misfit.as_deref(), Some("no such"));
        assert_eq!(
            (report.kinds[1].entry.as_str(), report.kinds[1].is_tried),
            ("c d", true)
        );
        assert_eq!(report.refusals, [("#7".to_string(), "did not".to_string())]);
        assert_eq!(report.pauses[1], Duration::from_nanos(1500));
    }
}
