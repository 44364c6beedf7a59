//! Answers requests: executes them and returns the result as JSON.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use lunatic_host::dumps::{DumpConfig, DumpRefusal};
use lunatic_host::log::FilterError;
use lunatic_host::{Id, RunningSystem};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::door::Program;
use crate::list::ListView;
use crate::request::{Asked, HELP, Refused};
use crate::serving::Body;
use crate::stack::{ProfileView, StackView};
use crate::view::{AlarmsView, ClusterView, ErrorView, LogLevelView, PageView, ProcessView};
use crate::{metrics, upgrade};

/// How long to wait for a stack.
const STACK_TIMEOUT: Duration = Duration::from_secs(1);

/// What the paths and their answers are, as OpenAPI 3.1. A test compares it with real answers.
const DESCRIPTION: &str = include_str!("../openapi.json");

/// How many requests that take long are worked on at a time; more wait.
const LONG_MAX: usize = 8;

static LONG: Semaphore = Semaphore::const_new(LONG_MAX);

pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers a request, on a thread of its own if that may take long.
pub(crate) async fn answer(program: Arc<Program>, asked: Result<Asked, Refused>) -> Answer {
    if !asked.as_ref().is_ok_and(Asked::takes_long) {
        return answer_now(&program, asked);
    }
    let place = LONG.acquire().await.expect("it is never closed");
    aside(place, move || answer_now(&program, asked)).await
}

/// Runs `work` on a thread of its own. The place stays taken until the work is done, even if this future is dropped before
/// because the client has disconnected.
pub(crate) async fn aside(place: SemaphorePermit<'static>, work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let worked = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    worked.await.unwrap_or_else(|failed| {
        error(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("a bug in the host: {failed}"),
        )
    })
}

fn answer_now(program: &Program, asked: Result<Asked, Refused>) -> Answer {
    let asked = match asked {
        Ok(asked) => asked,
        Err(refused) => return refuse(refused),
    };
    let system = &program.system;
    let done = |done: bool| if done { json(StatusCode::OK, &()) } else { gone() };
    match asked {
        Asked::Help => with_type(StatusCode::OK, "text/plain; charset=utf-8", HELP),
        Asked::Description => with_type(StatusCode::OK, "application/json", DESCRIPTION),
        Asked::System => json(StatusCode::OK, &program.view()),
        Asked::Cluster => match program.runtime.cluster() {
            Some(cluster) => json(StatusCode::OK, &ClusterView::of(&cluster)),
            None => error(StatusCode::NOT_FOUND, "this program is not a node of a cluster".into()),
        },
        Asked::Events(_) => unreachable!("they are answered with a stream"),
        Asked::Metrics => with_type(StatusCode::OK, metrics::TYPE, metrics::text(program)),
        Asked::Alarms => json(StatusCode::OK, &AlarmsView::of(system)),
        Asked::Processes(query, counts_children) => {
            let mut page = PageView::of(&system.list(&query));
            if counts_children {
                page.count_children(system);
            }
            json(StatusCode::OK, &page)
        }
        Asked::Process(id) => match system.process(id) {
            Some(process) => json(StatusCode::OK, &ProcessView::whole(&process, system.rights(id))),
            None => gone(),
        },
        Asked::List(kind, skip, limit) => json(StatusCode::OK, &ListView::of(program, kind, skip, limit)),
        Asked::Stack(id) => match system.stack(id, STACK_TIMEOUT) {
            Some(stack) => json(StatusCode::OK, &StackView::of(&stack)),
            None => gone(),
        },
        Asked::Mail(id, limit) => match system.mail(id, limit) {
            Some(mail) => json(StatusCode::OK, &ListView::of_mail(mail)),
            None => gone(),
        },
        Asked::Profile(profiled, time) => match system.profile(&profiled, time) {
            Some(profile) => json(StatusCode::OK, &ProfileView::of(profile)),
            None => error(
                StatusCode::CONFLICT,
                "another client is profiling the program: try again later".into(),
            ),
        },
        Asked::Dump(id) => dump(system, id),
        Asked::Kill(id) => done(system.kill(id)),
        Asked::Exit(id, reason) => done(system.exit(id, &reason)),
        Asked::ShutDown => {
            system.shut_down();
            done(true)
        }
        Asked::Upgrade(_) => unreachable!("a module comes with it"),
        Asked::LastUpgrade => upgrade::last(program),
        Asked::CancelUpgrade => upgrade::cancel(program),
        Asked::LogLevel => log_level(program, None),
        Asked::SetLogLevel(filter) => log_level(program, Some(&filter)),
    }
}

/// The most bytes of memory in a requested dump. All other clients of the door wait while it is made.
const DUMP_MAX: u64 = 64 << 20;

fn dump(system: &RunningSystem, id: Id) -> Answer {
    let mut config = DumpConfig::new("");
    config.bytes_max = DUMP_MAX;
    match system.dump(id, &config) {
        Ok(file) => with_type(StatusCode::OK, "application/wasm", file),
        Err(DumpRefusal::Gone) => gone(),
        Err(refusal) => error(StatusCode::CONFLICT, refusal.to_string()),
    }
}

/// Changes which records are logged, if requested, and returns which are.
fn log_level(program: &Program, filter: Option<&str>) -> Answer {
    let Some(log) = program.system.log() else {
        return error(StatusCode::NOT_FOUND, "this program has no log".into());
    };
    match filter.map(str::parse).transpose() {
        Err(wrong) => return error(StatusCode::BAD_REQUEST, FilterError::to_string(&wrong)),
        Ok(Some(filter)) => log.set_filter(filter),
        Ok(None) => {}
    }
    let filter = log.filter().to_string();
    json(StatusCode::OK, &LogLevelView { filter })
}

/// The answer to an invalid or impossible request.
pub(crate) fn refuse(refused: Refused) -> Answer {
    match refused {
        Refused::NotFound => error(
            StatusCode::NOT_FOUND,
            "there is no such path: GET /v1 lists all paths".into(),
        ),
        Refused::Method(allowed) => {
            let mut answer = error(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("this path accepts only {allowed}"),
            );
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            answer
        }
        Refused::Busy => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the largest number of clients already receives events: end another `lunatic trace`".into(),
        ),
        Refused::Wrong(why) => error(StatusCode::BAD_REQUEST, why),
    }
}

fn gone() -> Answer {
    error(StatusCode::NOT_FOUND, "there is no such process".into())
}

/// An answer with an error message.
pub(crate) fn error(status: StatusCode, error: String) -> Answer {
    json(status, &ErrorView { error })
}

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut text = serde_json::to_string(value).expect("views have no keys but texts");
    text.push('\n');
    with_type(status, "application/json", text)
}

/// A complete body.
pub(crate) fn whole(body: Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::sync::mpsc;
    use std::task::Poll;

    use super::*;

    #[test]
    fn a_place_is_taken_until_the_work_is_done_whoever_waits_for_it() {
        static PLACES: Semaphore = Semaphore::const_new(1);
        let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (go_on, waits) = mpsc::channel();
        executor.block_on(async {
            let place = PLACES.acquire().await.unwrap();
            let mut work = Box::pin(aside(place, move || {
                waits.recv().unwrap();
                json(StatusCode::OK, &())
            }));
            let is_over = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())).await;
            assert!(!is_over);
            // The client goes.
            drop(work);
            assert!(PLACES.try_acquire().is_err());
            go_on.send(()).unwrap();
            drop(PLACES.acquire().await.unwrap());
        });
    }
}
