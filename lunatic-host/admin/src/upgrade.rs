//! Upgrades of a program that are requested at the door.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use lunatic_host::code::{UpgradeConfig, UpgradeError, UpgradeReport};
use lunatic_host::report::untrusted::line;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, TryAcquireError};

use crate::answer::{self, Answer};
use crate::door::Program;
use crate::request::Refused;

/// The largest module that can be sent to the door, in bytes.
const MODULE_MAX: usize = 256 << 20;
/// How long a module may take to arrive.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// One module is received at a time, because each is kept in memory.
static UPLOADS: Semaphore = Semaphore::const_new(1);

/// The progress of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UpgradeView {
    /// The number of the version that was current before.
    pub from: u32,
    /// The number of the new version.
    pub to: u32,
    /// The name and version that the file states, and the beginning of its hash.
    pub code: String,
    /// `checking`, `canary`, `watching`, `changing`, `done`, `rehearsed`, `refused`, `rolling back` or `rolled back`.
    pub phase: String,
    /// Why it was refused or is rolled back.
    pub why: Option<String>,
    /// Whether nothing more will happen.
    pub is_over: bool,
    /// The kinds of processes that can change.
    pub kinds: Vec<KindView>,
    /// How many processes run the new version.
    pub changed: usize,
    /// How many processes stay in their version because the attempt failed.
    pub kept: usize,
    /// The reasons, for the first of these processes.
    pub refusals: Vec<RefusalView>,
    /// How many processes have not reached their point of change; they change when they do.
    pub waiting: usize,
    /// How many processes have no point of change.
    pub without_point: usize,
    /// How long processes were paused at the median, in microseconds.
    pub pause_p50_us: u64,
    /// How long processes were paused at the 99th percentile, in microseconds.
    pub pause_p99_us: u64,
    /// How long processes were paused at most, in microseconds.
    pub pause_max_us: u64,
    /// How long the upgrade has taken so far, or took, in milliseconds.
    pub ms: u64,
}

/// Processes that continue at the same function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KindView {
    /// The function.
    pub entry: String,
    /// How many there are.
    pub processes: usize,
    /// Why the new version cannot take them over.
    pub misfit: Option<String>,
    /// Whether the new version has read the state of one of them.
    pub is_tried: bool,
}

/// A process that stays in its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefusalView {
    /// The process.
    pub process: String,
    /// The reason.
    pub why: String,
}

impl UpgradeView {
    fn of(report: UpgradeReport) -> Self {
        let us = |pause: Duration| u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        let [p50, p99, max] = report.pauses.map(us);
        Self {
            from: report.from,
            to: report.to,
            code: line(report.code.to_string()).to_string(),
            phase: report.phase.name().into(),
            why: report.phase.why().map(|why| line(why).to_string()),
            is_over: report.phase.is_over(),
            kinds: report.kinds.into_iter().map(KindView::of).collect(),
            changed: report.changed,
            kept: report.kept,
            refusals: report
                .refusals
                .into_iter()
                .map(|(process, why)| RefusalView {
                    process: process.to_string(),
                    why: line(why).to_string(),
                })
                .collect(),
            waiting: report.waiting,
            without_point: report.without_point,
            pause_p50_us: p50,
            pause_p99_us: p99,
            pause_max_us: max,
            ms: u64::try_from(report.time.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl KindView {
    fn of(kind: lunatic_host::code::UpgradeKind) -> Self {
        Self {
            entry: line(kind.entry).to_string(),
            processes: kind.processes,
            misfit: kind.misfit.map(|why| line(why).to_string()),
            is_tried: kind.is_tried,
        }
    }
}

/// Parses the query after the `?`.
pub(crate) fn config(query: &str) -> Result<UpgradeConfig, Refused> {
    let mut config = UpgradeConfig::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        config.set(&name, &value).map_err(Refused::Wrong)?;
    }
    Ok(config)
}

/// Receives the module in a request, and starts the upgrade.
pub(crate) async fn begin(program: Arc<Program>, config: UpgradeConfig, body: Incoming) -> Answer {
    let permit = match UPLOADS.try_acquire() {
        Ok(permit) => permit,
        Err(TryAcquireError::NoPermits) => return busy("another module is being sent to this program".into()),
        Err(TryAcquireError::Closed) => unreachable!("it is never closed"),
    };
    let collected = tokio::time::timeout(UPLOAD_TIMEOUT, Limited::new(body, MODULE_MAX).collect()).await;
    let wasm = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) => return answer::error(StatusCode::BAD_REQUEST, format!("cannot read the module: {error}")),
        Err(late) => return answer::error(StatusCode::REQUEST_TIMEOUT, format!("cannot read the module: {late}")),
    };
    if wasm.is_empty() {
        return answer::error(
            StatusCode::BAD_REQUEST,
            "the body of this request must be a module: pass `--data-binary @FILE` to curl".into(),
        );
    }
    // Compilation takes long.
    answer::aside(permit, move || begin_with(&program, config, &wasm)).await
}

fn begin_with(program: &Program, config: UpgradeConfig, wasm: &Bytes) -> Answer {
    let module = match program.runtime.load(wasm) {
        Ok(module) => module,
        Err(error) => return answer::error(StatusCode::BAD_REQUEST, line(error.to_string()).to_string()),
    };
    match program.system.upgrade(&module, config) {
        Ok(upgrade) => answer::json(StatusCode::ACCEPTED, &UpgradeView::of(upgrade.report())),
        Err(error @ UpgradeError::Busy) => busy(error.to_string()),
        Err(error) => answer::error(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// The progress of the last upgrade.
pub(crate) fn last(program: &Program) -> Answer {
    match program.system.last_upgrade() {
        Some(upgrade) => answer::json(StatusCode::OK, &UpgradeView::of(upgrade.report())),
        None => none(),
    }
}

/// Rolls back the last upgrade, unless it is over.
pub(crate) fn cancel(program: &Program) -> Answer {
    match program.system.last_upgrade() {
        Some(upgrade) if !upgrade.report().phase.is_over() => {
            upgrade.cancel();
            answer::json(StatusCode::OK, &UpgradeView::of(upgrade.report()))
        }
        Some(_) => busy("the last upgrade is over: to go back, upgrade to the former version".into()),
        None => none(),
    }
}

fn none() -> Answer {
    answer::error(StatusCode::NOT_FOUND, "this program has not been upgraded".into())
}

fn busy(why: String) -> Answer {
    answer::error(StatusCode::CONFLICT, why)
}

#[cfg(test)]
mod tests {
    use lunatic_host::code::Canary;

    use super::*;

    #[test]
    fn what_is_asked_for_is_read() {
        let read = config("canary=name%3Aa+b&partial=yes").unwrap();
        assert_eq!(read.canary, Canary::Named("a b".into()));
        assert!(read.is_partial);
        assert!(matches!(config("x=1"), Err(Refused::Wrong(_))));
    }
}
