//! A chat in the browser: each page has a WebSocket to its own process, and these processes form a group.
//!
//! Run it with `cargo lunatic run --example chat`, and open <http://127.0.0.1:8080> in two windows.

use std::io;

use lunatic::registry::Group;
use lunatic::{Mailbox, this_process};
use lunatic_http::websocket::{self, Message, Received, WebSocket};
use lunatic_http::{Request, Response, Router, Server};
use serde::{Deserialize, Serialize};

// ANCHOR: talk
/// The messages that a process of the chat receives.
#[derive(Serialize, Deserialize)]
enum Heard {
    /// From its own page.
    Page(Received),
    /// From the group, to be shown on the page.
    Line(String),
}

impl From<Received> for Heard {
    fn from(event: Received) -> Self {
        Heard::Page(event)
    }
}

fn enter(request: Request) -> Response {
    let name = request.param("name").to_owned();
    websocket::upgrade(request, move |socket| {
        if let Err(error) = talk(socket, &name) {
            eprintln!("{name} cannot take part: {error}");
        }
    })
}

/// The process of one guest, until the page is closed.
fn talk(socket: WebSocket, name: &str) -> io::Result<()> {
    let room = Group::named("room");
    let heard = Mailbox::<Heard>::new();
    room.join(this_process()).map_err(io::Error::other)?;
    let say = |line: String| room.broadcast(&Heard::Line(line));
    let mut page = socket.split(heard.address())?;
    say(format!("{name} comes in"));
    loop {
        let shown = match heard.receive() {
            Heard::Line(line) => page.send(line),
            Heard::Page(event) => match page.accept(event) {
                Ok(Some(Message::Text(text))) => {
                    say(format!("{name}: {text}"));
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(over) => Err(over),
            },
        };
        if shown.is_err() {
            room.leave(this_process());
            say(format!("{name} has left"));
            return Ok(());
        }
    }
}
// ANCHOR_END: talk

#[lunatic::main]
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = Server::bind(address.as_str())?;
    println!("listening on http://{}", server.local_addr()?);
    let app = Router::new()
        .get("/", |_| Response::html(include_str!("chat.html")))
        .get("/chat/{name}", enter);
    server.serve(app)
}
