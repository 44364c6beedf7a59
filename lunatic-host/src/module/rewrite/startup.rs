//! Finds what has to run in a fresh instance before an entry other than `_start` may be called.
//!
//! Constructors (of C++ objects, of `.init_array`) and libc's own preparations are called by `_start`, and a process
//! that is spawned at another entry needs them too. They have no exported name, so they are found in `_start`:
//!
//! - With a name section: the functions that `_start` calls and that have one of the known [`NAMES`].
//! - Without: `_start` must have one of the shapes that linkers and libcs are known to make, else nothing is found.
//!   1. A wrapper: nothing but calls of `__wasm_call_ctors` (which wasm-ld puts before all other functions), of the
//!      real `_start`, and perhaps of `__wasm_call_dtors`. wasm-ld wraps all exports or none, so that all others must
//!      begin with the same call.
//!   2. The start file of wasi-libc: after a check that it runs once, calls of `__wasi_init_tp` (newer ones only) and
//!      `__wasm_call_ctors`, of `__main_void` which returns an `i32`, perhaps of `__wasm_call_dtors`, and of
//!      `proc_exit` with the result.
//!
//! A module without `_start` says itself what has to run: its export `_initialize`, else `__wasm_call_ctors`.

use wasmparser::{ExternalKind, FunctionBody, Operator, Result};

use super::inspect::{Inspected, Signature};

/// What toolchains call the functions that run before `main`.
const NAMES: [&str; 3] = ["__wasi_init_tp", "__wasm_init_tls", "__wasm_call_ctors"];

/// What the name section says.
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

/// The functions to call, in order, all of type `() -> ()` and not imported. Those that do nothing are left out.
pub(super) fn find(module: &Inspected<'_>) -> Vec<u32> {
    let mut found = match module.start {
        Some(start) => called_by_start(module, start),
        None => module
            .void_export("_initialize")
            .or_else(|| module.void_export("__wasm_call_ctors"))
            .into_iter()
            .collect(),
    };
    found.retain(|function| module.body(*function).is_some_and(|body| !is_empty(body)));
    found
}

fn called_by_start(module: &Inspected<'_>, start: u32) -> Vec<u32> {
    // The body has been validated, so that reading it does not fail.
    let Some(Ok(shape)) = module.body(start).map(Shape::of) else {
        return Vec::new();
    };
    if module.names.any {
        let named = |function: &u32| module.names.functions.contains(function) && is_void(module, *function);
        return shape.calls.iter().flatten().copied().filter(named).collect();
    }
    by_wrapper(module, &shape)
        .or_else(|| by_start_file(module, &shape))
        .unwrap_or_default()
}

/// Shape 1 of the module documentation.
fn by_wrapper(module: &Inspected<'_>, shape: &Shape) -> Option<Vec<u32>> {
    let calls: Vec<u32> = shape.calls.iter().copied().collect::<Option<_>>()?;
    let is_wrapper = shape.only_calls
        && (2..=3).contains(&calls.len())
        && calls[0] == module.imported_functions
        && calls.iter().all(|function| is_void(module, *function))
        && module
            .exports
            .iter()
            .filter(|export| export.kind == ExternalKind::Func)
            .all(|export| {
                let shape = module.body(export.index).map(Shape::of);
                shape.is_some_and(|shape| shape.is_ok_and(|shape| shape.calls.first() == Some(&Some(calls[0]))))
            });
    is_wrapper.then(|| vec![calls[0]])
}

/// Shape 2 of the module documentation.
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

/// Whether a function is of type `() -> ()` and not imported.
fn is_void(module: &Inspected<'_>, function: u32) -> bool {
    module.body(function).is_some() && module.signature(function) == Signature::Void
}

/// Whether a function does nothing.
fn is_empty(body: &FunctionBody<'_>) -> bool {
    let first = body.get_operators_reader().and_then(|mut operators| operators.read());
    matches!(first, Ok(Operator::End))
}

/// What a function calls.
struct Shape {
    /// The called functions in order; `None` where it cannot be told which.
    calls: Vec<Option<u32>>,
    /// Whether it has no locals and does nothing but call.
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
                Operator::End => {}
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
