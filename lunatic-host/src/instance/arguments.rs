//! Calling an exported function with arguments that a guest chose.

use std::fmt;

use lunatic_module::facts::RESERVED_PREFIX;
use wasmtime::{Instance, Store, Val, ValType};

use crate::entry::{Argument, Call};

/// A process was to begin with a function that cannot be called so.
#[derive(Debug)]
struct NoSuchFunction(Box<str>);

impl fmt::Display for NoSuchFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = self;
        write!(
            f,
            "the module exports no function `{name}` that takes these arguments and returns nothing"
        )
    }
}

impl std::error::Error for NoSuchFunction {}

impl Argument {
    fn value(self) -> Val {
        match self {
            Self::I32(bits) => Val::I32(bits),
            Self::I64(bits) => Val::I64(bits),
            Self::V128(bits) => Val::V128(bits.into()),
        }
    }

    fn fits(self, ty: &ValType) -> bool {
        match self {
            Self::I32(_) => matches!(ty, ValType::I32),
            Self::I64(_) => matches!(ty, ValType::I64),
            Self::V128(_) => matches!(ty, ValType::V128),
        }
    }
}

/// Calls the function, if it is there and is of the type of the arguments.
pub(super) async fn call<T: Send>(store: &mut Store<T>, instance: &Instance, call: &Call) -> wasmtime::Result<()> {
    let Call { name, arguments } = call;
    // What the host adds to a module is the host's to call.
    let exported = instance.get_func(&mut *store, name);
    let function = exported.filter(|_| !name.starts_with(RESERVED_PREFIX));
    let function = function.filter(|function| {
        let ty = function.ty(&*store);
        ty.results().len() == 0
            && ty.params().len() == arguments.len()
            && ty.params().zip(arguments).all(|(ty, argument)| argument.fits(&ty))
    });
    let function = function.ok_or_else(|| NoSuchFunction(name.clone()))?;
    let values: Vec<Val> = arguments.iter().map(|argument| argument.value()).collect();
    function.call_async(store, &values, &mut []).await
}
