//! An application with routes, JSON, parameters of path and query, a session, a WebSocket, a panic, and state in a process.

use lunatic::abstract_process;
use lunatic::ap::{AbstractProcess, Config, ProcessRef};
use serde::{Deserialize, Serialize};
use submillisecond::cookies::{cookies_layer, Key};
use submillisecond::extract::Query;
use submillisecond::params::Params;
use submillisecond::session::{init_session, Session};
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

fn count(mut session: Session<u32>) -> String {
    *session += 1;
    session.to_string()
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
    init_session(Key::from(&[7; 64]));
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
