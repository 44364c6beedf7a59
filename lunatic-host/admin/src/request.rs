//! Parses requests: the path, and the query after the `?`.

use std::time::Duration;

use lunatic_host::code::UpgradeConfig;
use lunatic_host::inspect::{MAIL_MAX, Order, Query};
use lunatic_host::profile::{PROFILE_MAX, Profiled};
use lunatic_host::{ExitReason, Id, Phase};

use crate::events::Wanted;
use crate::list::Kind;
use crate::upgrade;

/// The most processes in one answer.
const LIMIT_MAX: usize = 10_000;
const LIMIT: usize = 100;

/// A valid request.
#[derive(Debug, PartialEq)]
pub(crate) enum Asked {
    /// A request for the list of requests.
    Help,
    /// A request for the description of all requests and answers.
    Description,
    System,
    Cluster,
    Metrics,
    Events(Wanted),
    Alarms,
    /// Also says whether children are counted.
    Processes(Query, bool),
    Process(Id),
    List(Kind, usize, usize),
    Stack(Id),
    /// How many entries at most.
    Mail(Id, usize),
    Profile(Profiled, Duration),
    Dump(Id),
    Kill(Id),
    Exit(Id, ExitReason),
    ShutDown,
    /// The module is in the body.
    Upgrade(UpgradeConfig),
    LastUpgrade,
    CancelUpgrade,
    LogLevel,
    SetLogLevel(String),
}

impl Asked {
    /// Whether the answer may take long, because it must be waited for or requires debug information.
    pub(crate) fn takes_long(&self) -> bool {
        matches!(
            self,
            Self::Stack(_) | Self::Mail(..) | Self::Profile(..) | Self::Dump(_)
        )
    }
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotFound,
    /// The path exists, but for another method.
    Method(&'static str),
    Wrong(String),
    /// Too many clients request this at the moment.
    Busy,
}

/// Lists all requests.
pub(crate) const HELP: &str = "\
GET  /v1/openapi.json             all paths and their answers, as OpenAPI 3.1
GET  /v1/system                   the program and what its runtime holds
GET  /v1/cluster                  the other nodes, as this one sees them
GET  /metrics                     what the runtime holds and has done, for Prometheus
GET  /v1/processes                processes; ?order=id|mailbox|mailbox-bytes|memory|time|oldest &limit=N &skip=N
                                  &name=PART &state=running|ready|waiting &parent=ID|none &children=count
GET  /v1/events                   what processes do, as server-sent events; ?kinds=spawned,ended,sent,received,waits,runs,alarm
                                  &process=ID &name=PART &failures=only &limit=N (1000) &seconds=S (60)
GET  /v1/alarms                   problems that the host has noticed, and how to solve them
GET  /v1/processes/ID             one process, and whom it knows
GET  /v1/channels                 what processes have: channels, those first that hold most; ?limit=N &skip=N
GET  /v1/names                    registered names; also /v1/groups, /v1/sockets
GET  /v1/modules                  the modules that processes run
GET  /v1/workers                  the threads that run processes
GET  /v1/nodes                    the nodes of the cluster, this one first
GET  /v1/processes/ID/stack       the functions that it is in
GET  /v1/processes/ID/mail        its unread mail, the oldest first, without content; ?limit=N up to 256
POST /v1/processes/ID/dump        a core dump of a process that waits
POST /v1/processes/ID/kill        kills it
POST /v1/processes/ID/exit        sends it an exit signal; ?reason=shutdown|normal|TEXT of an error
POST /v1/profile                  where processes compute; ?seconds=N up to 60 &id=ID &name=PART &by=process &waiting=yes
POST /v1/shutdown                 stops the program in order
GET  /v1/versions                 the versions of its code that run
POST /v1/upgrade                  brings it to the version in the body; ?rehearse=yes|no &canary=none|N|N%|name:PART &watch=SECONDS
                                  &limit=SECONDS &patience=SECONDS &batch=auto|N &partial=yes|no &children-first=yes|no &restore=yes|no
GET  /v1/upgrade                  how the last upgrade stands
POST /v1/upgrade/cancel           takes back what it has changed
GET  /v1/log-level                which records are written
PUT  /v1/log-level?filter=FILTER  changes that, such as info,shop::stock=debug
";

/// Parses a request. `query` is what follows the `?`.
pub(crate) fn read(method: &http::Method, path: &str, query: &str) -> Result<Asked, Refused> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let allowed = |wanted: http::Method, name| {
        if *method == wanted {
            Ok(())
        } else {
            Err(Refused::Method(name))
        }
    };
    let (get, post) = (
        || allowed(http::Method::GET, "GET"),
        || allowed(http::Method::POST, "POST"),
    );
    match *parts {
        [""] | ["v1"] => get().map(|()| Asked::Help),
        ["v1", "openapi.json"] => get().map(|()| Asked::Description),
        ["metrics"] => get().map(|()| Asked::Metrics),
        ["v1", "system"] => get().map(|()| Asked::System),
        ["v1", "cluster"] => get().map(|()| Asked::Cluster),
        ["v1", "events"] => get().and_then(|()| Wanted::read(query)).map(Asked::Events),
        ["v1", "alarms"] => get().map(|()| Asked::Alarms),
        ["v1", "processes"] => get().and_then(|()| list(query)),
        ["v1", "processes", process] => get().and_then(|()| id(process)).map(Asked::Process),
        ["v1", "processes", process, "stack"] => get().and_then(|()| id(process)).map(Asked::Stack),
        ["v1", "processes", process, "mail"] => {
            let process = get().and_then(|()| id(process))?;
            mail(process, query)
        }
        ["v1", "processes", process, "dump"] => post().and_then(|()| id(process)).map(Asked::Dump),
        ["v1", "processes", process, "kill"] => post().and_then(|()| id(process)).map(Asked::Kill),
        ["v1", "processes", process, "exit"] => {
            let process = post().and_then(|()| id(process))?;
            reason(query).map(|reason| Asked::Exit(process, reason))
        }
        ["v1", "channels"] => get().and_then(|()| part(Kind::Channels, query)),
        ["v1", "names"] => get().and_then(|()| part(Kind::Names, query)),
        ["v1", "groups"] => get().and_then(|()| part(Kind::Groups, query)),
        ["v1", "sockets"] => get().and_then(|()| part(Kind::Sockets, query)),
        ["v1", "modules"] => get().and_then(|()| part(Kind::Modules, query)),
        ["v1", "workers"] => get().and_then(|()| part(Kind::Workers, query)),
        ["v1", "nodes"] => get().and_then(|()| part(Kind::Nodes, query)),
        ["v1", "profile"] => post().and_then(|()| profile(query)),
        ["v1", "versions"] => get().and_then(|()| part(Kind::Versions, query)),
        ["v1", "upgrade"] if method == http::Method::POST => upgrade::config(query).map(Asked::Upgrade),
        ["v1", "upgrade"] => allowed(http::Method::GET, "GET, POST").map(|()| Asked::LastUpgrade),
        ["v1", "upgrade", "cancel"] => post().map(|()| Asked::CancelUpgrade),
        ["v1", "shutdown"] => post().map(|()| Asked::ShutDown),
        ["v1", "log-level"] if method == http::Method::PUT => filter(query).map(Asked::SetLogLevel),
        ["v1", "log-level"] => allowed(http::Method::GET, "GET, PUT").map(|()| Asked::LogLevel),
        _ => Err(Refused::NotFound),
    }
}

/// How much longer a client may stay for this request.
pub(crate) fn time(method: &http::Method, uri: &http::Uri) -> Duration {
    match read(method, uri.path(), uri.query().unwrap_or_default()) {
        Ok(Asked::Events(wanted)) => wanted.time(),
        _ => Duration::ZERO,
    }
}

fn filter(query: &str) -> Result<String, Refused> {
    let mut parts = form_urlencoded::parse(query.as_bytes());
    match (parts.next(), parts.next()) {
        (Some((name, filter)), None) if name == "filter" => Ok(filter.into_owned()),
        _ => Err(Refused::Wrong("give `filter=FILTER`, such as `filter=info`".into())),
    }
}

fn id(text: &str) -> Result<Id, Refused> {
    text.parse()
        .map_err(|wrong| Refused::Wrong(format!("`{text}` is not the id of a process: {wrong}")))
}

fn list(query: &str) -> Result<Asked, Refused> {
    let mut asked = Query {
        limit: LIMIT,
        ..Query::default()
    };
    let mut counts_children = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let wrong = |expected: &str| Refused::Wrong(format!("`{name}={value}`: give {expected}"));
        let number = || value.parse::<usize>().map_err(|_| wrong("a number"));
        match &*name {
            "order" => {
                asked.order = match &*value {
                    "id" => Order::Id,
                    "mailbox" => Order::Mailbox,
                    "mailbox-bytes" => Order::MailboxBytes,
                    "memory" => Order::Memory,
                    "time" => Order::Time,
                    "oldest" => Order::Oldest,
                    _ => return Err(wrong("id, mailbox, mailbox-bytes, memory, time or oldest")),
                }
            }
            "limit" => asked.limit = number()?.min(LIMIT_MAX),
            "skip" => asked.skip = number()?.min(u32::MAX as usize),
            "name" => asked.name = Some(value.into_owned()),
            "state" => {
                asked.phase = Some(match &*value {
                    "running" => Phase::Running,
                    "ready" => Phase::Queued,
                    "waiting" => Phase::Blocked,
                    _ => return Err(wrong("running, ready or waiting")),
                })
            }
            "parent" if value == "none" => asked.is_root = true,
            "parent" => asked.parent = Some(id(&value)?),
            "children" if value == "count" => counts_children = true,
            _ => return Err(Refused::Wrong(format!("`{name}` is not a known parameter"))),
        }
    }
    Ok(Asked::Processes(asked, counts_children))
}

fn part(kind: Kind, query: &str) -> Result<Asked, Refused> {
    let (mut skip, mut limit) = (0, LIMIT);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = value.parse::<usize>();
        let number = number.map_err(|_| Refused::Wrong(format!("`{name}={value}`: give a number")))?;
        match &*name {
            "limit" => limit = number.min(LIMIT_MAX),
            "skip" => skip = number.min(u32::MAX as usize),
            _ => return Err(Refused::Wrong(format!("`{name}` is not a known parameter"))),
        }
    }
    Ok(Asked::List(kind, skip, limit))
}

fn mail(process: Id, query: &str) -> Result<Asked, Refused> {
    let mut limit = LIMIT;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = value.parse::<usize>();
        match (&*name, number) {
            ("limit", Ok(number)) => limit = number.min(MAIL_MAX),
            ("limit", Err(_)) => return Err(Refused::Wrong(format!("`limit={value}`: give a number"))),
            _ => return Err(Refused::Wrong(format!("`{name}` is not a known parameter"))),
        }
    }
    Ok(Asked::Mail(process, limit))
}

fn profile(query: &str) -> Result<Asked, Refused> {
    let (mut profiled, mut time) = (Profiled::default(), Duration::from_secs(10));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "seconds" => {
                let seconds = value
                    .parse()
                    .ok()
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let allowed = seconds.filter(|seconds| *seconds <= PROFILE_MAX);
                time = allowed.ok_or_else(|| Refused::Wrong(format!("`seconds={value}`: give a number up to 60")))?;
            }
            "id" => profiled.process = Some(id(&value)?),
            "name" => profiled.name = Some(value.into_owned()),
            "by" if value == "process" => profiled.by_process = true,
            "waiting" if value == "yes" => profiled.waiting = true,
            _ => return Err(Refused::Wrong(format!("`{name}` is not a known parameter"))),
        }
    }
    Ok(Asked::Profile(profiled, time))
}

fn reason(query: &str) -> Result<ExitReason, Refused> {
    let mut reason = ExitReason::Shutdown;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        reason = match (&*name, &*value) {
            ("reason", "shutdown") => ExitReason::Shutdown,
            ("reason", "normal") => ExitReason::Normal,
            ("reason", text) => ExitReason::Error(text.to_owned()),
            _ => return Err(Refused::Wrong(format!("`{name}` is not a known setting"))),
        }
    }
    Ok(reason)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn requests_are_read() {
        let id = "#17.2".parse().unwrap();
        let (get, post) = (Method::GET, Method::POST);
        assert_eq!(read(&get, "/", ""), Ok(Asked::Help));
        assert_eq!(read(&get, "/v1/processes/17.2", ""), Ok(Asked::Process(id)));
        assert_eq!(read(&get, "/v1/processes/17.2/stack", ""), Ok(Asked::Stack(id)));
        assert_eq!(read(&post, "/v1/processes/17.2/kill", ""), Ok(Asked::Kill(id)));
        assert_eq!(
            read(&get, "/v1/processes/17.2/mail", "limit=1000"),
            Ok(Asked::Mail(id, MAIL_MAX))
        );
        let reason = ExitReason::Error("an end".into());
        assert_eq!(
            read(&post, "/v1/processes/17.2/exit", "reason=an+end"),
            Ok(Asked::Exit(id, reason))
        );
        let profiled = Profiled {
            process: Some(id),
            name: Some("a b".into()),
            by_process: true,
            waiting: true,
        };
        assert_eq!(
            read(
                &post,
                "/v1/profile",
                "seconds=0.5&id=17.2&name=a+b&by=process&waiting=yes"
            ),
            Ok(Asked::Profile(profiled, Duration::from_millis(500)))
        );
        for seconds in ["-1", "61", "NaN", "x"] {
            let read = read(&post, "/v1/profile", &format!("seconds={seconds}"));
            assert!(matches!(read, Err(Refused::Wrong(_))), "{seconds}");
        }
        let put = |query| read(&Method::PUT, "/v1/log-level", query);
        assert_eq!(read(&get, "/v1/log-level", ""), Ok(Asked::LogLevel));
        assert_eq!(
            put("filter=info%2Cshop%3Ddebug"),
            Ok(Asked::SetLogLevel("info,shop=debug".into()))
        );
        let query = Query {
            order: Order::Mailbox,
            skip: 3,
            limit: LIMIT_MAX,
            name: Some("a b".into()),
            phase: Some(Phase::Blocked),
            parent: Some(id),
            is_root: true,
        };
        let text =
            "order=mailbox&skip=3&limit=99999999&name=a%20b&state=waiting&parent=%2317.2&parent=none&children=count";
        assert_eq!(read(&get, "/v1/processes", text), Ok(Asked::Processes(query, true)));
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_in_words() {
        let (get, post) = (Method::GET, Method::POST);
        assert_eq!(read(&get, "/v1/nothing", ""), Err(Refused::NotFound));
        assert_eq!(read(&get, "/v1/processes/1/kill", ""), Err(Refused::Method("POST")));
        assert_eq!(read(&post, "/v1/system", ""), Err(Refused::Method("GET")));
        assert_eq!(read(&post, "/v1/log-level", ""), Err(Refused::Method("GET, PUT")));
        for query in ["", "level=info", "filter=info&filter=warn"] {
            let refused = read(&Method::PUT, "/v1/log-level", query);
            assert!(matches!(refused, Err(Refused::Wrong(_))), "{query}: {refused:?}");
        }
        for (path, query) in [
            ("", "order=size"),
            ("", "limit=-1"),
            ("", "x=1"),
            ("/y", ""),
            ("/1.2.3", ""),
        ] {
            let read = read(&get, &format!("/v1/processes{path}"), query);
            assert!(matches!(read, Err(Refused::Wrong(_))), "{path} {query}");
        }
    }
}
