//! What an upgrade is asked to do, and what it reports.

use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_module::identity::CodeId;

/// How a system is brought to another version. The default changes one process first, watches it for ten seconds, and then changes
/// the others, parents before children.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UpgradeConfig {
    /// Nothing is changed: for each kind of process the new version reads the state of one, and the result is told.
    pub rehearse_only: bool,
    /// Goes on though some kinds of processes cannot change; they stay as they are.
    pub is_partial: bool,
    /// Which processes change first.
    pub canary: Canary,
    /// How long these are watched before the others change.
    pub watch: Duration,
    /// How long an instance may take to read the state of one process.
    pub time_limit: Duration,
    /// How long processes are waited for that do not come to their point of change.
    pub patience: Duration,
    /// How many processes change at once.
    pub batch: usize,
    /// Children change before their parents, and not after them.
    pub children_first: bool,
    /// On the way back, a process whose state the former version cannot read gets the state that it had when it left that version:
    /// it forgets what it has done since. Else it stays in the new version.
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
            batch: 16,
            children_first: false,
            restores_saved: true,
        }
    }
}

/// Which processes change first, and are watched.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Canary {
    /// None: all change at once.
    None,
    /// So many.
    Count(usize),
    /// So many of a hundred, and at least one.
    Percent(f64),
    /// Those with a registered name, or a name of their entry, that has this in it.
    Named(String),
}

/// How an upgrade stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradePhase {
    /// The new version is compared with what runs, and reads the state of one process of each kind.
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
    /// Nothing was changed, for this reason.
    Refused(String),
    /// All that had changed goes back to its former version, for this reason.
    RollingBack(String),
    /// All that had changed has gone back.
    RolledBack(String),
}

impl UpgradePhase {
    /// What it is called: `checking`, `canary`, `watching`, `changing`, `done`, `rehearsed`, `refused`, `rolling back` or
    /// `rolled back`.
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

    /// Why it was refused, or goes back.
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

/// Processes that go on at the same function.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeKind {
    /// The function that the other version is asked for.
    pub entry: String,
    /// How many processes offer to go on there.
    pub processes: usize,
    /// Why the other version cannot have them, if it cannot.
    pub misfit: Option<String>,
    /// The other version has read the state of one of them.
    pub is_tried: bool,
}

/// What an upgrade has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeReport {
    /// The number of the version that was current before.
    pub from: u32,
    /// The number of the version that the system is brought to.
    pub to: u32,
    /// The code of that version.
    pub code: CodeId,
    /// How it stands.
    pub phase: UpgradePhase,
    /// What can change, by the name of the function.
    pub kinds: Vec<UpgradeKind>,
    /// Processes that run the new version.
    pub changed: usize,
    /// Processes that stay in their version, because it was tried and did not work.
    pub kept: usize,
    /// Why, of the first of them.
    pub refusals: Vec<(Id, String)>,
    /// Processes that have not come to their point of change. They change when they do.
    pub waiting: usize,
    /// Processes that have no point of change: they stay in their version to their end.
    pub without_point: usize,
    /// How long processes stood still: half of them no longer than the first, 99 of a hundred no longer than the second, and none
    /// longer than the third.
    pub pauses: [Duration; 3],
    /// How long it took, or takes.
    pub time: Duration,
}
