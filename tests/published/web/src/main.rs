//! An application with routes, JSON, parameters of path and query, a WebSocket, a panic, and sessions kept by a process.
//!
//! (`submillisecond::session` 0.4.1 answers each request with an error on any host: its process handles no request.)

use lunatic::abstract_process;
use lunatic::ap::{AbstractProcess, Config, ProcessRef};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use cookie::Cookie;
use submillisecond::cookies::{cookies_layer, Cookies};
use submillisecond::extract::Query;
use submillisecond::params::Params;
use submillisecond::websocket::{Message, WebSocket, WebSocketUpgrade};
use submillisecond::{router, Application, Json};

/// What visitors have said, kept by a process.
struct Book(Vec<Entry>);

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    name: String,
    text: String,
}

#[abstract_process]
impl Book {
    #[init]
    fn init(_: Config<Self>, _: ()) -> Result<Self, ()> {
        Ok(Self(Vec::new()))
    }

    #[handle_request]
    fn add(&mut self, entry: Entry) -> usize {
        self.0.push(entry);
        self.0.len()
    }

    #[handle_request]
    fn all(&self) -> Vec<Entry> {
        self.0.clone()
    }
}

fn book() -> ProcessRef<Book> {
    ProcessRef::lookup(&"book").unwrap()
}

fn index() -> &'static str {
    "Welcome"
}

fn add(Json(entry): Json<Entry>) -> String {
    book().add(entry).to_string()
}

fn all() -> Json<Vec<Entry>> {
    Json(book().all())
}

fn greet(params: Params) -> String {
    format!("Hello {}", params.get("name").unwrap_or("nobody"))
}

#[derive(Deserialize)]
struct Sum {
    a: i64,
    b: i64,
}

fn sum(Query(Sum { a, b }): Query<Sum>) -> String {
    (a + b).to_string()
}

/// How often each visitor has come.
#[derive(Default)]
struct Sessions(HashMap<String, u32>);

#[abstract_process]
impl Sessions {
    #[init]
    fn init(_: Config<Self>, _: ()) -> Result<Self, ()> {
        Ok(Self::default())
    }

    /// Counts a visit of a visitor, who is new if there is no name: the name, and the count.
    #[handle_request]
    fn visit(&mut self, name: Option<String>) -> (String, u32) {
        let known = name.filter(|name| self.0.contains_key(name));
        let name = known.unwrap_or_else(|| format!("visitor-{}", self.0.len() + 1));
        let count = self.0.entry(name.clone()).or_default();
        *count += 1;
        (name, *count)
    }
}

fn count(mut cookies: Cookies) -> String {
    let name = cookies.get("visitor").map(|cookie| cookie.value().to_owned());
    let sessions = ProcessRef::<Sessions>::lookup(&"sessions").unwrap();
    let (name, count) = sessions.visit(name);
    cookies.add(Cookie::new("visitor", name));
    count.to_string()
}

fn fail() -> &'static str {
    panic!("on purpose")
}

fn socket(socket: WebSocket) -> WebSocketUpgrade {
    socket.on_upgrade((), |mut connection, ()| loop {
        match connection.read_message() {
            Ok(Message::Text(text)) => connection.write_message(Message::Text(format!("{text}!"))).unwrap(),
            Ok(Message::Close(_)) | Err(_) => return,
            Ok(_) => {}
        }
    })
}

fn main() -> std::io::Result<()> {
    Book::link().start_as(&"book", ()).unwrap();
    Sessions::link().start_as(&"sessions", ()).unwrap();
    Application::new(router! {
        GET "/" => index
        GET "/entries" => all
        POST "/entries" => add
        GET "/greet/:name" => greet
        GET "/sum" => sum
        GET "/fail" => fail
        GET "/socket" => socket
        "/session" => {
            with cookies_layer;

            GET "/count" => count
        }
    })
    .serve("127.0.0.1:0")
}
