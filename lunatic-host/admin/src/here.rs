//! Answers for a program that runs in this process.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use crate::door::Program;
use crate::request::{self, Asked};
use crate::serving::{Body, Service};
use crate::{answer, events, upgrade};

/// A program, and the clients that receive its events.
pub(crate) struct Here {
    program: Arc<Program>,
    listeners: Arc<Semaphore>,
}

impl Here {
    pub(crate) fn new(program: Program) -> Self {
        Self {
            program: Arc::new(program),
            listeners: Arc::new(Semaphore::new(events::CLIENTS_MAX)),
        }
    }
}

impl Service for Here {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let asked = request::read(
            request.method(),
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        );
        if let Ok(Asked::Events(wanted)) = &asked {
            return match events::begin(&self.program.system, wanted, &self.listeners) {
                Ok(stream) => stream.map(|stream| stream.map_err(|never| match never {}).boxed_unsync()),
                Err(refused) => answer::refuse(refused).map(answer::whole),
            };
        }
        if let Ok(Asked::Upgrade(config)) = asked {
            let answered = upgrade::begin(self.program.clone(), config, request.into_body()).await;
            return answered.map(answer::whole);
        }
        answer::answer(self.program.clone(), asked).await.map(answer::whole)
    }
}
