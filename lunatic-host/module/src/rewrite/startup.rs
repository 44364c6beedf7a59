//! Finds what must run in a fresh instance before an entry other than `_start` may be called.
//!
//! `_start` calls constructors (of C++ objects, of `.init_array`) and a libc's own initialisation, and a process that
//! begins elsewhere needs them, too. They have no exported name, so they are found in the functions that call them. The
//! cases, in the order in which they are tried:
//!
//! 1. If no start file of a libc calls the constructors, wasm-ld wraps every exported function in one that only calls
//!    `__wasm_call_ctors` (which it puts before all other functions), the function itself, and perhaps
//!    `__wasm_call_dtors`.
//! 2. If there are names: the functions that `_start` calls and that have one of the known [`NAMES`].
//! 3. If there are none, `_start` must be the start file of wasi-libc. After a check that it runs once, it calls
//!    `__wasi_init_tp` (newer ones only) and `__wasm_call_ctors`, then `__main_void`, which returns an `i32`, perhaps
//!    `__wasm_call_dtors`, and `proc_exit` with the result.
//! 4. A module without `_start` declares itself what must run: its export `_initialize`, otherwise `__wasm_call_ctors`.
//!
//! In all other cases nothing is found.

use wasmparser::{Export, ExternalKind, FunctionBody, Operator, Result};

use super::inspect::{Inspected, Signature};

/// The names that toolchains give to functions that run before `main`.
const NAMES: [&str; 3] = ["__wasi_init_tp", "__wasm_init_tls", "__wasm_call_ctors"];

/// The relevant part of the name section.
#[derive(Debug, Default)]
pub(super) struct StartupNames {
    /// The functions with one of the [`NAMES`].
    functions: Vec<u32>,
    /// Whether any function has a name.
    any: bool,
}

impl StartupNames {
    pub(super) fn add(&mut self, function: u32, name: &str) {
        self.any = true;
        if NAMES.contains(&name) {
            self.functions.push(function);
        }
    }
}

/// What must run first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Startup {
    /// The functions to call, in order, all of type `() -> ()` and not imported. None of them is empty.
    pub(super) functions: Vec<u32>,
    /// Whether exported functions call them themselves.
    pub(super) exports_wrapped: bool,
}

/// Finds what must run first.
pub(super) fn find(module: &Inspected<'_>) -> Startup {
    let wrapped = by_wrappers(module);
    let exports_wrapped = wrapped.is_some();
    let mut functions = wrapped
        .map(|constructors| vec![constructors])
        .unwrap_or_else(|| match module.start {
            Some(start) => called_by_start(module, start),
            None => said_by_exports(module).into_iter().collect(),
        });
    functions.retain(|function| module.body(*function).is_some_and(|body| !is_empty(body)));
    Startup {
        functions,
        exports_wrapped,
    }
}

/// Case 1 of the module documentation: the constructors.
fn by_wrappers(module: &Inspected<'_>) -> Option<u32> {
    let is_function = |export: &&Export<'_>| export.kind == ExternalKind::Func;
    let constructors = module.imported_functions;
    let wraps = |export: &Export<'_>| {
        let Some(Ok(shape)) = module.body(export.index).map(Shape::of) else {
            return false;
        };
        shape.only_calls && (2..=3).contains(&shape.calls.len()) && shape.calls[0] == Some(constructors)
    };
    let mut exports = module.exports.iter().filter(is_function).peekable();
    exports.peek()?;
    let is_wrapped = is_void(module, constructors)
        && (!module.names.any || module.names.functions.contains(&constructors))
        && exports.all(wraps);
    is_wrapped.then_some(constructors)
}

/// Cases 2 and 3 of the module documentation.
fn called_by_start(module: &Inspected<'_>, start: u32) -> Vec<u32> {
    // The body has been validated, so reading it does not fail.
    let Some(Ok(shape)) = module.body(start).map(Shape::of) else {
        return Vec::new();
    };
    if module.names.any {
        let named = |function: &u32| module.names.functions.contains(function) && is_void(module, *function);
        return shape.calls.iter().flatten().copied().filter(named).collect();
    }
    by_start_file(module, &shape).unwrap_or_default()
}

/// Case 3 of the module documentation.
fn by_start_file(module: &Inspected<'_>, shape: &Shape) -> Option<Vec<u32>> {
    let calls: Vec<u32> = shape.calls.iter().copied().collect::<Option<_>>()?;
    let prepare: Vec<u32> = calls
        .iter()
        .copied()
        .take_while(|function| is_void(module, *function))
        .collect();
    if !(1..=2).contains(&prepare.len()) {
        return None;
    }
    let mut rest = calls[prepare.len()..].iter().copied().peekable();
    let main = rest.next()?;
    rest.next_if(|function| is_void(module, *function));
    let exit = rest.next()?;
    let is_start_file = module.body(main).is_some()
        && module.signature(main) == Signature::ReturnsI32
        && module.signature(exit) == Signature::TakesI32
        && rest.next().is_none();
    is_start_file.then_some(prepare)
}

/// Case 4 of the module documentation.
fn said_by_exports(module: &Inspected<'_>) -> Option<u32> {
    module
        .void_export("_initialize")
        .or_else(|| module.void_export("__wasm_call_ctors"))
}

/// Whether a function is of type `() -> ()` and not imported.
fn is_void(module: &Inspected<'_>, function: u32) -> bool {
    module.body(function).is_some() && module.signature(function) == Signature::Void
}

/// Whether a function does nothing.
fn is_empty(body: &FunctionBody<'_>) -> bool {
    let first = body.get_operators_reader().and_then(|mut operators| operators.read());
    matches!(first, Ok(Operator::End))
}

/// The calls of a function.
struct Shape {
    /// The called functions in order; `None` for an unknown one.
    calls: Vec<Option<u32>>,
    /// Whether it only passes on its parameters and results.
    only_calls: bool,
}

impl Shape {
    fn of(body: &FunctionBody<'_>) -> Result<Self> {
        let mut shape = Self {
            calls: Vec::new(),
            only_calls: body.get_locals_reader()?.get_count() == 0,
        };
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.read()? {
                Operator::Call { function_index } => shape.calls.push(Some(function_index)),
                Operator::LocalGet { .. } | Operator::End => {}
                Operator::CallIndirect { .. } | Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => {
                    shape.calls.push(None);
                    shape.only_calls = false;
                }
                _ => shape.only_calls = false,
            }
        }
        Ok(shape)
    }
}
