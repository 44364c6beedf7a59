//! A web server: each connection is a process, and the number of visits is kept by an actor that the connections call.
//!
//! Run it with `cargo lunatic run --example http_server`, and try `curl http://127.0.0.1:8080/hello/you`,
//! `curl --data-binary @FILE http://127.0.0.1:8080/echo` or `curl http://127.0.0.1:8080/squares`. To set the address,
//! append `-- 127.0.0.1:3000`, for example.

use std::io::{self, Write};
use std::time::Duration;

use lunatic::ExitReason;
use lunatic::actor::{Actor, Next};
use lunatic::mailbox::ReplyTo;
use lunatic_http::{Body, Request, Response, Router, Server, StatusCode};

// ANCHOR: visits
/// Counts visits, so that the connections do not have to share state.
struct Visits(u64);

impl Actor for Visits {
    type Args = ();
    type Call = ReplyTo<u64>;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Visits(0))
    }

    fn handle_call(&mut self, reply: ReplyTo<u64>) -> Next {
        self.0 += 1;
        reply.send(self.0);
        Next::Continue
    }
}
// ANCHOR_END: visits

// ANCHOR: handlers
fn hello(request: Request) -> String {
    format!("Hello, {}!\n", request.param("name"))
}

/// Streams the request body back while it arrives.
fn echo(request: Request) -> Response {
    let kind = request
        .header_text("content-type")
        .unwrap_or("application/octet-stream")
        .to_owned();
    Response::new(request.into_body()).header("content-type", kind)
}

/// A response that is generated while it is sent, and so never lies in memory as a whole.
fn squares(_: Request) -> Response {
    Response::new(Body::stream(|out| {
        (0..100_000_u64).try_for_each(|i| writeln!(out, "{}", i * i))
    }))
}
// ANCHOR_END: handlers

// ANCHOR: main
#[lunatic::main]
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = Server::bind(address.as_str())?;
    let handle = server.handle();
    let visits = Visits::start(()).map_err(io::Error::other)?;

    let app = Router::new()
        .get("/", |_| "Hello from a process of its own!\n")
        .get("/hello/{name}", hello)
        .post("/echo", echo)
        .get("/squares", squares)
        .get("/visits", move |_| match visits.call(|reply| reply) {
            Ok(number) => format!("You are visitor {number}.\n").into(),
            Err(_) => Response::from(StatusCode::SERVICE_UNAVAILABLE),
        })
        .get("/panic", |_| -> Response { panic!("somebody asked for it") })
        // A real server would require authorization for this.
        .post("/drain", move |_| {
            handle.drain(Duration::from_secs(10));
            "The server ends.\n"
        });

    println!("listening on http://{}", server.local_addr()?);
    server.serve(app)
}
// ANCHOR_END: main
