//! Answers for another program beside this one: passes on what its door returns.

use std::path::Path;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::answer;
use crate::client::{Client, Trouble};
use crate::serving::{Body, Service};

/// How long a program may take to begin its answer before it counts as stuck.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A program that is known by its socket.
pub(crate) struct Beside(Client);

impl Beside {
    pub(crate) fn new(socket: &Path) -> Self {
        Self(Client::new(socket))
    }

    async fn pass_on(&self, method: Method, path: &str, body: Incoming) -> Result<Response<Body>, Trouble> {
        let begun = timeout(TIMEOUT, self.0.begin_with(method, path, body)).await;
        // The connection is a task that ends with the body.
        let (answer, _) = begun.map_err(|late| Trouble::NoAnswer(late.to_string()))??;
        let (head, body) = answer.into_parts();
        let mut answer = Response::new(body.boxed_unsync());
        *answer.status_mut() = head.status;
        for name in [CONTENT_TYPE, CACHE_CONTROL] {
            if let Some(value) = head.headers.get(&name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        Ok(answer)
    }
}

impl Service for Beside {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let passed = self.pass_on(head.method, path, body).await;
        passed.unwrap_or_else(|trouble| answer::error(StatusCode::BAD_GATEWAY, trouble.to_string()).map(answer::whole))
    }
}
