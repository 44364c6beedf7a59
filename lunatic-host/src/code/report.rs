//! The settings and the report of an upgrade.

use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_module::identity::CodeId;

/// How to upgrade a system to another version. By default, one process changes first and is watched for ten seconds;
/// then the others change, parents before children.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UpgradeConfig {
    /// Change nothing: the new version reads the state of one process of each kind, and the result is reported.
    pub rehearse_only: bool,
    /// Continue even if some kinds of processes cannot change; these stay in their version.
    pub is_partial: bool,
    /// Which processes change first.
    pub canary: Canary,
    /// How long to watch these before the others change.
    pub watch: Duration,
    /// How long an instance may take to read the state of one process.
    pub time_limit: Duration,
    /// How long to wait for processes that do not reach their point of change.
    pub patience: Duration,
    /// How many processes are asked to change at the same time. `None`: one for every four processes that wait for a worker,
    /// but at least 32 and at most 256.
    pub batch: Option<usize>,
    /// Children change before their parents, instead of after them.
    pub children_first: bool,
    /// During a rollback, a process whose state the former version cannot read gets the state with which it left that
    /// version, and so loses later changes. Otherwise it stays in the new version.
    pub restores_saved: bool,
}

impl Default for UpgradeConfig {
    fn default() -> Self {
        Self {
            rehearse_only: false,
            is_partial: false,
            canary: Canary::Count(1),
            watch: Duration::from_secs(10),
            time_limit: Duration::from_secs(5),
            patience: Duration::from_secs(60),
            batch: None,
            children_first: false,
            restores_saved: true,
        }
    }
}

/// The processes that change first and are watched. If there are processes that can change, and none of these does, the
/// upgrade is refused.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Canary {
    /// None: all processes change without being watched first.
    None,
    /// This many; 0 is the same as [`None`](Self::None).
    Count(usize),
    /// This percentage, and at least one.
    Percent(f64),
    /// Those with this text in a registered name or in the name of their entry.
    Named(String),
}

impl Canary {
    /// Whether any process is to change first.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self, Self::None | Self::Count(0))
    }
}

/// The phase of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradePhase {
    /// The new version is compared with the running ones, and reads the state of one process of each kind.
    Checking,
    /// The first processes change.
    Canary,
    /// The first processes are watched.
    Watching,
    /// The others change.
    Changing,
    /// The upgrade is complete.
    Done,
    /// The check is complete, and nothing else was requested.
    Rehearsed,
    /// Nothing was changed, for this reason.
    Refused(String),
    /// All processes that had changed return to their former version, for this reason.
    RollingBack(String),
    /// All processes that had changed have returned, for this reason.
    RolledBack(String),
}

impl UpgradePhase {
    /// The name of the phase: `checking`, `canary`, `watching`, `changing`, `done`, `rehearsed`, `refused`, `rolling
    /// back` or `rolled back`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Canary => "canary",
            Self::Watching => "watching",
            Self::Changing => "changing",
            Self::Done => "done",
            Self::Rehearsed => "rehearsed",
            Self::Refused(_) => "refused",
            Self::RollingBack(_) => "rolling back",
            Self::RolledBack(_) => "rolled back",
        }
    }

    /// Why the upgrade was refused or is rolled back.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Refused(why) | Self::RollingBack(why) | Self::RolledBack(why) => Some(why),
            _ => None,
        }
    }

    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Done | Self::Rehearsed | Self::Refused(_) | Self::RolledBack(_)
        )
    }
}

/// Processes that continue at the same function.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeKind {
    /// The function that the other version must have.
    pub entry: String,
    /// How many processes offer to continue there.
    pub processes: usize,
    /// Why the other version cannot take them over, if it cannot.
    pub misfit: Option<String>,
    /// Whether the other version has read the state of one of them.
    pub is_tried: bool,
}

/// The progress of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeReport {
    /// The number of the version that was current before.
    pub from: u32,
    /// The number of the new version.
    pub to: u32,
    /// The code of the new version.
    pub code: CodeId,
    /// The current phase.
    pub phase: UpgradePhase,
    /// The kinds of processes, by the name of their function.
    pub kinds: Vec<UpgradeKind>,
    /// How many processes run the new version.
    pub changed: usize,
    /// How many processes stay in their version because the attempt failed.
    pub kept: usize,
    /// The reasons, for the first of these processes.
    pub refusals: Vec<(Id, String)>,
    /// How many processes have not reached their point of change. They change when they do.
    pub waiting: usize,
    /// How many processes have no point of change: they stay in their version until they end.
    pub without_point: usize,
    /// How long processes were paused: at the median, at the 99th percentile, and at most.
    pub pauses: [Duration; 3],
    /// How long the upgrade has taken so far, or took.
    pub time: Duration,
}
