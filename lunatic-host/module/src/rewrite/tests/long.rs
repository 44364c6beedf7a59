//! Instructions that can take long.

use wasmtime::{Module, Store};

use super::*;

/// What a long instruction does with each combination of arguments, and what is in the memory then: the outcomes of the module
/// as it is and as it is rewritten.
fn check_long(instruction: &str, arguments: &[[u32; 3]]) {
    let segment = "0123456789abcdef".repeat(40_000);
    let text = format!(
        r#"(memory (export "memory") 12) (data $segment "{segment}")
        (func (export "drop") (data.drop $segment))
        (func (export "long") (param i32 i32 i32) (local.get 0) (local.get 1) (local.get 2) ({instruction}))"#
    );
    let wasm = wat(&text);
    let rewritten = rewritten(&wasm).wasm;
    assert_ne!(wasm, rewritten);
    let engine = testing::engine();
    let run = |wasm: &[u8], arguments: &[u32; 3], drop: bool| {
        let mut store = Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &Module::new(&engine, wasm).unwrap(), &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let pattern = |(at, byte): (usize, &mut u8)| *byte = (at * 31 % 251) as u8;
        memory.data_mut(&mut store).iter_mut().enumerate().for_each(pattern);
        if drop {
            let drop = instance.get_typed_func::<(), ()>(&mut store, "drop").unwrap();
            drop.call(&mut store, ()).unwrap();
        }
        let long = instance
            .get_typed_func::<(u32, u32, u32), ()>(&mut store, "long")
            .unwrap();
        let ended = long.call(&mut store, (arguments[0], arguments[1], arguments[2]));
        let ended = ended.map_err(|error| *error.downcast_ref::<wasmtime::Trap>().unwrap());
        (ended, memory.data(&store).to_vec())
    };
    for arguments in arguments {
        for drop in [false, true] {
            let (expected, memory) = run(&wasm, arguments, drop);
            let (ended, now) = run(&rewritten, arguments, drop);
            assert_eq!(ended, expected, "{instruction} {arguments:?}");
            assert!(now == memory, "{instruction} {arguments:?}: other bytes");
        }
    }
}

/// Places and lengths around those where pieces and the memory end.
fn long_arguments() -> Vec<[u32; 3]> {
    let memory = 12 << 16;
    let places = [
        0,
        1,
        100,
        PIECE - 1,
        PIECE,
        PIECE + 1,
        memory - PIECE - 1,
        memory - 1,
        memory,
        u32::MAX,
    ];
    let lens = [
        0,
        1,
        PIECE - 1,
        PIECE,
        PIECE + 1,
        2 * PIECE,
        2 * PIECE + 7,
        640_000,
        memory,
        u32::MAX - 1,
    ];
    let mut all = Vec::new();
    for to in places {
        for from in places {
            all.extend(lens.map(|len| [to, from, len]));
        }
    }
    all
}

#[test]
fn a_long_fill_does_the_same() {
    let mut arguments = long_arguments();
    arguments.retain(|[_, byte, _]| *byte == 100 || *byte == u32::MAX);
    check_long("memory.fill", &arguments);
}

#[test]
fn a_long_copy_does_the_same() {
    check_long("memory.copy", &long_arguments());
}

#[test]
fn a_long_init_does_the_same() {
    check_long("memory.init $segment", &long_arguments());
}

#[test]
fn long_instructions_are_replaced_and_short_ones_are_not() {
    let long = "(memory.fill (local.get 0) (i32.const 7) (local.get 0))";
    let short = "(memory.fill (local.get 0) (i32.const 7) (i32.const 100))";
    let check = |body: &str, functions: usize| {
        let wasm = wat(&format!("(memory 1) (func (param i32) {body})"));
        assert_eq!(outline(&rewritten(&wasm).wasm).bodies.len(), functions, "{body}");
    };
    check(short, 1);
    check(long, 2);
    check(&format!("{short} {long} {long} {short}"), 2);
    check(&format!("{long} nop nop {short}"), 2);
    check(
        &format!("{long} (memory.copy (local.get 0) (local.get 0) (local.get 0))"),
        3,
    );
    // The constant is not what is taken for the length.
    check(
        "(local.get 0) (i32.const 7) (local.get 0) (i32.const 1) drop memory.fill",
        2,
    );
    check("(local.get 0) (i32.const 7) (i32.const 262145) memory.fill", 2);
    check("(local.get 0) (i32.const 7) (i32.const -1) memory.fill", 2);
}

/// A call of a function with a large index takes more room than a fill: the body grows, and nothing else changes.
#[test]
fn a_fill_in_a_module_of_very_many_functions() {
    let functions = "(func) ".repeat(20_000);
    let long = "(memory.fill (local.get 0) (i32.const 7) (local.get 1))";
    let text = format!(
        r#"(memory (export "memory") 20) {functions} (func (export "long") (param i32 i32) {long} {long}) (func)"#
    );
    let rewritten = rewritten(&wat(&text)).wasm;
    let engine = testing::engine();
    let mut store = Store::new(&engine, ());
    let instance = wasmtime::Instance::new(&mut store, &Module::new(&engine, &rewritten).unwrap(), &[]).unwrap();
    let long = instance.get_typed_func::<(u32, u32), ()>(&mut store, "long").unwrap();
    long.call(&mut store, (10, 1_000_000)).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let filled = memory.data(&store).iter().filter(|byte| **byte == 7).count();
    assert_eq!(filled, 1_000_000);
}
