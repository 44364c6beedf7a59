//! The loop that runs entries, and the code that runs before them.

use wasmtime::{Caller, Linker, Module, Store, Val};

use super::*;

#[test]
fn run_needs_the_import_and_a_table_of_functions() {
    let check = |text: &str, run: Option<u32>| assert_eq!(facts(text).run, run, "{text}");
    let next = r#"(import "lunatic::process" "next" (func (result i32)))"#;
    check(GUEST, Some(2));
    check(&format!("{next} (table 1 funcref)"), Some(1));
    check(&format!("{next} (table 1 funcref) (func) (func (param i32))"), Some(3));
    check(&format!("{next} (table 1 funcref) (table 1 funcref)"), Some(1));
    check(&format!("{next} (import \"a\" \"t\" (table 1 funcref))"), Some(1));
    check(next, None);
    check("(table 1 funcref)", None);
    check(r#"(import "lunatic::process" "next" (func)) (table 1 funcref)"#, None);
    check(
        r#"(import "lunatic::process" "next" (func (param i32) (result i32))) (table 1 funcref)"#,
        None,
    );
    check(
        r#"(import "lunatic::process" "next" (global i32)) (table 1 funcref)"#,
        None,
    );
    check(r#"(import "other" "next" (func (result i32))) (table 1 funcref)"#, None);
}

/// The recipe of a module whose `_start`, constructors and entries note their numbers.
pub(super) fn noting(functions: &str) -> String {
    format!(
        r#"{GUEST}
        (elem (i32.const 1) $one $two $wrong)
        (func $one (call $note (i32.const 1)))
        (func $two (call $note (i32.const 2)))
        (func $wrong (param i32))
        {functions}"#
    )
}

/// Runs `lunatic:run` with these entries and returns what was noted, and whether it ended without a trap.
fn run(rewritten: &Rewritten, entries: &[i32]) -> (Vec<i32>, bool) {
    struct Script {
        entries: Vec<i32>,
        notes: Vec<i32>,
    }
    let engine = testing::engine();
    let module = Module::new(&engine, &rewritten.wasm).unwrap();
    let mut linker = Linker::new(&engine);
    let next = |mut caller: Caller<'_, Script>| {
        let gate = caller.get_export(GATE_EXPORT).unwrap().into_global().unwrap();
        match gate.get(&mut caller) {
            Val::I32(1) => caller.data_mut().entries.pop().unwrap_or(-1),
            closed => closed.unwrap_i32() - 1,
        }
    };
    linker.func_wrap("lunatic::process", "next", next).unwrap();
    let note = |mut caller: Caller<'_, Script>, number: i32| caller.data_mut().notes.push(number);
    linker.func_wrap("test", "note", note).unwrap();
    let entries = entries.iter().rev().copied().collect();
    let mut store = Store::new(
        &engine,
        Script {
            entries,
            notes: Vec::new(),
        },
    );
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, RUN_EXPORT).unwrap();
    let result = run.call(&mut store, ());
    (store.into_data().notes, result.is_ok())
}

#[test]
fn run_calls_entries_until_there_are_no_more() {
    let module = rewritten(&wat(&noting("")));
    let check = |entries: &[i32], notes: &[i32], ok: bool| {
        assert_eq!(run(&module, entries), (notes.to_vec(), ok), "{entries:?}");
    };
    check(&[], &[], true);
    check(&[1], &[1], true);
    check(&[1, 2, 2, 1], &[1, 2, 2, 1], true);
    check(&[1, -1, 2], &[1], true);
    // An empty place, a function of another type, a place behind the table: the process traps, as it should.
    for wrong in [0, 3, 4, -2] {
        check(&[1, wrong, 2], &[1], false);
    }
}

#[test]
fn the_gate_is_open_for_the_loop_alone() {
    let module = rewritten(&wat(&format!(
        "{GUEST} (elem (i32.const 1) $asks $asks) (func $asks (call $note (call $next)))"
    )));
    assert_eq!(run(&module, &[1, 2]), (vec![-1, -1], true));
}

/// The start file of today's wasi-libc, with what stands in for the parts of libc that it calls.
pub(super) const START_FILE: &str = r#"
    (func $ctors {ctors} (call $note (i32.const 10)))
    (func $start (export "_start") (local i32)
        (block (block
            (br_if 0 (i32.load (i32.add (global.get $base) (i32.const 64))))
            (i32.store (i32.add (global.get $base) (i32.const 64)) (i32.const 1))
            (call $tp) (call $ctors) (local.set 0 (call $main)) (call $dtors)
            (br_if 1 (local.get 0)) (return))
          unreachable)
        (call $exit (local.get 0)) unreachable)
    (global $base i32 (i32.const 0))
    (func $tp (call $note (i32.const 9)))
    (func $main (result i32) (i32.const 0))
    (func $dtors (call $note (i32.const 11)))
    (func $exit (param i32))
"#;

/// `text` without its name section, as `strip` leaves it.
fn stripped(text: &str) -> Vec<u8> {
    let wasm = wat(text);
    let mut out = wasm[..8].to_vec();
    for (id, content) in outline(&wasm).sections.iter().filter(|(id, _)| *id != 0) {
        out.push(*id);
        content.encode(&mut out);
    }
    out
}

/// With names, every function of `text` gets the name it would have in the file of a linker.
pub(super) fn named(text: &str) -> Vec<u8> {
    let text = text
        .replace("$ctors", "$__wasm_call_ctors")
        .replace("$dtors", "$__wasm_call_dtors");
    wat(&text.replace("$tp", "$__wasi_init_tp").replace("$main", "$__main_void"))
}

#[test]
fn startup_code_runs_before_each_entry() {
    let check = |wasm: &[u8], before: &[i32]| {
        let module = rewritten(wasm);
        let expected: Vec<i32> = [before, &[1], before, &[2]].concat();
        assert_eq!(run(&module, &[1, 2]), (expected, true));
        module.facts.startup
    };
    // Function 2 is the first that is not imported. Wanted: the start-up code that exports need.
    let start_file = noting(&START_FILE.replace("{ctors}", ""));
    let older = start_file.replace("(call $tp)", "");
    for (text, before) in [(&start_file, [9, 10].as_slice()), (&older, &[10])] {
        assert!(check(&named(text), before).is_some());
        assert!(check(&stripped(text), before).is_some());
    }

    // Modules without `_start` say themselves what has to run.
    let initialize = r#"(func (export "_initialize") (call $note (i32.const 8)))"#;
    let exported = r#"(func (export "__wasm_call_ctors") (call $note (i32.const 7)))"#;
    assert!(check(&wat(&noting(initialize)), &[8]).is_some());
    assert!(check(&wat(&noting(&format!("{exported} {initialize}"))), &[8]).is_some());
    assert!(check(&stripped(&noting(exported)), &[7]).is_some());

    // Nothing is called that may be something else.
    let main_only = noting(r#"(func (export "_start") (call $two) (call $one))"#);
    let own = noting(r#"(func (export "_start") (call $one) (call $note (call $next)) (call $two))"#);
    for none in [noting(""), main_only, own] {
        assert_eq!(check(&wat(&none), &[]), None);
        assert_eq!(check(&stripped(&none), &[]), None);
    }
}

#[test]
fn startup_code_is_found_in_wrapped_exports() {
    let check = |wasm: &[u8], before: &[i32], exported: bool| {
        let module = rewritten(wasm);
        assert_eq!(run(&module, &[1]), ([before, &[1]].concat(), true));
        assert_eq!(module.facts.startup.is_some(), exported);
    };
    // wasm-ld puts the constructors first and the wrappers last.
    let wrapped = format!(
        r#"{GUEST} (func $ctors (call $note (i32.const 10))) (elem (i32.const 1) $one)
        (func $one (call $note (i32.const 1))) (func $f (param i32) (result i32) (local.get 0))
        (func $start (drop (call $main))) (func $main (result i32) (i32.const 0)) (func $dtors)
        (func (export "_start") (call $ctors) (call $start) (call $dtors))
        (func (export "f") (param i32) (result i32) (call $ctors) (call $f (local.get 0)) (call $dtors))"#
    );
    check(&named(&wrapped), &[10], false);
    check(&stripped(&wrapped), &[10], false);
    for without in [" (call $dtors)", "(export \"_start\")"] {
        check(&named(&wrapped.replace(without, "")), &[10], false);
        check(&stripped(&wrapped.replace(without, "")), &[10], false);
    }
    // There is nothing to call.
    check(&named(&wrapped.replace("(call $note (i32.const 10))", "")), &[], false);
    check(
        &stripped(&wrapped.replace("(call $note (i32.const 10))", "")),
        &[],
        false,
    );
    // Not all exports are wrapped, so these are no wrappers; names can still tell.
    let some = wrapped.replace("(func $dtors)", r#"(func $dtors) (func (export "g"))"#);
    check(&named(&some), &[10], true);
    check(&stripped(&some), &[], false);
    // The first function has another name.
    check(&wat(&wrapped), &[], false);
}

#[test]
fn startup_is_found_without_a_loop_to_run_it() {
    let module = rewritten(&wat(
        r#"(memory 1) (func (export "_initialize") (drop (memory.grow (i32.const 0))))"#,
    ));
    assert_eq!((module.facts.run, module.facts.startup), (None, Some(1)));
}
