//! `wasi:http`: a process gets a request and answers it, and sends requests. wasmtime-wasi-http does the work of the former,
//! [`outgoing`](crate::outgoing) of the latter; what a process keeps in the host is counted and charged here.
//!
//! | module | purpose |
//! |---|---|
//! | `fields` | headers and trailers |
//! | `incoming` | the request that a process gets, and the bodies that it reads |
//! | `outgoing` | its answer, and the bodies that it writes |
//! | `client`, `send` | requests that it sends, and their answers |
//!
//! # What is charged
//!
//! The *weight* of a handle is what the host keeps for it in addition to the handle itself: the texts of fields, and the
//! parts of a body that wait to be sent. Fields that an answer has taken over weigh with the answer. A handle that shares
//! fields with another weighs as much, because it may outlive the other. A request that is sent is paid for with its
//! connection ([`Paid`](crate::outgoing::Paid)).

mod client;
mod fields;
mod incoming;
mod outgoing;
mod send;

use std::sync::Arc;

use lunatic_kernel::hash::NumberMap;
use tokio::sync::oneshot;
use wasmtime::Result;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi_http::p2::HttpError;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, HeaderError, Scheme};
use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};
use wasmtime_wasi_http::{Error, FieldMap, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

use super::file_streams::PART_MAX;
use super::state::{State, View, Wasi02, view};
use crate::instance::{Ctx, Given, Requests};
use crate::outgoing::SendError;
use crate::request::{Answer, BodyError, Completion, FIELDS_SIZE_MAX, Lifeline, Request, fields_size};

/// The most bytes of a body that are written in one part, and how many parts may wait.
const BODY_PART_MAX: usize = PART_MAX / 2;
const BODY_PARTS: usize = 1;
/// What a body holds that has not been sent. wasmtime-wasi-http needs room for one part more.
const BODY_SIZE: usize = (BODY_PARTS + 1) * BODY_PART_MAX;

/// How processes get requests.
pub(crate) const REQUESTS: Requests = Requests { begin, is_answered };

/// Defines the functions of `wasi:http`.
pub(super) fn add(linker: &mut Linker<Ctx>) -> Result<()> {
    let options = LinkOptions::default();
    http::types::add_to_linker::<Ctx, Wasi02>(linker, &(&options).into(), view)?;
    http::outgoing_handler::add_to_linker::<Ctx, Wasi02>(linker, view)
}

/// What a process has of HTTP.
#[derive(Default)]
pub(super) struct Http {
    context: Context,
    hooks: Hooks,
    /// The weight of each handle that has one, in bytes, by the number of the handle; and their sum.
    weights: NumberMap<u32, usize>,
    total: usize,
    /// For each answer or request whose body was taken, and for each such body: whether it has been finished.
    heads: NumberMap<u32, Completion>,
    bodies: NumberMap<u32, Completion>,
    /// Shared with each connection of a request that was sent.
    connections: Arc<()>,
    answer: Option<oneshot::Sender<Answer>>,
    is_answered: bool,
    /// Kept until the process has ended.
    _lifeline: Option<Lifeline>,
}

/// wasmtime-wasi-http's own context, with our limit.
struct Context(WasiHttpCtx);

impl Default for Context {
    fn default() -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS_SIZE_MAX);
        Self(context)
    }
}

impl Http {
    /// The bytes that are charged.
    pub(super) fn size(&self) -> usize {
        self.total
    }

    /// How many connections there are for requests that the process has sent.
    pub(super) fn connections(&self) -> usize {
        Arc::strong_count(&self.connections) - 1
    }

    /// Sets the weight of a handle.
    fn weigh(&mut self, handle: u32, weight: usize) {
        self.total -= self.take_weight(handle);
        if weight > 0 {
            self.weights.insert(handle, weight);
            self.total += weight;
        }
    }

    /// Removes the weight of a handle without changing the sum.
    fn take_weight(&mut self, handle: u32) -> usize {
        self.weights.remove(&handle).unwrap_or(0)
    }

    fn forget(&mut self, handle: u32) -> usize {
        let weight = self.take_weight(handle);
        self.total -= weight;
        weight
    }
}

impl State {
    /// The process as wasmtime-wasi-http sees it.
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http.hooks,
            table: self.context.ctx().table,
            ctx: &mut self.http.context.0,
        }
    }

    /// The bytes of the fields of a handle.
    fn fields_size(&mut self, fields: &Resource<FieldMap>) -> usize {
        self.table().get(fields).map_or(0, |fields| fields_size(fields))
    }

    /// Sets the weight of a handle of fields.
    fn weigh_fields(&mut self, fields: &Resource<FieldMap>) {
        let size = self.fields_size(fields);
        self.http.weigh(fields.rep(), size);
    }
}

/// What is ours in wasmtime-wasi-http.
#[derive(Default)]
struct Hooks;

impl WasiHttpHooks for Hooks {
    /// Never called: our own `handle` sends requests.
    fn send_request(
        &mut self,
        _: ::http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = send::Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_PARTS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_PART_MAX
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Gone => Self::ConnectionTerminated,
            BodyError::TooSlow => Self::ConnectionReadTimeout,
            BodyError::Incomplete => Self::HttpResponseIncomplete,
        }
    }
}

/// The code of an error that [`BodyError`] became.
fn code_of_body(error: &Error) -> ErrorCode {
    match error {
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        error => ErrorCode::InternalError(Some(error.to_string())),
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Denied => Self::HttpRequestDenied,
            SendError::NoHost => Self::DnsError {
                rcode: None,
                info_code: None,
            },
            SendError::Refused => Self::ConnectionRefused,
            SendError::Unroutable => Self::DestinationIpUnroutable,
            SendError::Unavailable => Self::DestinationUnavailable,
            SendError::ConnectTimeout => Self::ConnectionTimeout,
            SendError::AnswerTimeout => Self::HttpResponseTimeout,
            SendError::Certificate => Self::TlsCertificateError,
            SendError::Alert(id, message) => Self::TlsAlertReceived {
                alert_id: Some(id),
                alert_message: Some(message),
            },
            SendError::Tls => Self::TlsProtocolError,
            SendError::NoTls(why) => Self::InternalError(Some(why)),
            SendError::Closed => Self::ConnectionTerminated,
            SendError::HeadTooLong => Self::HttpResponseHeaderSectionSize(None),
            SendError::Protocol => Self::HttpProtocolError,
            SendError::Unfinished => Self::InternalError(Some("the body of the request was not finished".into())),
        }
    }
}

/// Gives the process in a store its request.
fn begin(ctx: &mut Ctx, request: Request) -> Result<Given> {
    let mut view = view(ctx);
    let Request {
        request,
        answer,
        lifeline,
    } = request;
    let http = &mut view.state().http;
    (http.answer, http._lifeline) = (Some(answer), Some(lifeline));
    let request = view.giving(
        |trap| trap,
        |state| state.http().new_incoming_request(Scheme::Http, request.into_inner()),
    )?;
    // Our own `set` answers: it knows whether there is a body.
    let place = view.giving(
        |trap| trap,
        |state| state.http().new_response_outparam_from_callback(drop),
    )?;
    Ok((request, place))
}

fn is_answered(ctx: &mut Ctx) -> bool {
    view(ctx).state().http.is_answered
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: HttpError) -> Result<ErrorCode> {
        error.downcast()
    }

    fn convert_header_error(&mut self, error: wasmtime_wasi_http::p2::HeaderError) -> Result<HeaderError> {
        error.downcast()
    }

    fn http_error_code(&mut self, error: Resource<types::IoError>) -> Result<Option<ErrorCode>> {
        // Those of bodies are errors of wasmtime-wasi-http, which looks for codes only.
        let of_body = self.state().table().get(&error)?.downcast_ref().map(code_of_body);
        match of_body {
            Some(code) => Ok(Some(code)),
            None => types::Host::http_error_code(&mut self.state().http(), error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_summed() {
        let mut http = Http::default();
        http.weigh(1, 100);
        http.weigh(2, 10);
        http.weigh(1, 50);
        http.weigh(3, 0);
        assert_eq!(http.size(), 60);
        assert_eq!((http.forget(1), http.forget(1)), (50, 0));
        assert_eq!(http.size(), 10);
        assert_eq!(http.forget(2), 10);
        assert_eq!((http.size(), http.weights.len()), (0, 0));
    }
}
