//! `GET /v1/events`: events of processes as they happen, as server-sent events.
//!
//! Every [`TICK`], the body checks what has been recorded: workers wake nobody. The observation ends after the
//! requested number of events or the requested time, or immediately when the client goes away. A client that does not
//! read can hold no more than its list and the few kilobytes that are being sent to it.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::body::{Body, Frame};
use lunatic_host::alarms::Alarm;
use lunatic_host::inspect::Query;
use lunatic_host::{Event, Id, Interest, Kind, RunningSystem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, interval};

use crate::observer::{Observation, Record};
use crate::request::Refused;
use crate::view::{AlarmView, EventView, ProcessView, waits_for};

/// The most clients that receive events at a time.
pub(crate) const CLIENTS_MAX: usize = 4;
/// How often the body checks for events.
const TICK: Duration = Duration::from_millis(20);
/// The most processes that a name can match.
const NAMED_MAX: usize = 1000;
/// The most processes that are followed for a name, including those that have ended since the last query.
const FOLLOWED_MAX: usize = 2 * NAMED_MAX;
/// How often the processes with the name are looked up; also, the pause is at least this many times the duration of a
/// look-up.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
const FOLLOW_REST: u32 = 20;
/// The most titles of processes that are remembered for a client.
const TITLES_MAX: usize = 4096;
/// For a client that listens to failures, this many titles of living processes are learned, this often: after an end it
/// is too late to ask.
const LEARNED_MAX: usize = 1000;
const LEARN_EVERY: Duration = Duration::from_secs(1);
/// The name of alarms among the kinds of events.
const ALARM: &str = "alarm";
/// The most events that are sent together.
const AT_ONCE: usize = 64;

const LIMIT: usize = 1000;
const LIMIT_MAX: usize = 1_000_000;
const SECONDS: u64 = 60;
const SECONDS_MAX: u64 = 3600;

/// The events that a client requests, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    kinds: Option<Vec<Kind>>,
    alarms: bool,
    process: Option<Id>,
    name: Option<String>,
    /// Of the ends, only failures.
    failures: bool,
    limit: usize,
    seconds: u64,
}

impl Wanted {
    /// Parses a query.
    pub(crate) fn read(query: &str) -> Result<Self, Refused> {
        let mut wanted = Self {
            kinds: None,
            alarms: true,
            process: None,
            name: None,
            failures: false,
            limit: LIMIT,
            seconds: SECONDS,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = |expected: &str| Refused::Wrong(format!("`{name}={value}`: give {expected}"));
            match &*name {
                "kinds" => {
                    let (alarms, kinds): (Vec<&str>, _) = value.split(',').partition(|name| *name == ALARM);
                    wanted.alarms = !alarms.is_empty();
                    let kinds: Option<Vec<_>> = kinds.into_iter().map(kind).collect();
                    let wrong = || wrong("some of spawned,ended,sent,received,waits,runs,alarm");
                    wanted.kinds = Some(kinds.ok_or_else(wrong)?);
                }
                "process" => wanted.process = Some(value.parse().map_err(|_| wrong("a process"))?),
                "name" => wanted.name = Some(value.into_owned()),
                "failures" if value == "only" => wanted.failures = true,
                "limit" => {
                    let limit: usize = value.parse().map_err(|_| wrong("a number"))?;
                    wanted.limit = limit.clamp(1, LIMIT_MAX);
                }
                "seconds" => {
                    let seconds: u64 = value.parse().map_err(|_| wrong("a number"))?;
                    wanted.seconds = seconds.min(SECONDS_MAX);
                }
                _ => return Err(Refused::Wrong(format!("`{name}` is not a known parameter"))),
            }
        }
        Ok(wanted)
    }

    /// How long the client may stay.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The events to observe. A name stands for the processes that have it now; see [`Followed`] for those that take it
    /// later.
    fn interest(&self, system: &RunningSystem) -> Result<Interest, Refused> {
        let mut processes: Option<Vec<Id>> = self.process.map(|process| vec![process]);
        if let Some(name) = &self.name {
            let mut named = named(system, name);
            named.retain(|id| self.process.is_none_or(|process| process == *id));
            named.sort();
            processes = Some(named);
        }
        let is_there = |ids: &Vec<Id>| ids.iter().any(|id| system.process(*id).is_some());
        if !processes.as_ref().is_none_or(is_there) {
            return Err(Refused::Wrong("there is no such process".into()));
        }
        Ok(Interest {
            kinds: self.kinds.clone(),
            processes,
            system: None,
        })
    }
}

/// The processes that have this text in a name.
fn named(system: &RunningSystem, name: &str) -> Vec<Id> {
    let page = system.list(&Query {
        limit: NAMED_MAX,
        name: Some(name.to_owned()),
        ..Query::default()
    });
    page.processes.iter().map(|process| process.snapshot.id).collect()
}

/// Processes that take a name during the observation, such as one that was restarted.
///
/// The kernel selects events by id. Therefore the door looks up periodically which processes have the name. Since a
/// look-up takes longer the more processes there are, it happens less often then.
struct Followed {
    name: String,
    /// The selection of events, and the name.
    interest: Interest,
    next: Instant,
}

impl Followed {
    fn new(wanted: &Wanted, interest: &Interest) -> Option<Self> {
        // A single process is followed whatever its name.
        let name = wanted.name.clone().filter(|_| wanted.process.is_none())?;
        Some(Self {
            name,
            interest: interest.clone(),
            next: Instant::now() + FOLLOW_EVERY,
        })
    }

    /// Adds the processes that have the name now, if a look-up is due.
    fn look(&mut self, observation: &Observation, titles: &mut Titles) {
        let begin = Instant::now();
        if begin < self.next {
            return;
        }
        let mut all = self.interest.processes.take().unwrap_or_default();
        let new: Vec<Id> = named(&titles.system, &self.name)
            .into_iter()
            .filter(|id| all.binary_search(id).is_err())
            .collect();
        let is_new = !new.is_empty();
        if all.len() + new.len() > FOLLOWED_MAX {
            // Ended processes cause no more events.
            all.retain(|id| titles.system.process(*id).is_some());
        }
        all.extend(new.iter().take(FOLLOWED_MAX.saturating_sub(all.len())));
        all.sort();
        self.interest.processes = Some(all);
        if is_new {
            observation.follow(self.interest.clone());
        }
        for id in new {
            titles.of(id);
        }
        self.next = Instant::now() + FOLLOW_EVERY.max(begin.elapsed() * FOLLOW_REST);
    }
}

fn kind(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind_name(*kind) == name)
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Spawned => "spawned",
        Kind::Ended => "ended",
        Kind::Sent => "sent",
        Kind::Received => "received",
        Kind::Waits => "waits",
        Kind::Runs => "runs",
    }
}

/// An answer that streams events from now on.
pub(crate) fn begin(
    system: &Arc<RunningSystem>,
    wanted: &Wanted,
    places: &Arc<Semaphore>,
) -> Result<Response<Stream>, Refused> {
    let place = places.clone().try_acquire_owned().map_err(|_| Refused::Busy)?;
    let interest = wanted.interest(system)?;
    let is_of_some = interest.processes.is_some();
    let mut titles = Titles {
        system: system.clone(),
        known: HashMap::new(),
        learn: wanted.failures.then(Instant::now),
    };
    // Later they may have ended.
    for id in interest.processes.iter().flatten() {
        titles.of(*id);
    }
    let alarms = AlarmsHeard::new(system, wanted);
    let followed = Followed::new(wanted, &interest);
    let observation = Arc::new(Observation::new(
        system.clone(),
        interest,
        wanted.limit,
        wanted.failures,
    ));
    let end = Instant::now() + wanted.time();
    tokio::spawn(stop_at(end, Arc::downgrade(&observation)));
    let mut answer = Response::new(Stream {
        observation,
        titles,
        followed,
        is_of_some,
        alarms,
        ready: VecDeque::new(),
        tick: interval(TICK),
        end,
        is_done: false,
        _place: place,
    });
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Ends an observation on time even if its client does not read, in which case its body is not polled.
async fn stop_at(end: Instant, observation: Weak<Observation>) {
    let mut tick = interval(TICK * 5);
    loop {
        tick.tick().await;
        let Some(observation) = observation.upgrade() else {
            return;
        };
        if observation.is_over() || Instant::now() >= end {
            return observation.stop();
        }
    }
}

/// Events on their way to one client.
pub(crate) struct Stream {
    observation: Arc<Observation>,
    titles: Titles,
    followed: Option<Followed>,
    /// Only events of given processes, which are known to belong to this system.
    is_of_some: bool,
    alarms: AlarmsHeard,
    ready: VecDeque<Record>,
    tick: Interval,
    end: Instant,
    is_done: bool,
    _place: OwnedSemaphorePermit,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        while !this.is_done {
            let mut text = String::new();
            if this.ready.is_empty() {
                ready!(this.tick.poll_tick(context));
                this.titles.learn();
                if let Some(followed) = &mut this.followed {
                    followed.look(&this.observation, &mut this.titles);
                }
                this.fill(&mut text);
            }
            let count = this.ready.len().min(AT_ONCE);
            for record in this.ready.drain(..count) {
                if let Some(view) = this.titles.view(&record, this.is_of_some) {
                    push(&mut text, &view);
                }
            }
            if !text.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(text.into()))));
            }
        }
        Poll::Ready(None)
    }
}

impl Stream {
    /// Takes the recorded events. Also reports lost events, and the end.
    fn fill(&mut self, text: &mut String) {
        let is_over = self.observation.is_over() || Instant::now() >= self.end;
        if is_over {
            self.observation.stop();
        }
        for alarm in self.alarms.next() {
            push(text, &alarm);
        }
        let (records, lost) = self.observation.take();
        self.ready = records.into();
        if lost > 0 {
            push(
                text,
                &EventView {
                    lost: Some(lost),
                    ..EventView::of("lost")
                },
            );
        }
        if is_over && self.ready.is_empty() {
            self.is_done = true;
            push(text, &EventView::of("end"));
        }
    }
}

fn push(text: &mut String, view: &EventView) {
    let data = serde_json::to_string(view).expect("views have no keys but texts");
    text.extend(["event: ", &view.event, "\ndata: ", &data, "\n\n"]);
}

/// The alarms that a client has been told about.
struct AlarmsHeard {
    system: Arc<RunningSystem>,
    is_wanted: bool,
    /// Only those of this process.
    process: Option<Id>,
    heard: usize,
    start: Instant,
}

impl AlarmsHeard {
    /// Alarms that occur from now on.
    fn new(system: &Arc<RunningSystem>, wanted: &Wanted) -> Self {
        let mut heard = Self {
            system: system.clone(),
            is_wanted: wanted.alarms && wanted.name.is_none(),
            process: wanted.process,
            heard: 0,
            start: Instant::now(),
        };
        heard.next();
        heard
    }

    fn next(&mut self) -> Vec<EventView> {
        let Some(alarms) = self.system.alarms().filter(|_| self.is_wanted) else {
            return Vec::new();
        };
        let new = alarms.list(self.heard);
        self.heard += new.len();
        let is_meant = |alarm: &&Alarm| self.process.is_none() || alarm.process == self.process;
        let view = |alarm| EventView {
            at_us: u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX),
            alarm: Some(AlarmView::of(alarm)),
            ..EventView::of(ALARM)
        };
        new.iter().filter(is_meant).map(view).collect()
    }
}

/// The titles of the system's processes.
struct Titles {
    system: Arc<RunningSystem>,
    known: HashMap<Id, String>,
    /// When to learn titles of living processes, if ever.
    learn: Option<Instant>,
}

impl Titles {
    /// Learns titles of living processes, if that is due.
    fn learn(&mut self) {
        if self.learn.is_none_or(|when| Instant::now() < when) {
            return;
        }
        self.learn = Some(Instant::now() + LEARN_EVERY);
        let page = self.system.list(&Query {
            limit: LEARNED_MAX,
            ..Query::default()
        });
        for process in &page.processes {
            if !self.known.contains_key(&process.snapshot.id) {
                self.remember(process.snapshot.id, ProcessView::title_of(process));
            }
        }
    }

    fn remember(&mut self, id: Id, title: String) {
        if self.known.len() >= TITLES_MAX {
            self.known.clear();
        }
        self.known.insert(id, title);
    }

    /// The title of a process; `None` if it was never seen alive.
    fn of(&mut self, id: Id) -> Option<String> {
        if let Some(title) = self.known.get(&id) {
            return Some(title.clone());
        }
        let title = ProcessView::title_of(&self.system.process(id)?);
        self.remember(id, title.clone());
        Some(title)
    }

    /// The view of an event; `None` if the event may belong to another system.
    fn view(&mut self, record: &Record, is_of_some: bool) -> Option<EventView> {
        let event = &record.event;
        let (title, other_title) = (self.of(event.process()), event.other().and_then(|id| self.of(id)));
        let is_sent = event.kind() == Kind::Sent;
        if is_sent && !is_of_some && title.is_none() && other_title.is_none() {
            return None;
        }
        let mut view = EventView {
            at_us: u64::try_from(record.at.as_micros()).unwrap_or(u64::MAX),
            process: event.process().to_string(),
            title: title.unwrap_or_default(),
            other: event.other().map(|id| id.to_string()),
            other_title: other_title.unwrap_or_default(),
            ..EventView::of(kind_name(event.kind()))
        };
        match event {
            Event::Sent { tag, len, .. } | Event::Received { tag, len, .. } => {
                view.tag = Some(format!("{tag:016x}"));
                view.len = Some(*len);
            }
            Event::Waits { wait, what, .. } => view.waits_for = Some(waits_for(*wait, *what)),
            _ => {}
        }
        if let Some((kind, words)) = &record.reason {
            view.reason = Some((*kind).to_owned());
            view.reason_text = Some(lunatic_host::report::untrusted::line(words).to_string());
        }
        Some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let wanted = Wanted::read("kinds=sent,ended&process=%233&failures=only&limit=0&seconds=99999").unwrap();
        let expected = Wanted {
            kinds: Some(vec![Kind::Sent, Kind::Ended]),
            alarms: false,
            process: Some("#3".parse().unwrap()),
            name: None,
            failures: true,
            limit: 1,
            seconds: SECONDS_MAX,
        };
        assert_eq!(wanted, expected);
        let alarms = Wanted::read("kinds=alarm").unwrap();
        assert_eq!((alarms.alarms, alarms.kinds), (true, Some(vec![])));
        for query in ["kinds=send", "kinds=", "process=x", "limit=x", "x=1"] {
            assert!(matches!(Wanted::read(query), Err(Refused::Wrong(_))), "{query}");
        }
    }
}
