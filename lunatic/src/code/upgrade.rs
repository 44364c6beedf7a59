//! Upgrades that a program starts itself.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use lunatic_sys::codes;

use super::Version;
use crate::Module;
use crate::host;

/// Moves the running system to another version of its program, as `lunatic upgrade` does from outside.
///
/// The upgrade runs beside the processes. It first finds out which kinds of process the new version can take over, by
/// letting it read one state of each kind. Then a few processes (the *canaries*) change and are watched, and then all
/// others change. If something fails before all have changed, those that have changed go back.
///
/// A process needs the right [`Upgrade`](crate::rights::Right::Upgrade) to begin an upgrade. If it has fewer rights
/// than the main process, it changes only processes that have the same rights as it or fewer.
///
/// Only one upgrade of a system runs at a time. An upgrade that is begun from outside, or by a process with more rights
/// than the one that began the current upgrade, takes precedence: the current one is rolled back first.
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
    /// An upgrade with one canary that is watched for ten seconds.
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

    /// Only rehearses: changes nothing and lets the new version read the state of one process of each kind, and
    /// reports the results.
    pub fn rehearse(self) -> Self {
        self.set("rehearse", "yes")
    }

    /// Goes on even if some kinds of processes cannot change; those stay as they are.
    pub fn partial(self) -> Self {
        self.set("partial", "yes")
    }

    /// Sets how many processes change first and are watched. With 0, all change without a canary phase.
    pub fn canaries(self, count: usize) -> Self {
        self.set("canary", count)
    }

    /// Sets what percentage of the processes, but at least one process, changes first and is watched. If it is not from
    /// 0 to 100, [`begin`](Self::begin) fails.
    pub fn canary_percent(self, percent: f64) -> Self {
        self.set("canary", format_args!("{percent}%"))
    }

    /// Makes those processes change first that have `part` in a registered name, or in the name of the function that
    /// they started with.
    pub fn canaries_named(self, part: &str) -> Self {
        self.set("canary", format_args!("name:{part}"))
    }

    /// Sets how long the processes that change first are watched. The default is 10 s, the maximum a day. If one of
    /// them fails, if its mailbox grows, or if processes of the new version fail at more than twice the rate of the
    /// others, all go back.
    pub fn watch(self, time: Duration) -> Self {
        self.set_seconds("watch", time)
    }

    /// Sets how long an instance may take to read the state of a process. The default is 5 s, the maximum a day.
    pub fn limit(self, time: Duration) -> Self {
        self.set_seconds("limit", time)
    }

    /// Sets how long the upgrade waits for processes that do not reach their point of change. The default is 60 s, the
    /// maximum a day. After that they still change when they reach it.
    pub fn patience(self, time: Duration) -> Self {
        self.set_seconds("patience", time)
    }

    /// Makes children change before their parents. By default they change after them.
    pub fn children_first(self) -> Self {
        self.set("children-first", "yes")
    }

    /// Begins the upgrade.
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
            Err(codes::CLOSED) => Err(UpgradeError::Module(
                "the process that compiled the module has ended".into(),
            )),
            Err(code) => panic!("this is not the handle of a module: {code}"),
        }
    }
}

/// An upgrade that was begun. Copies stand for the same upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeUnderWay {
    number: i32,
}

impl UpgradeUnderWay {
    /// Returns the current state of the upgrade; `None` if another upgrade has been begun since.
    #[must_use]
    pub fn report(self) -> Option<UpgradeReport> {
        Some(UpgradeReport::read(&host::code::upgrade_report(self.number)?))
    }

    /// Waits until the upgrade is over, and returns its report; `None` if another upgrade has been begun since.
    ///
    /// While a process waits here, it does not reach its own point of change: it changes afterwards.
    #[must_use = "it says whether the system was upgraded"]
    pub fn wait(self) -> Option<UpgradeReport> {
        host::code::upgrade_wait(self.number, None);
        self.report()
    }

    /// Waits as [`wait`](Self::wait) does, for at most `timeout`. The report may be that of an upgrade that is still
    /// running.
    #[must_use = "it says whether the system was upgraded"]
    pub fn wait_timeout(self, timeout: Duration) -> Option<UpgradeReport> {
        host::code::upgrade_wait(self.number, Some(timeout));
        self.report()
    }

    /// Rolls the upgrade back. If it is over, nothing happens.
    pub fn cancel(self) {
        host::code::upgrade_cancel(self.number);
    }
}

/// The state of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeReport {
    /// The version that was current before.
    pub from: Version,
    /// The version that the processes move to.
    pub to: Version,
    /// The phase.
    pub phase: Phase,
    /// Why the upgrade was refused, or is rolled back.
    pub why: Option<String>,
    /// The number of processes that run the new version.
    pub changed: usize,
    /// The number of processes that stay in their version, because their change was tried and failed.
    pub kept: usize,
    /// The first of these failures: each a text that names the process, and the reason.
    pub refusals: Vec<(String, String)>,
    /// The number of processes that have not reached their point of change, and change when they do.
    pub waiting: usize,
    /// The number of processes without a point of change, which stay in their version until they exit.
    pub without_point: usize,
    /// Which kinds of processes can change.
    pub kinds: Vec<Kind>,
    /// How long processes were stopped while they changed: median, 99th percentile and maximum.
    pub pauses: [Duration; 3],
    /// How long the upgrade took, or has taken so far.
    pub time: Duration,
}

/// The phase of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The new version is compared with the running one, and reads the state of one process of each kind.
    Checking,
    /// The canaries change.
    Canary,
    /// The canaries are watched.
    Watching,
    /// The others change.
    Changing,
    /// The upgrade has been carried out.
    Done,
    /// It was a rehearsal, which is over.
    Rehearsed,
    /// It was refused; nothing was changed.
    Refused,
    /// All processes that had changed are going back.
    RollingBack,
    /// All processes that had changed have gone back.
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

    /// Returns whether the upgrade is over.
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

/// The processes that go on in the same function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kind {
    /// The function.
    pub entry: String,
    /// The number of processes.
    pub processes: usize,
    /// Whether the new version has read the state of one of them.
    pub is_tried: bool,
    /// Why the new version cannot take them over; `None` if it can.
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
    /// Reads the host's report, and ignores entries that it does not know.
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

/// Why an upgrade could not be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The process does not have the right [`Upgrade`](crate::rights::Right::Upgrade); the text explains it.
    Denied(String),
    /// Another upgrade of the system is running.
    Busy,
    /// A setting is invalid; the text says which, and what is expected.
    Settings(String),
    /// The module does not exist any more, or cannot be compiled; the text gives the reason.
    Module(String),
    /// The process cannot pay for the compiled module, or the machine refused a thread; the text says which.
    Limit(String),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another upgrade of this program is running"),
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
