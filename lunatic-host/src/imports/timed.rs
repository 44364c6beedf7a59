//! Defines host functions so that a [profile] shows the time in them.
//!
//! Running WebAssembly is interrupted when a time slice ends, which is when a profile takes its samples. A call of a host
//! function is not: the interruption comes when the code of the process goes on. So while somebody profiles, each call
//! notes when a time slice has ended in it, and the next sample is counted for the call. Otherwise a call costs a load and
//! a branch more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use wasmtime::{Caller, Linker, WasmRet, WasmTy, WasmTyList};

use crate::instance::Ctx;
use crate::profile::{self, Call};
use crate::wasm::{Kernel, Process};

/// Defines host functions that a profile shows.
pub(super) trait Timed {
    /// Like [`Linker::func_wrap`], for functions that take a [`Caller`].
    fn timed<Params, Results>(
        &mut self,
        namespace: &'static str,
        name: &'static str,
        function: impl Function<Params, Results>,
    ) -> wasmtime::Result<&mut Self>;

    /// Like [`Linker::func_wrap_async`].
    fn timed_async<Params, Results>(
        &mut self,
        namespace: &'static str,
        name: &'static str,
        function: impl for<'a> Fn(Caller<'a, Ctx>, Params) -> Box<dyn Future<Output = Results> + Send + 'a>
        + Send
        + Sync
        + 'static,
    ) -> wasmtime::Result<&mut Self>
    where
        Params: WasmTyList + 'static,
        Results: WasmRet + 'static;
}

impl Timed for Linker<Ctx> {
    fn timed<Params, Results>(
        &mut self,
        namespace: &'static str,
        name: &'static str,
        function: impl Function<Params, Results>,
    ) -> wasmtime::Result<&mut Self> {
        function.define(self, Call { namespace, name })
    }

    fn timed_async<Params, Results>(
        &mut self,
        namespace: &'static str,
        name: &'static str,
        function: impl for<'a> Fn(Caller<'a, Ctx>, Params) -> Box<dyn Future<Output = Results> + Send + 'a>
        + Send
        + Sync
        + 'static,
    ) -> wasmtime::Result<&mut Self>
    where
        Params: WasmTyList + 'static,
        Results: WasmRet + 'static,
    {
        let call = Call { namespace, name };
        self.func_wrap_async(namespace, name, move |caller, params| {
            let Some(watch) = Watch::of(&caller, call) else {
                return function(caller, params);
            };
            let future = Box::into_pin(function(caller, params));
            Box::new(Polled { future, watch })
        })
    }
}

/// A host function with these parameters and results.
pub(super) trait Function<Params, Results> {
    fn define(self, linker: &mut Linker<Ctx>, call: Call) -> wasmtime::Result<&mut Linker<Ctx>>;
}

macro_rules! functions {
    ($(($($param:ident)*))*) => {$(
        #[allow(non_snake_case, reason = "the parameters are called like their types")]
        impl<F, $($param,)* R> Function<(Caller<'_, Ctx>, $($param,)*), R> for F
        where
            F: Fn(Caller<'_, Ctx>, $($param),*) -> R + Send + Sync + 'static,
            $($param: WasmTy,)*
            R: WasmRet,
        {
            fn define(self, linker: &mut Linker<Ctx>, call: Call) -> wasmtime::Result<&mut Linker<Ctx>> {
                let timed = move |caller: Caller<'_, Ctx>, $($param: $param),*| {
                    let Some(watch) = Watch::of(&caller, call) else {
                        return self(caller, $($param),*);
                    };
                    let slices = watch.kernel.slices();
                    let results = self(caller, $($param),*);
                    watch.note(slices);
                    results
                };
                linker.func_wrap(call.namespace, call.name, timed)
            }
        }
    )*};
}

functions! {
    ()
    (A1)
    (A1 A2)
    (A1 A2 A3)
    (A1 A2 A3 A4)
    (A1 A2 A3 A4 A5)
    (A1 A2 A3 A4 A5 A6)
    (A1 A2 A3 A4 A5 A6 A7)
    (A1 A2 A3 A4 A5 A6 A7 A8)
    (A1 A2 A3 A4 A5 A6 A7 A8 A9)
}

/// A call that is profiled.
struct Watch {
    kernel: Arc<Kernel>,
    process: Arc<Process>,
    call: Call,
}

impl Watch {
    /// `None` if nobody profiles.
    #[inline]
    fn of(caller: &Caller<'_, Ctx>, call: Call) -> Option<Self> {
        let ctx = caller.data();
        if !ctx.kernel.host.is_profiled.load(Ordering::Relaxed) {
            return None;
        }
        Some(Self {
            kernel: ctx.kernel.clone(),
            process: ctx.running()?.clone(),
            call,
        })
    }

    /// Notes the call if a time slice has ended since there were `slices`.
    fn note(&self, slices: u64) {
        let now = self.kernel.slices();
        if now != slices {
            profile::note_call(&self.kernel, &self.process, self.call, now.wrapping_sub(slices));
        }
    }
}

/// A call that may wait. Only the time in which it is polled is time in the host.
struct Polled<'a, R> {
    future: Pin<Box<dyn Future<Output = R> + Send + 'a>>,
    watch: Watch,
}

impl<R> Future for Polled<'_, R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let slices = self.watch.kernel.slices();
        let polled = self.future.as_mut().poll(context);
        // A call that goes on waiting is followed by no code of the process.
        if polled.is_ready() {
            self.watch.note(slices);
        }
        polled
    }
}
