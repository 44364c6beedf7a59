//! What is refused, and why.

use wasmparser::Validator;
use wasmtime::Module;

use super::startup::{START_FILE, named, noting};
use super::*;

#[test]
fn what_is_not_a_module_is_refused_with_a_reason() {
    let check = |file: &[u8], expected: &str| assert_eq!(rewrite(file).unwrap_err().to_string(), expected);
    check(
        b"",
        "this is not a WebAssembly module but an empty file: build it again",
    );
    check(b"hello", "this is not a WebAssembly module");
    check(b"(module)", "this is not a WebAssembly module");
    check(
        b"\x7fELF\x02\x01",
        "this is not a WebAssembly module but a native program: build it for the target wasm32-wasip1",
    );
    check(
        b"\0asm\x0d\0\x01\0",
        "this is a component, but a core module is expected here",
    );
    check(
        b"\0asm\x02\0\0\0",
        "this is WebAssembly of version 2, but Lunatic supports only version 1",
    );
    check(
        b"\0as",
        "the module is truncated: the section at offset 0x0 goes on behind the end at 0x3, so build or copy it again",
    );
    check(
        b"\0asm\x01\0\0\0\x01\x05\0",
        "the module is truncated: the section at offset 0x8 goes on behind the end at 0xb, so build or copy it again",
    );
    check(
        b"\0asm\x01\0\0\0\x63\0",
        "the module is not valid: malformed section id: 99 (at offset 0xa)",
    );
    check(
        &wat(r#"(func (export "lunatic:run"))"#),
        "the module exports \"lunatic:run\", and names that begin with \"lunatic:\" belong to Lunatic: choose another \
         one, or use the file as it came from the compiler",
    );
}

#[test]
fn what_has_been_rewritten_is_not_rewritten_again() {
    let once = rewritten(&wat(GUEST)).wasm;
    assert!(matches!(rewrite(&once), Err(RewriteError::ReservedExport { name }) if name == GATE_EXPORT));
}

#[test]
fn features_that_are_not_offered_are_named() {
    let check = |text: &str| match rewrite(&wat(text)) {
        Err(RewriteError::Unsupported { .. }) => {}
        other => panic!("{text}: {other:?}"),
    };
    check("(memory 1 1 shared)");
    check("(memory i64 1)");
    check("(memory 1) (memory 1)");
    check("(type (struct))");
    check("(type (array i8))");
    check("(func (param i31ref))");
    check("(tag (param i32 exnref))");
    check("(tag (param externref))");
    check("(memory 1 (pagesize 1))");
    // Not a feature, just wrong.
    let mut wasm = wat("(func (result i32) (i32.const 1))");
    *wasm.last_mut().unwrap() = 0x0f;
    assert!(matches!(rewrite(&wasm), Err(RewriteError::Malformed { .. })));
}

#[test]
fn features_that_are_offered_can_be_compiled() {
    for text in [
        "(func (result i32 i64) (i32.const 1) (i64.const 2))",
        "(func (param f32) (result i32) (i32.extend8_s (i32.trunc_sat_f32_s (local.get 0))))",
        "(func $f (return_call $f))",
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        "(func (param v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))",
        "(memory 1) (func (memory.fill (i32.const 1) (i32.const 2) (i32.const 3)))",
        "(table 1 externref)",
        "(tag (param i32)) (func (throw 0 (i32.const 1)))",
        "(tag $t (param i32)) (func (result i32) (block $b (result i32)
            (try_table (result i32) (catch $t $b) (throw $t (i32.const 1)))))",
        "(func (result exnref) (block $b (result exnref) (try_table (catch_all_ref $b)) (unreachable)))",
        "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))",
        "(func (param (ref func)))",
        "(table 1 funcref) (table 2 funcref) (func (result funcref) (table.get 1 (i32.const 0)))",
    ] {
        let Ok(wasm) = wat::parse_str(format!("(module {text})")) else {
            panic!("{text}")
        };
        let ours = rewrite(&wasm).map(|rewritten| rewritten.wasm);
        let theirs = Module::validate(&testing::engine(), &wasm);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text}: {ours:?}, {theirs:?}");
    }
}

#[test]
fn no_cut_and_no_flipped_bit_panics() {
    let wasm = named(&noting(&START_FILE.replace("{ctors}", "")));
    for len in 0..wasm.len() {
        match rewrite(&wasm[..len]) {
            // Cut between two sections, what is left may be a module.
            Ok(rewritten) => check_only_additions(&wasm[..len], &rewritten),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    for at in 0..wasm.len() {
        for bit in 0..8 {
            let mut wasm = wasm.clone();
            wasm[at] ^= 1 << bit;
            if let Ok(rewritten) = rewrite(&wasm) {
                Validator::new_with_features(features())
                    .validate_all(&rewritten.wasm)
                    .unwrap();
            }
        }
    }
}
