//! The request that a process gets, and the bodies of requests and of answers that it gets.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynPollable};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HostFutureTrailers, HostIncomingBody, HostIncomingRequest, Method, Scheme,
};
use wasmtime_wasi_http::p2::body::{HostFutureTrailers as FutureTrailers, HostIncomingBody as IncomingBody};
use wasmtime_wasi_http::p2::types::HostIncomingRequest as IncomingRequest;

use crate::imports::component::state::{State, View};

impl View<'_> {
    /// Calls `make`, which may give the process a handle, or say that there is none.
    pub(super) fn giving_maybe<T>(
        &mut self,
        make: impl FnOnce(&mut State) -> Result<Result<T, ()>>,
    ) -> Result<Result<T, ()>> {
        self.gives()?;
        let made = make(self.state());
        if !matches!(made, Ok(Ok(_))) {
            self.dropped();
        }
        made
    }
}

/// Functions that only pass on what they are asked.
macro_rules! pass_on {
    ($($name:ident -> $result:ty;)*) => {$(
        fn $name(&mut self, request: Resource<IncomingRequest>) -> Result<$result> {
            HostIncomingRequest::$name(&mut self.state().http(), request)
        }
    )*};
}

impl HostIncomingRequest for View<'_> {
    pass_on! {
        method -> Method;
        path_with_query -> Option<String>;
        scheme -> Option<Scheme>;
        authority -> Option<String>;
    }

    fn headers(&mut self, request: Resource<IncomingRequest>) -> Result<Resource<FieldMap>> {
        self.giving_fields(|trap| trap, |http| HostIncomingRequest::headers(http, request))
    }

    fn consume(&mut self, request: Resource<IncomingRequest>) -> Result<Result<Resource<IncomingBody>, ()>> {
        self.giving_maybe(|state| HostIncomingRequest::consume(&mut state.http(), request))
    }

    fn drop(&mut self, request: Resource<IncomingRequest>) -> Result<()> {
        self.dropping(|state| HostIncomingRequest::drop(&mut state.http(), request))
    }
}

impl HostIncomingBody for View<'_> {
    fn stream(&mut self, body: Resource<IncomingBody>) -> Result<Result<Resource<DynInputStream>, ()>> {
        self.giving_maybe(|state| HostIncomingBody::stream(&mut state.http(), body))
    }

    /// One handle for another, which takes over its weight.
    fn finish(&mut self, body: Resource<IncomingBody>) -> Result<Resource<FutureTrailers>> {
        let state = self.state();
        let weight = state.http.forget(body.rep());
        let trailers = HostIncomingBody::finish(&mut state.http(), body)?;
        state.http.weigh(trailers.rep(), weight);
        Ok(trailers)
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> Result<()> {
        self.dropping(|state| {
            state.http.forget(body.rep());
            HostIncomingBody::drop(&mut state.http(), body)
        })
    }
}

impl HostFutureTrailers for View<'_> {
    fn subscribe(&mut self, trailers: Resource<FutureTrailers>) -> Result<Resource<DynPollable>> {
        self.giving(
            |trap| trap,
            |state| HostFutureTrailers::subscribe(&mut state.http(), trailers),
        )
    }

    fn get(
        &mut self,
        trailers: Resource<FutureTrailers>,
    ) -> Result<Option<Result<Result<Option<Resource<FieldMap>>, ErrorCode>, ()>>> {
        self.gives()?;
        let got = HostFutureTrailers::get(&mut self.state().http(), trailers);
        match &got {
            Ok(Some(Ok(Ok(Some(fields))))) => self.weigh_fields(fields)?,
            _ => self.dropped(),
        }
        got
    }

    fn drop(&mut self, trailers: Resource<FutureTrailers>) -> Result<()> {
        self.dropping(|state| {
            state.http.forget(trailers.rep());
            HostFutureTrailers::drop(&mut state.http(), trailers)
        })
    }
}
