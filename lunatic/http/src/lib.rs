//! HTTP/1.1 and WebSockets for Lunatic: each connection is a process.
//!
//! ```no_run
//! use lunatic_http::{Request, Router, Server};
//!
//! fn main() -> std::io::Result<()> {
//!     let app = Router::new()
//!         .get("/", |_| "Hello!\n")
//!         .get("/hello/{name}", |request: Request| format!("Hello, {}!\n", request.param("name")));
//!     Server::bind("127.0.0.1:8080")?.serve(app)
//! }
//! ```
//!
//! A [`Server`] accepts connections and spawns a process for each, which reads requests and calls a [`Handler`]: a closure, a
//! function or a [`Router`]. Handlers are copied into those processes, so they capture what is `Copy`, and keep state in
//! processes they ask: an actor, a channel. When one panics, its connection ends, and nothing else.
//!
//! What a client may cost is bounded by [`Limits`]; the defaults are made for servers that anybody can reach.
//!
//! [`Client`] sends requests, and [`websocket`] has both ends of WebSockets.
//!
//! The types [`Method`], [`StatusCode`], [`HeaderMap`] and [`Uri`] are those of the crate `http`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod body;
mod chunked;
pub mod client;
mod conn;
mod head;
mod limits;
mod reject;
mod request;
mod response;
mod router;
mod serve;
mod server;
mod trace;
mod transport;
mod upgrade;
pub mod websocket;

pub use body::Body;
pub use client::Client;
pub use http::{HeaderMap, Method, StatusCode, Uri, Version, header};
pub use limits::Limits;
pub use reject::Reject;
pub use request::Request;
pub use response::{BodyWriter, Response};
pub use router::{End, Handler, Route, Router, Routes};
pub use serve::serve_connection;
#[doc(hidden)]
pub use server::Stream;
pub use server::{Made, Server, ServerHandle};
pub use transport::Transport;
