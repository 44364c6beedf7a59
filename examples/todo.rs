//! A to-do list whose changes appear on all open pages: an actor has the list, scripts change it by JSON, and pages follow it by
//! server-sent events.
//!
//! Run it with `cargo lunatic run --example todo`, and open <http://127.0.0.1:8080> in two windows. Without a browser:
//! `curl --json '{"title": "Buy milk"}' http://127.0.0.1:8080/items`, and `curl http://127.0.0.1:8080/items`.

use std::io;
use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::{CallError, ReplyTo};
use lunatic::registry::Group;
use lunatic::{ExitReason, Mailbox, this_process};
use lunatic_http::{
    BadInput, BodyLimit, Compress, DevelopmentPages, ETags, Event, Handler, Request, RequestLog, Response, Router,
    Server, StatusCode,
};
use serde::{Deserialize, Serialize};

/// The longest title, in characters.
const TITLE_LEN_MAX: usize = 200;
/// The most items on the list.
const ITEMS_MAX: usize = 1_000;
/// After this time without changes, a page gets a sign of life.
const QUIET: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    id: u64,
    title: String,
    done: bool,
}

/// A new item, as a client sends it.
#[derive(Deserialize)]
struct Draft {
    title: String,
}

/// A change of an item. Fields that are absent stay as they are.
#[derive(Serialize, Deserialize)]
struct Change {
    title: Option<String>,
    done: Option<bool>,
}

/// The list. It belongs to one process, so changes happen one after another.
#[derive(Default)]
struct List {
    items: Vec<Item>,
    last_id: u64,
    /// The number of changes so far.
    version: u64,
}

#[derive(Serialize, Deserialize)]
enum Call {
    All(ReplyTo<(u64, Vec<Item>)>),
    /// Answers `None` if the list is full.
    Add(String, ReplyTo<Option<Item>>),
    /// Answers `None` if there is no such item.
    Change(u64, Change, ReplyTo<Option<Item>>),
    Remove(u64, ReplyTo<bool>),
}

/// Tells the processes of open pages to ask for the list again.
#[derive(Serialize, Deserialize)]
struct Changed;

/// The processes of all open pages.
fn pages() -> Group {
    Group::named("todo pages")
}

impl List {
    fn has_changed(&mut self) {
        self.version += 1;
        pages().broadcast(&Changed);
    }

    fn add(&mut self, title: String) -> Option<Item> {
        if self.items.len() >= ITEMS_MAX {
            return None;
        }
        self.last_id += 1;
        let item = Item {
            id: self.last_id,
            title,
            done: false,
        };
        self.items.push(item.clone());
        self.has_changed();
        Some(item)
    }

    fn change(&mut self, id: u64, change: Change) -> Option<Item> {
        let item = self.items.iter_mut().find(|item| item.id == id)?;
        if let Some(title) = change.title {
            item.title = title;
        }
        if let Some(done) = change.done {
            item.done = done;
        }
        let item = item.clone();
        self.has_changed();
        Some(item)
    }

    fn remove(&mut self, id: u64) -> bool {
        let before = self.items.len();
        self.items.retain(|item| item.id != id);
        let is_removed = self.items.len() < before;
        if is_removed {
            self.has_changed();
        }
        is_removed
    }
}

impl Actor for List {
    type Args = ();
    type Call = Call;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(List::default())
    }

    fn handle_call(&mut self, call: Call) -> Next {
        match call {
            Call::All(reply) => reply.send((self.version, self.items.clone())),
            Call::Add(title, reply) => reply.send(self.add(title)),
            Call::Change(id, change, reply) => reply.send(self.change(id, change)),
            Call::Remove(id, reply) => reply.send(self.remove(id)),
        };
        Next::Continue
    }
}

type Answer = Result<Response, BadInput>;

fn checked(title: &str) -> Result<String, BadInput> {
    let title = title.trim();
    match title.chars().count() {
        1..=TITLE_LEN_MAX => Ok(title.to_owned()),
        _ => Err(BadInput::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("a title has 1 to {TITLE_LEN_MAX} characters"),
        )),
    }
}

/// The error if the actor does not answer.
fn unavailable(_: CallError) -> BadInput {
    BadInput::new(StatusCode::SERVICE_UNAVAILABLE, "the list cannot be reached")
}

fn no_item() -> BadInput {
    BadInput::new(StatusCode::NOT_FOUND, "there is no such item")
}

fn all(list: ActorRef<List>) -> Answer {
    let (_, items) = list.call(Call::All).map_err(unavailable)?;
    Ok(Response::json(&items))
}

fn add(list: ActorRef<List>, mut request: Request) -> Answer {
    let title = checked(&request.json::<Draft>()?.title)?;
    let item = list.call(|reply| Call::Add(title, reply)).map_err(unavailable)?;
    let item = item.ok_or_else(|| BadInput::new(StatusCode::CONFLICT, "the list is full"))?;
    let path = format!("/items/{}", item.id);
    Ok(Response::json(&item)
        .with_status(StatusCode::CREATED)
        .header("location", path))
}

fn change(list: ActorRef<List>, mut request: Request) -> Answer {
    let id = request.param_as("id")?;
    let mut change: Change = request.json()?;
    change.title = change.title.as_deref().map(checked).transpose()?;
    let item = list
        .call(|reply| Call::Change(id, change, reply))
        .map_err(unavailable)?;
    Ok(Response::json(&item.ok_or_else(no_item)?))
}

fn remove(list: ActorRef<List>, request: Request) -> Answer {
    let id = request.param_as("id")?;
    match list.call(|reply| Call::Remove(id, reply)).map_err(unavailable)? {
        true => Ok(Response::new(()).with_status(StatusCode::NO_CONTENT)),
        false => Err(no_item()),
    }
}

/// Sends the list now, and again after each change. The process of the page's connection waits for changes in its mailbox.
fn live(list: ActorRef<List>) -> Response {
    Response::events(move |page| {
        let news = Mailbox::<Changed>::new();
        // Join before asking for the list, so that no change is missed.
        pages().join(this_process()).map_err(io::Error::other)?;
        loop {
            let (version, items) = list.call(Call::All).map_err(io::Error::other)?;
            page.send(&Event::json(&items).id(version.to_string()))?;
            while news.receive_timeout(QUIET).is_err() {
                page.keep_alive()?;
            }
            // One new list is enough for several changes.
            while news.try_receive().is_ok() {}
        }
    })
}

/// Shows details of errors, in debug builds only.
fn errors(request: Request, next: lunatic_http::Next<'_>) -> Response {
    match cfg!(debug_assertions) {
        true => DevelopmentPages.wrap(request, next),
        false => next.run(request),
    }
}

#[lunatic::main]
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let server = Server::bind(address.as_str())?;
    let list = List::start(()).map_err(io::Error::other)?;
    println!("listening on http://{}", server.local_addr()?);
    let app = Router::new()
        .get("/", |_| Response::html(include_str!("todo.html")))
        .get("/live", move |_| live(list))
        .get("/items", move |_| all(list))
        .post("/items", move |request| add(list, request))
        .patch("/items/{id}", move |request| change(list, request))
        .delete("/items/{id}", move |request| remove(list, request))
        .layer(BodyLimit(4 << 10))
        .layer(Compress)
        .layer(ETags)
        .layer(errors)
        .layer(RequestLog::new());
    server.serve(app)
}
