//! Sessions of a web site: each is a process that a cookie names, and that exits when nobody has used it for a while.
//!
//! Run it with `cargo lunatic run --example web_session -- 127.0.0.1:8080`, and visit <http://127.0.0.1:8080>. Without an
//! address (and with `--allow-net '*'`) it visits itself, and ends.

use std::io;
use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::net::{SocketAddr, TcpListener};
use lunatic::supervisor::{DynamicOptions, DynamicSupervisor, Restart};
use lunatic::{ExitReason, Process, registry, this_process, timer};
use lunatic_http::{Client, Method, Request, Response, Router, Server, StatusCode};
use serde::{Deserialize, Serialize};

// ANCHOR: session
/// A session that nobody has used for this time exits.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// More sessions than that are not started, so that strangers cannot fill the memory.
const SESSIONS_MAX: u64 = 10_000;

struct Session {
    visits: u32,
    used: Instant,
}

#[derive(Serialize, Deserialize)]
struct Check;

impl Actor for Session {
    type Args = String;
    type Call = ReplyTo<u32>;
    type Cast = Check;

    fn init(id: String) -> Result<Self, ExitReason> {
        // The name is how the processes of connections find it. It goes when the session exits.
        registry::register(&id, this_process()).map_err(|error| ExitReason::Error(error.to_string()))?;
        check_after(IDLE_MAX);
        Ok(Session {
            visits: 0,
            used: Instant::now(),
        })
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        self.used = Instant::now();
        self.visits += 1;
        reply.send(self.visits);
        Next::Continue
    }

    fn handle_cast(&mut self, Check: Check) -> Next {
        let left = IDLE_MAX.saturating_sub(self.used.elapsed());
        if left.is_zero() {
            return Next::Stop(ExitReason::Normal);
        }
        check_after(left);
        Next::Continue
    }
}

fn check_after(delay: Duration) {
    timer::send_after(ActorRef::<Session>::of(this_process()).casts(), Check, delay);
}
// ANCHOR_END: session

// ANCHOR: handler
type Sessions = ActorRef<DynamicSupervisor<Session>>;

/// The session that the cookie names, or a new one with the cookie for it.
fn session(sessions: Sessions, request: &Request) -> Option<(ActorRef<Session>, Option<String>)> {
    let cookies = request.header_text("cookie").unwrap_or_default();
    let mut ids = cookies.split("; ").filter_map(|cookie| cookie.strip_prefix("session="));
    let id = ids.find(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if let Some(session) = id.and_then(ActorRef::<Session>::named) {
        return Some((session, None));
    }
    let id = format!("{:032x}", rand::random::<u128>());
    let session = sessions.start_child(id.clone()).ok()?;
    Some((session, Some(format!("session={id}; Path=/; HttpOnly; SameSite=Lax"))))
}

fn visit(sessions: Sessions, request: &Request) -> Response {
    let Some((session, cookie)) = session(sessions, request) else {
        return StatusCode::SERVICE_UNAVAILABLE.into();
    };
    let Ok(visits) = session.call(|reply| reply) else {
        return StatusCode::SERVICE_UNAVAILABLE.into();
    };
    let response = Response::text(format!("visit {visits}\n"));
    match cookie {
        Some(cookie) => response.header("set-cookie", cookie),
        None => response,
    }
}
// ANCHOR_END: handler

#[lunatic::main]
fn main() -> io::Result<()> {
    let options = DynamicOptions {
        restart: Restart::Temporary,
        children_max: Some(SESSIONS_MAX),
        ..DynamicOptions::default()
    };
    let sessions = DynamicSupervisor::<Session>::start(options).map_err(io::Error::other)?;
    let app = Router::new().get("/", move |request: Request| visit(sessions, &request));

    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    let here = listener.local_addr()?;
    println!("listening on http://{here}");
    if address.is_some() {
        return Server::from(listener).serve(app);
    }
    Process::spawn_with(listener, move |listener: TcpListener| {
        Server::from(listener)
            .serve(app)
            .expect("nothing keeps it from accepting");
    })
    .map_err(io::Error::other)?;
    let ann = visit_as("Ann", here, None)?;
    visit_as("Ann", here, Some(&ann))?;
    visit_as("Bob", here, None)?;
    visit_as("a guess", here, Some(&format!("session={:032x}", 7)))?;
    println!("sessions: {}", sessions.child_count().map_err(io::Error::other)?);
    Ok(())
}

/// Visits the site with a cookie or without, and returns the cookie that the site gave.
fn visit_as(name: &str, site: SocketAddr, cookie: Option<&str>) -> io::Result<String> {
    let uri = format!("http://{site}/").parse().map_err(io::Error::other)?;
    let mut request = Request::new(Method::GET, uri, ());
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let response = Client::new().send(request);
    let mut response = response.map_err(|error| io::Error::other(error.to_string()))?;
    print!("{name}: {}", response.read_text()?);
    let given = response.header_text("set-cookie").unwrap_or_default();
    Ok(given.split(';').next().unwrap_or_default().to_owned())
}
