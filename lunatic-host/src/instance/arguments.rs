//! Calls exported functions with arguments that a guest has chosen.

use std::fmt;

use lunatic_module::facts::RESERVED_PREFIX;
use wasmtime::{Instance, Store, Val, ValType};

use crate::entry::{Argument, Call};

/// How much of a name of a guest an error shows, in bytes: it may be 4 MiB long.
const NAME_SHOWN_MAX: usize = 255;

/// A process was to begin with a function that does not exist or does not accept the arguments.
#[derive(Debug)]
struct NoSuchFunction(Box<str>);

impl fmt::Display for NoSuchFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = self;
        write!(
            f,
            "the module exports no function `{name}` that takes these arguments and has no results"
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

/// Calls the function if it exists and its type matches the arguments.
pub(super) async fn call<T: Send>(store: &mut Store<T>, instance: &Instance, call: &Call) -> wasmtime::Result<()> {
    let Call { name, arguments } = call;
    // Only the host may call what it has added to a module.
    let exported = instance.get_func(&mut *store, name);
    let function = exported.filter(|_| !name.starts_with(RESERVED_PREFIX));
    let function = function.filter(|function| {
        let ty = function.ty(&*store);
        ty.results().len() == 0
            && ty.params().len() == arguments.len()
            && ty.params().zip(arguments).all(|(ty, argument)| argument.fits(&ty))
    });
    let function = function.ok_or_else(|| {
        let shown = &name[..name.floor_char_boundary(NAME_SHOWN_MAX)];
        NoSuchFunction(shown.into())
    })?;
    let values: Vec<Val> = arguments.iter().map(|argument| argument.value()).collect();
    function.call_async(store, &values, &mut []).await
}
