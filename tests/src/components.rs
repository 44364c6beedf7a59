//! Makes components: of core modules that use WASI 0.1, with the adapter of the authors of wasmtime, as the tools of other
//! languages do; and small ones in the text format.

use std::sync::{Arc, OnceLock};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

use crate::guests::{self, Profile};
use crate::host::{Host, Program};

/// The component that consists of a core module, which may import functions of WASI 0.1 and 0.2, and of the adapter.
///
/// # Panics
///
/// If the module is none of which a component can be made.
pub fn of_module(module: &[u8]) -> Vec<u8> {
    with_adapter(module, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)
}

fn with_adapter(module: &[u8], adapter: &[u8]) -> Vec<u8> {
    let made = ComponentEncoder::default().module(module).and_then(|encoder| {
        let encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter);
        encoder?.encode()
    });
    made.unwrap_or_else(|error| panic!("no component could be made of the module: {error:#}"))
}

/// The component that consists of a core module which imports functions of `lunatic:process`, in this world, and of the
/// adapter.
///
/// # Panics
///
/// As for [`of_module`].
pub fn of_program(module: &[u8], world: &str) -> Vec<u8> {
    let (resolve, world) = world_of_lunatic(world);
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap_or_else(|error| panic!("the module cannot be in the world: {error:#}"));
    of_module(&module)
}

/// The part of WASI that the packages of Lunatic use, and a clock.
const WASI: &str = r"
    package lunatic:wasi;

    package wasi:io@0.2.12 {
        interface poll {
            resource pollable {
                ready: func() -> bool;
                block: func();
            }
            poll: func(in: list<borrow<pollable>>) -> list<u32>;
        }
    }

    package wasi:clocks@0.2.12 {
        interface monotonic-clock {
            use wasi:io/poll@0.2.12.{pollable};
            type duration = u64;
            subscribe-duration: func(when: duration) -> pollable;
        }
    }
";

/// The worlds of `lunatic:process` with what else there is.
const WORLDS: &str = r"
    package lunatic:tests;

    world imports {
        include lunatic:process/imports@0.1.0;
        import lunatic:poll/mailbox@0.1.0;
        import wasi:clocks/monotonic-clock@0.2.12;
    }

    world program {
        include lunatic:process/program@0.1.0;
        import lunatic:poll/mailbox@0.1.0;
        import wasi:clocks/monotonic-clock@0.2.12;
    }
";

/// One of these worlds.
fn world_of_lunatic(world: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let mut read = |name: &str, text: &str| {
        let read = resolve.push_str(name, text);
        read.unwrap_or_else(|error| panic!("{name} is not valid: {error:#}"))
    };
    // What others use comes first.
    read("wasi.wit", WASI);
    read("process.wit", lunatic_sys::WIT);
    read("poll.wit", lunatic_sys::POLL_WIT);
    let package = read("worlds.wit", WORLDS);
    let world = resolve
        .select_world(&[package], Some(world))
        .unwrap_or_else(|error| panic!("there is no such world: {error:#}"));
    (resolve, world)
}

/// A program that imports each function that the WIT files declare, and their number.
pub fn importing_everything() -> (Vec<u8>, usize) {
    let (resolve, world) = world_of_lunatic("imports");
    let mut imports = String::new();
    let mut count = 0;
    for (key, item) in &resolve.worlds[world].imports {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        for (name, function) in &resolve.interfaces[*id].functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            let list = |types: &[WasmType]| types.iter().map(|ty| core_type(*ty)).collect::<Vec<_>>().join(" ");
            let (params, results) = (list(&signature.params), list(&signature.results));
            let interface = resolve.name_world_key(key);
            imports += &format!("(import {interface:?} {name:?} (func (param {params}) (result {results})))\n");
            count += 1;
        }
    }
    let text = format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "_start")))"#
    );
    let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("the module is not valid: {error}\n{text}"));
    (of_program(&module, "imports"), count)
}

/// A type of the canonical ABI in the text format.
fn core_type(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

/// The bytes of the component of the program in `tests/guests/components/processes`.
pub fn processes() -> Arc<[u8]> {
    static MADE: OnceLock<Arc<[u8]>> = OnceLock::new();
    let make = || of_program(&guests::bytes("component_processes", Profile::Debug), "program").into();
    MADE.get_or_init(make).clone()
}

/// The bytes of the component of the program `component` in `tests/guests/components`.
pub fn guest() -> Arc<[u8]> {
    static MADE: OnceLock<Arc<[u8]>> = OnceLock::new();
    let make = || of_module(&guests::bytes("component", Profile::Debug)).into();
    MADE.get_or_init(make).clone()
}

/// The bytes of the component of the program `handler` in `tests/guests/components`, which handles HTTP requests. As a
/// program, it does that and has a `main`.
pub fn handler(is_program: bool) -> Vec<u8> {
    let adapter = match is_program {
        true => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        false => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    with_adapter(&guests::bytes("handler", Profile::Debug), adapter)
}

/// The bytes of the component of the program `orphan` in `tests/guests/components`, which handles HTTP requests and imports
/// functions of `lunatic:process`.
pub fn orphan() -> Vec<u8> {
    let (resolve, world) = world_of_lunatic("imports");
    let mut module = guests::bytes("orphan", Profile::Debug).to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap_or_else(|error| panic!("the module cannot be in the world: {error:#}"));
    with_adapter(&module, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
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
