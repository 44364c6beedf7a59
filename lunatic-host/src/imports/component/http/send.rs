//! `wasi:http/outgoing-handler`: checks a request and the right to send it, charges it, and has it sent.

use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, HOST};
use ::http::uri::{Authority, PathAndQuery};
use ::http::{HeaderMap, HeaderValue, Method, Uri};
use http_body_util::{BodyExt as _, Empty};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse as FutureResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p2::{HttpError, HttpResult};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::imports::component::state::View;
use crate::outgoing::{self, Outgoing, Paid, Target, Times, Whole, connection_size, deny};
use crate::request::{Body, BodyError, Completion};
use crate::rights::net::Verb;

/// What sending a request returns in wasmtime-wasi-http.
pub(super) type Sent = Result<
    (
        ::http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl outgoing_handler::Host for View<'_> {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> HttpResult<Resource<FutureResponse>> {
        let options = match options {
            Some(options) => self.dropping(|state| state.table().delete(options))?,
            None => RequestOptions::default(),
        };
        let handle = request.rep();
        let (request, weight, completion) = self.dropping(|state| {
            let (weight, completion) = (state.http.forget(handle), state.http.heads.remove(&handle));
            let request = state.table().delete(request);
            request.map(|request| (request, weight, completion))
        })?;
        let outgoing = self.outgoing(request, completion, weight, options)?;
        // It is dropped, and so aborted, with the handle or with the process.
        let answer = spawn(async move {
            let (answer, connection) = outgoing::send(outgoing).await?;
            let answer = answer.map(|body| body.map_err(Error::from).boxed_unsync());
            Ok((answer, spawn(connection)))
        });
        self.giving(HttpError::trap, |state| {
            Ok(state.table().push(FutureResponse::Pending(answer))?)
        })
    }
}

impl View<'_> {
    /// The request as it is sent, if the process may send it and can pay for it.
    fn outgoing(
        &mut self,
        request: HostOutgoingRequest,
        completion: Option<Completion>,
        weight: usize,
        options: RequestOptions,
    ) -> Result<Outgoing, ErrorCode> {
        let uses_tls = match request.scheme {
            Some(Scheme::Http) => false,
            // As in other hosts.
            Some(Scheme::Https) | None => true,
            Some(Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
        };
        let authority: Authority = parse(request.authority.as_deref().unwrap_or_default())?;
        let target = Target::of(&authority, if uses_tls { 443 } else { 80 });
        let target = target.ok_or(ErrorCode::HttpRequestUriInvalid)?;
        self.may_send(&target)?;
        let request = to_send(request, &authority, completion)?;
        let charge = self.charge_socket(connection_size(uses_tls) + weight);
        let paid = Paid {
            _charge: charge.map_err(|_| ErrorCode::ConnectionLimitReached)?,
            _place: self.state().http.connections.clone(),
        };
        Ok(Outgoing {
            kernel: self.0.kernel.clone(),
            process: self.process().clone(),
            target,
            uses_tls,
            request,
            times: times(options),
            paid,
        })
    }

    /// Whether the process may connect to this address, or look up this name. Logs a denial. To which addresses of the name
    /// it may connect is checked when they are known.
    fn may_send(&mut self, target: &Target) -> Result<(), ErrorCode> {
        let is_allowed = match target {
            Target::Address(address) => self.may_connect(*address),
            Target::Name(name, _) => {
                let net = &self.process().local.rights.net;
                net.allows_normal(Verb::Resolve, Some(name), None)
            }
        };
        if is_allowed {
            return Ok(());
        }
        deny(self.process(), target);
        Err(ErrorCode::HttpRequestDenied)
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::HttpRequestUriInvalid)
}

/// The request as hyper sends it.
fn to_send(
    request: HostOutgoingRequest,
    authority: &Authority,
    completion: Option<Completion>,
) -> Result<::http::Request<Body>, ErrorCode> {
    let method: Method = request
        .method
        .try_into()
        .map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    // It would ask the server for a connection to another one, which is none that the process has a right for.
    if method == Method::CONNECT {
        return Err(ErrorCode::HttpRequestMethodInvalid);
    }
    let path: PathAndQuery = match request.path_with_query.as_deref() {
        None | Some("") => PathAndQuery::from_static("/"),
        Some(text) => parse(text)?,
    };
    let mut headers = HeaderMap::new();
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    headers.insert(HOST, host);
    headers.extend(HeaderMap::from(request.headers));
    let body = match (request.body, completion) {
        (Some(body), Some(completion)) => {
            let body = body.map_err(|_| BodyError::Incomplete);
            Whole::new(body, completion).boxed_unsync()
        }
        _ => {
            // The server would wait for a body.
            if headers.get(CONTENT_LENGTH).is_some_and(|len| len != "0") {
                return Err(ErrorCode::HttpRequestBodySize(Some(0)));
            }
            Empty::new().map_err(|never| match never {}).boxed_unsync()
        }
    };
    let mut sent = ::http::Request::new(body);
    *sent.method_mut() = method;
    *sent.uri_mut() = Uri::from(path);
    *sent.headers_mut() = headers;
    Ok(sent)
}

fn times(options: RequestOptions) -> Times {
    let or = |own: Option<Duration>, default: Duration| own.unwrap_or(default);
    let default = Times::default();
    Times {
        connect: or(options.connect_timeout, default.connect),
        answer: or(options.first_byte_timeout, default.answer),
        part: or(options.between_bytes_timeout, default.part),
    }
}
