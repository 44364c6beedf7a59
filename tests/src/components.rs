//! Makes components: of core modules that use WASI 0.1, with the adapter of the authors of wasmtime, as the tools of other
//! languages do; and small ones in the text format.

use std::sync::{Arc, OnceLock};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

use crate::guests::{self, Profile};
use crate::host::{Host, Program};

/// The component that consists of a core module, which may import functions of WASI 0.1 and 0.2, and of the adapter.
///
/// # Panics
///
/// If the module is none of which a component can be made.
pub fn of_module(module: &[u8]) -> Vec<u8> {
    let made = ComponentEncoder::default().module(module).and_then(|encoder| {
        let encoder = encoder.adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        );
        encoder?.encode()
    });
    made.unwrap_or_else(|error| panic!("no component could be made of the module: {error:#}"))
}

/// The bytes of the component of the program `component` in `tests/guests/components`.
pub fn guest() -> Arc<[u8]> {
    static MADE: OnceLock<Arc<[u8]>> = OnceLock::new();
    let make = || of_module(&guests::bytes("component", Profile::Debug)).into();
    MADE.get_or_init(make).clone()
}

/// A scenario of [`guest`], to be run on the shared host.
pub fn scenario(name: &str) -> Program<'static> {
    Host::shared().program(&guest()).args([name])
}

/// A component in the text format whose program is `run`, the body of a core function without parameters and with one
/// result: 0 if it succeeded. `parts` are further parts of the core module.
pub fn command(parts: &str, run: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $program {parts} (func (export "run") (result i32) {run}))
            (core instance $program (instantiate $program))
            (func $run (result (result)) (canon lift (core func $program "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("the component is not valid: {error}\n{text}"))
}
