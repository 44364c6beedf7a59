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
//! processes they ask: an actor, a channel. If a handler panics, the client gets 500 with the [id](Request::id) of its request,
//! the report on standard error has the same id, and no other connection is affected.
//!
//! | task | items |
//! |---|---|
//! | read a request | [`Request::query`], [`form`](Request::form), `json`, [`multipart`](Request::multipart), [`param_as`](Request::param_as), [`cookie`](Request::cookie) |
//! | reject a request | [`BadInput`] |
//! | answer | [`Response`] and its `json`, [`html`](Response::html), [`events`](Response::events), [`file`](Response::file); [`Body::stream`], [`Cookie`] |
//! | serve a folder | [`Files`] |
//! | run code around handlers | [`Middleware`]: [`BodyLimit`], `Compress`, [`Cors`], [`DevelopmentPages`], [`ETags`], [`RequestLog`], [`TimeLimit`] |
//!
//! What a client may cost is bounded by [`Limits`]; the defaults are made for servers that anybody can reach.
//!
//! The features `json` and `compression` are on by default; without them, their crates are not compiled.
//!
//! [`Client`] sends requests, and [`websocket`] has both ends of WebSockets.
//!
//! The types [`Method`], [`StatusCode`], [`HeaderMap`] and [`Uri`] are those of the crate `http`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod bad_input;
mod body;
mod chunked;
pub mod client;
#[cfg(feature = "compression")]
mod compress;
mod conditional;
mod conn;
mod content_type;
mod cookie;
mod cors;
mod error_page;
mod events;
mod files;
mod head;
#[cfg(feature = "json")]
mod json;
mod limits;
mod media_type;
mod middleware;
mod multipart;
mod panics;
mod params;
mod percent;
mod query;
mod ranges;
mod reject;
mod request;
mod request_id;
mod request_log;
mod response;
mod router;
mod serve;
mod server;
mod time_limit;
mod trace;
mod transport;
mod upgrade;
pub mod websocket;

pub use bad_input::BadInput;
pub use body::Body;
pub use client::Client;
#[cfg(feature = "compression")]
pub use compress::Compress;
pub use conditional::{ETags, Validators};
pub use cookie::{Cookie, CookieKey, SameSite};
pub use cors::Cors;
pub use error_page::DevelopmentPages;
pub use events::{Event, EventStream};
pub use files::Files;
pub use http::{HeaderMap, Method, StatusCode, Uri, Version, header};
pub use limits::Limits;
pub use middleware::{BodyLimit, Layered, Middleware, Next};
pub use multipart::{Multipart, MultipartLimits, Part};
pub use reject::Reject;
pub use request::Request;
pub use request_id::RequestId;
pub use request_log::{Answered, RequestLog};
pub use response::{BodyWriter, Response};
pub use router::{End, Handler, Route, Router, Routes};
pub use serve::serve_connection;
#[doc(hidden)]
pub use server::Stream;
pub use server::{Made, Server, ServerHandle};
pub use time_limit::TimeLimit;
pub use transport::Transport;
