//! The answer of a process, and its body.

use http_body_util::BodyExt as _;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HostOutgoingBody, HostOutgoingResponse, HostResponseOutparam,
};
use wasmtime_wasi_http::p2::body::HostOutgoingBody as OutgoingBody;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostOutgoingResponse as OutgoingResponse, HostResponseOutparam as Outparam};
use wasmtime_wasi_http::p2::{HttpError, HttpResult};

use super::BODY_SIZE;
use crate::imports::component::state::View;
use crate::request::{Answered, BodyError, Completion};

/// How much of an error that a handler answers with is reported, in bytes.
const ERROR_LEN_MAX: usize = 1024;

impl HostOutgoingResponse for View<'_> {
    /// One handle for another, which takes over its weight.
    fn new(&mut self, headers: Resource<FieldMap>) -> Result<Resource<OutgoingResponse>> {
        let state = self.state();
        let weight = state.http.forget(headers.rep());
        let response = HostOutgoingResponse::new(&mut state.http(), headers)?;
        state.http.weigh(response.rep(), weight);
        Ok(response)
    }

    /// The answer pays for what waits to be sent: it holds that until it is given away or dropped.
    fn body(&mut self, response: Resource<OutgoingResponse>) -> Result<Result<Resource<OutgoingBody>, ()>> {
        let handle = response.rep();
        let body = self.giving_maybe(|state| HostOutgoingResponse::body(&mut state.http(), response))?;
        if let Ok(body) = &body {
            let completion = Completion::default();
            let http = &mut self.state().http;
            let weight = http.forget(handle);
            http.weigh(handle, weight + BODY_SIZE);
            http.heads.insert(handle, completion.clone());
            http.bodies.insert(body.rep(), completion);
            self.settle()?;
        }
        Ok(body)
    }

    fn status_code(&mut self, response: Resource<OutgoingResponse>) -> Result<u16> {
        HostOutgoingResponse::status_code(&mut self.state().http(), response)
    }

    fn set_status_code(&mut self, response: Resource<OutgoingResponse>, status: u16) -> Result<Result<(), ()>> {
        HostOutgoingResponse::set_status_code(&mut self.state().http(), response, status)
    }

    fn headers(&mut self, response: Resource<OutgoingResponse>) -> Result<Resource<FieldMap>> {
        self.giving_fields(|trap| trap, |http| HostOutgoingResponse::headers(http, response))
    }

    fn drop(&mut self, response: Resource<OutgoingResponse>) -> Result<()> {
        self.dropping(|state| {
            state.http.forget(response.rep());
            state.http.heads.remove(&response.rep());
            HostOutgoingResponse::drop(&mut state.http(), response)
        })
    }
}

impl HostOutgoingBody for View<'_> {
    fn write(&mut self, body: Resource<OutgoingBody>) -> Result<Result<Resource<DynOutputStream>, ()>> {
        self.giving_maybe(|state| HostOutgoingBody::write(&mut state.http(), body))
    }

    fn finish(&mut self, body: Resource<OutgoingBody>, trailers: Option<Resource<FieldMap>>) -> HttpResult<()> {
        let fields = trailers.as_ref().map(Resource::rep);
        let completion = self.state().http.bodies.remove(&body.rep());
        // First: the end of the body may be seen at once.
        if let Some(completion) = completion {
            completion.finish();
        }
        if let Some(fields) = fields {
            self.dropping(|state| state.http.forget(fields));
        }
        self.dropping(|state| HostOutgoingBody::finish(&mut state.http(), body, trailers))
    }

    fn drop(&mut self, body: Resource<OutgoingBody>) -> Result<()> {
        self.dropping(|state| {
            state.http.bodies.remove(&body.rep());
            HostOutgoingBody::drop(&mut state.http(), body)
        })
    }
}

impl HostResponseOutparam for View<'_> {
    fn set(
        &mut self,
        place: Resource<Outparam>,
        response: Result<Resource<OutgoingResponse>, ErrorCode>,
    ) -> Result<()> {
        let answer = match response {
            Ok(response) => Ok(self.answered(response)?),
            Err(code) => Err(cut(code.to_string())),
        };
        self.dropping(|state| state.table().delete(place))?;
        let http = &mut self.state().http;
        http.is_answered = true;
        if let Some(place) = http.answer.take() {
            // If nobody waits for it any more, the process is about to be killed.
            let _ = place.send(answer);
        }
        Ok(())
    }

    fn send_informational(&mut self, _: Resource<Outparam>, _: u16, _: Resource<FieldMap>) -> HttpResult<()> {
        // The function is not linked: it is unstable in WASI 0.2.
        Err(HttpError::trap(Error::msg("informational answers are not implemented")))
    }

    fn drop(&mut self, place: Resource<Outparam>) -> Result<()> {
        self.dropping(|state| {
            state.http.answer = None;
            HostResponseOutparam::drop(&mut state.http(), place)
        })
    }
}

/// The beginning of a text, which the guest may have chosen.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ERROR_LEN_MAX));
    text
}

impl View<'_> {
    /// Takes an answer from the process.
    fn answered(&mut self, response: Resource<OutgoingResponse>) -> Result<Answered> {
        let handle = response.rep();
        let http = &mut self.state().http;
        http.forget(handle);
        let completion = http.heads.remove(&handle).unwrap_or_else(Completion::complete);
        let response = self.dropping(|state| state.table().delete(response))?;
        let response: ::http::Response<HyperOutgoingBody> = response.try_into()?;
        let response = response.map(|body| body.map_err(|_| BodyError::Incomplete).boxed_unsync());
        Ok(Answered { response, completion })
    }
}
