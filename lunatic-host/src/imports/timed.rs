//! Defines host functions so that a [profile] shows the time in them.
//!
//! Running WebAssembly is interrupted when a time slice ends, which is when a profile takes its samples. A call of a host
//! function is not. So while somebody profiles, each call checks afterwards whether a time slice has ended meanwhile, and
//! is then sampled itself. Otherwise a call costs a load and a branch more.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use wasmtime::{Caller, Linker, WasmRet, WasmTy, WasmTyList};

use crate::instance::Ctx;
use crate::profile::{self, Call};

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
            if !is_profiled(&caller) {
                return function(caller, params);
            }
            // SAFETY: it is used only between two polls of the future, which has the caller.
            let after = unsafe { After::of(&caller, call) };
            let future = Box::into_pin(function(caller, params));
            Box::new(Polled { future, after })
        })
    }
}

#[inline]
fn is_profiled(caller: &Caller<'_, Ctx>) -> bool {
    caller.data().kernel.host.is_profiled.load(Ordering::Relaxed)
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
                    if !is_profiled(&caller) {
                        return self(caller, $($param),*);
                    }
                    // SAFETY: it is used only after the function has dropped the caller.
                    let after = unsafe { After::of(&caller, call) };
                    let slices = after.slices();
                    let results = self(caller, $($param),*);
                    after.call(slices);
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

/// The caller of a function that has it, for a sample after it.
struct After<'a> {
    caller: ManuallyDrop<Caller<'a, Ctx>>,
    call: Call,
}

impl<'a> After<'a> {
    /// # Safety
    ///
    /// It must not be used while anything else uses the caller, nor after the call from WebAssembly has returned.
    unsafe fn of(caller: &Caller<'a, Ctx>, call: Call) -> Self {
        // SAFETY: the copy is not dropped, and the caller of this function sees to it that both are not used at once.
        let caller = ManuallyDrop::new(unsafe { ptr::read(caller) });
        Self { caller, call }
    }

    /// The number of time slices so far.
    fn slices(&self) -> u64 {
        self.caller.data().kernel.slices()
    }

    /// Samples the call if a time slice has ended since there were `slices`.
    #[inline]
    fn call(&self, slices: u64) {
        let ended = self.slices().wrapping_sub(slices);
        if ended > 0 {
            profile::sample_call(&self.caller, self.call, ended);
        }
    }
}

/// A call that may wait. Only the time in which it is polled is time in the host.
struct Polled<'a, R> {
    future: Pin<Box<dyn Future<Output = R> + Send + 'a>>,
    after: After<'a>,
}

impl<R> Future for Polled<'_, R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let slices = self.after.slices();
        let polled = self.future.as_mut().poll(context);
        self.after.call(slices);
        polled
    }
}
