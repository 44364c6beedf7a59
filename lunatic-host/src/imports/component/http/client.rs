//! Requests that a process sends: their parts, their options, and their answers. `send` sends them.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_http::p2::bindings::http::types::{
    self, ErrorCode, HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest, HostRequestOptions, Method,
    Scheme,
};
use wasmtime_wasi_http::p2::body::{HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse as FutureResponse, HostIncomingResponse as IncomingResponse,
    HostOutgoingRequest as OutgoingRequest,
};
use wasmtime_wasi_http::{FieldMap, RequestOptions};

use super::BODY_SIZE;
use crate::imports::component::state::View;
use crate::outgoing::TRAILERS_SIZE;
use crate::request::{Completion, fields_size};

/// The longest text of a request, in bytes: its method, scheme, authority or path.
const TEXT_LEN_MAX: usize = 4 << 10;
const TEXTS: usize = 4;

/// Functions that only pass on what they are asked.
macro_rules! pass_on {
    ($of:ident $handle:ty: $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&mut self, handle: Resource<$handle>, $($argument: $type),*) -> Result<$result> {
            $of::$name(&mut self.state().http(), handle, $($argument),*)
        }
    )*};
}

impl HostOutgoingRequest for View<'_> {
    pass_on! {
        HostOutgoingRequest OutgoingRequest:
        method() -> Method;
        path_with_query() -> Option<String>;
        scheme() -> Option<Scheme>;
        authority() -> Option<String>;
    }

    /// One handle for another, which also pays for the texts that it may get.
    fn new(&mut self, headers: Resource<FieldMap>) -> Result<Resource<OutgoingRequest>> {
        let state = self.state();
        let weight = state.http.forget(headers.rep());
        let request = HostOutgoingRequest::new(&mut state.http(), headers)?;
        state.http.weigh(request.rep(), weight + TEXTS * TEXT_LEN_MAX);
        self.settle()?;
        Ok(request)
    }

    fn body(&mut self, request: Resource<OutgoingRequest>) -> Result<Result<Resource<HostOutgoingBody>, ()>> {
        let handle = request.rep();
        let body = self.giving_maybe(|state| HostOutgoingRequest::body(&mut state.http(), request))?;
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

    fn set_method(&mut self, request: Resource<OutgoingRequest>, method: Method) -> Result<Result<(), ()>> {
        if matches!(&method, Method::Other(text) if text.len() > TEXT_LEN_MAX) {
            return Ok(Err(()));
        }
        HostOutgoingRequest::set_method(&mut self.state().http(), request, method)
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<OutgoingRequest>,
        path: Option<String>,
    ) -> Result<Result<(), ()>> {
        if is_too_long(path.as_ref()) {
            return Ok(Err(()));
        }
        HostOutgoingRequest::set_path_with_query(&mut self.state().http(), request, path)
    }

    fn set_scheme(&mut self, request: Resource<OutgoingRequest>, scheme: Option<Scheme>) -> Result<Result<(), ()>> {
        if matches!(&scheme, Some(Scheme::Other(text)) if text.len() > TEXT_LEN_MAX) {
            return Ok(Err(()));
        }
        HostOutgoingRequest::set_scheme(&mut self.state().http(), request, scheme)
    }

    fn set_authority(
        &mut self,
        request: Resource<OutgoingRequest>,
        authority: Option<String>,
    ) -> Result<Result<(), ()>> {
        if is_too_long(authority.as_ref()) {
            return Ok(Err(()));
        }
        HostOutgoingRequest::set_authority(&mut self.state().http(), request, authority)
    }

    fn headers(&mut self, request: Resource<OutgoingRequest>) -> Result<Resource<FieldMap>> {
        self.giving_fields(|trap| trap, |http| HostOutgoingRequest::headers(http, request))
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> Result<()> {
        self.dropping(|state| {
            state.http.forget(request.rep());
            state.http.heads.remove(&request.rep());
            HostOutgoingRequest::drop(&mut state.http(), request)
        })
    }
}

fn is_too_long(text: Option<&String>) -> bool {
    text.is_some_and(|text| text.len() > TEXT_LEN_MAX)
}

impl HostRequestOptions for View<'_> {
    pass_on! {
        HostRequestOptions RequestOptions:
        connect_timeout() -> Option<types::Duration>;
        set_connect_timeout(time: Option<types::Duration>) -> Result<(), ()>;
        first_byte_timeout() -> Option<types::Duration>;
        set_first_byte_timeout(time: Option<types::Duration>) -> Result<(), ()>;
        between_bytes_timeout() -> Option<types::Duration>;
        set_between_bytes_timeout(time: Option<types::Duration>) -> Result<(), ()>;
    }

    fn new(&mut self) -> Result<Resource<RequestOptions>> {
        self.giving(|trap| trap, |state| HostRequestOptions::new(&mut state.http()))
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> Result<()> {
        self.dropping(|state| HostRequestOptions::drop(&mut state.http(), options))
    }
}

impl HostFutureIncomingResponse for View<'_> {
    /// The handle of the answer pays for its head.
    fn get(
        &mut self,
        answer: Resource<FutureResponse>,
    ) -> Result<Option<Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>>> {
        self.gives()?;
        let got = HostFutureIncomingResponse::get(&mut self.state().http(), answer);
        let Ok(Some(Ok(Ok(response)))) = &got else {
            self.dropped();
            return got;
        };
        let state = self.state();
        let size = state.table().get(response).map_or(0, |head| fields_size(&head.headers));
        state.http.weigh(response.rep(), size);
        self.settle()?;
        got
    }

    fn subscribe(&mut self, answer: Resource<FutureResponse>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| HostFutureIncomingResponse::subscribe(&mut state.http(), answer),
        )
    }

    /// A request that has not been answered is given up.
    fn drop(&mut self, answer: Resource<FutureResponse>) -> Result<()> {
        self.dropping(|state| HostFutureIncomingResponse::drop(&mut state.http(), answer))
    }
}

impl HostIncomingResponse for View<'_> {
    fn status(&mut self, response: Resource<IncomingResponse>) -> Result<u16> {
        HostIncomingResponse::status(&mut self.state().http(), response)
    }

    fn headers(&mut self, response: Resource<IncomingResponse>) -> Result<Resource<FieldMap>> {
        self.giving_fields(|trap| trap, |http| HostIncomingResponse::headers(http, response))
    }

    /// The body pays for the trailers, which may outlive the connection.
    fn consume(&mut self, response: Resource<IncomingResponse>) -> Result<Result<Resource<HostIncomingBody>, ()>> {
        let body = self.giving_maybe(|state| HostIncomingResponse::consume(&mut state.http(), response))?;
        if let Ok(body) = &body {
            self.state().http.weigh(body.rep(), TRAILERS_SIZE);
            self.settle()?;
        }
        Ok(body)
    }

    fn drop(&mut self, response: Resource<IncomingResponse>) -> Result<()> {
        self.dropping(|state| {
            state.http.forget(response.rep());
            HostIncomingResponse::drop(&mut state.http(), response)
        })
    }
}
