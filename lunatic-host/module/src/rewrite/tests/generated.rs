//! Properties of generated modules.

use proptest::prelude::*;
use wasmtime::{Module, Store, Val};

use super::*;

/// What an instance of a self-contained module returns when everything is called, and what that leaves.
fn observe(wasm: &[u8], names: &[String], facts: &Facts) -> Option<(Vec<Option<Vec<u128>>>, testing::State)> {
    let engine = testing::engine();
    let module = Module::new(&engine, wasm).unwrap();
    let mut store = Store::new(&engine, ());
    // Data or elements may lie behind the end of the memory or the table, or the start function may trap.
    let instance = wasmtime::Instance::new(&mut store, &module, &[]).ok()?;
    let results = testing::call_everything(&mut store, instance, names, facts);
    Some((results, testing::State::of(&mut store, instance, facts)))
}

fn function_names(wasm: &[u8]) -> Vec<String> {
    let exports = outline(wasm)
        .exports
        .into_iter()
        .filter(|(_, kind, _)| *kind == ExternalKind::Func);
    exports.map(|(name, ..)| name.to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_modules_only_gain(random in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let Some(wasm) = testing::any_module(&random) else { return Ok(()) };
        let Some(rewritten) = testing::rewrite_generated(&wasm) else { return Ok(()) };
        check_only_additions(&wasm, &rewritten);
    }

    #[test]
    fn random_bytes_do_not_panic(random in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        wasm.extend(random);
        if let Ok(rewritten) = rewrite(&wasm) {
            check_only_additions(&wasm, &rewritten);
        }
    }
}

/// The properties below say nothing if most modules are refused, or trap at once, or change nothing.
#[test]
fn generated_modules_do_something() {
    let (mut returned, mut memories, mut globals) = (0, 0, 0);
    for seed in 0..200u8 {
        let mut random = [0; 3000];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut random);
        let wasm = testing::self_contained_module(&random).unwrap();
        let rewritten = testing::rewrite_generated(&wasm).filter(|rewritten| rewritten.facts.recyclable.is_ok());
        let Some(Rewritten { wasm, facts }) = rewritten else {
            continue;
        };
        let Some((_, fresh)) = observe(&wasm, &[], &facts) else {
            continue;
        };
        let Some((results, used)) = observe(&wasm, &function_names(&wasm), &facts) else {
            continue;
        };
        returned += usize::from(results.iter().any(Option::is_some));
        memories += usize::from(used.memory != fresh.memory);
        // Not counting the counter of steps, which is the last one.
        globals += usize::from(used.globals.iter().rev().skip(1).ne(fresh.globals.iter().rev().skip(1)));
    }
    assert!(returned >= 100, "only {returned} of 200 return something");
    assert!(memories >= 10, "only {memories} of 200 change their memory");
    assert!(globals >= 50, "only {globals} of 200 change their globals");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// An instance that has been used, and whose memory and globals have been put back, does what a fresh one does.
    #[test]
    fn a_recycled_instance_is_a_fresh_one(random in proptest::collection::vec(any::<u8>(), 500..4000)) {
        let Some(wasm) = testing::self_contained_module(&random) else { return Ok(()) };
        let Some(Rewritten { wasm, facts }) = testing::rewrite_generated(&wasm) else { return Ok(()) };
        if facts.recyclable.is_err() {
            return Ok(());
        }
        let names = function_names(&wasm);
        let Some((results, state)) = observe(&wasm, &names, &facts) else { return Ok(()) };

        let engine = testing::engine();
        let mut store = Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &Module::new(&engine, &wasm).unwrap(), &[]).unwrap();
        let fresh = testing::State::of(&mut store, instance, &facts);
        testing::call_everything(&mut store, instance, &names, &facts);
        // A memory that has grown stays so, and an instance with one is not recycled.
        if testing::State::of(&mut store, instance, &facts).memory.len() != fresh.memory.len() {
            prop_assert!(facts.memory.unwrap().grows);
            return Ok(());
        }
        fresh.restore(&mut store, instance, &facts);
        prop_assert_eq!(&testing::State::of(&mut store, instance, &facts), &fresh);
        prop_assert_eq!(testing::call_everything(&mut store, instance, &names, &facts), results);
        prop_assert_eq!(testing::State::of(&mut store, instance, &facts), state);
    }

    /// Rewriting does not change what a module does.
    #[test]
    fn a_rewritten_module_does_the_same(random in proptest::collection::vec(any::<u8>(), 500..4000)) {
        let Some(wasm) = testing::self_contained_module(&random) else { return Ok(()) };
        let Some(rewritten) = testing::rewrite_generated(&wasm) else { return Ok(()) };
        let names = function_names(&wasm);
        // The original cannot be asked for globals that it does not export, but generated modules export them all.
        let memory_only = Facts { globals: Vec::new(), ..rewritten.facts };
        let before = observe(&wasm, &names, &memory_only);
        prop_assert_eq!(before, observe(&rewritten.wasm, &names, &memory_only));
    }
}

#[test]
fn exported_globals_can_be_put_back() {
    let module = rewritten(&wat(
        r#"(memory (export "memory") 1) (global $g (mut i32) (i32.const 7))
        (func (export "add") (result i32)
            (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g))"#,
    ));
    let engine = testing::engine();
    let mut store = Store::new(&engine, ());
    let instance = wasmtime::Instance::new(&mut store, &Module::new(&engine, &module.wasm).unwrap(), &[]).unwrap();
    let add = instance.get_typed_func::<(), i32>(&mut store, "add").unwrap();
    assert_eq!(add.call(&mut store, ()).unwrap(), 8);
    let global = instance.get_global(&mut store, &module.facts.globals[0]).unwrap();
    global.set(&mut store, Val::I32(7)).unwrap();
    assert_eq!(add.call(&mut store, ()).unwrap(), 8);
}
