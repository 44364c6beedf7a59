use proptest::prelude::*;
use wasmparser::{BinaryReader, ExternalKind, FunctionBody, Operator, Parser, Payload, Validator};
use wasmtime::{Caller, Linker, Module, Store, Val};

use super::*;
use crate::facts::Memory;
use crate::testing;

/// What a module for processes needs: the import, a table of functions, a memory.
const GUEST: &str = r#"
    (import "lunatic::process" "next" (func $next (result i32)))
    (import "test" "note" (func $note (param i32)))
    (memory (export "memory") 1)
    (table 4 funcref)
"#;

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {text})")).unwrap()
}

/// Rewrites, and checks what must be so for every module.
fn rewritten(wasm: &[u8]) -> Rewritten {
    let rewritten = rewrite(wasm).unwrap();
    check_only_additions(wasm, &rewritten);
    rewritten
}

fn facts(text: &str) -> Facts {
    rewritten(&wat(text)).facts
}

/// Imports, exports and sections as they can be compared: names with kinds and indexes, and ids with contents.
#[derive(Default)]
struct Outline<'a> {
    imports: Vec<(&'a str, &'a str)>,
    exports: Vec<(&'a str, ExternalKind, u32)>,
    sections: Vec<(u8, &'a [u8])>,
    bodies: Vec<&'a [u8]>,
    /// Where the first body begins, counted from the start of the code section's content.
    first_body: Option<usize>,
}

fn outline(wasm: &[u8]) -> Outline<'_> {
    let mut outline = Outline::default();
    let mut code_start = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.unwrap();
        if let Some((id, range)) = payload.as_section() {
            outline.sections.push((id, &wasm[range]));
        }
        match payload {
            Payload::ImportSection(imports) => {
                let imports = imports.into_imports().map(|import| import.unwrap());
                outline
                    .imports
                    .extend(imports.map(|import| (import.module, import.name)));
            }
            Payload::ExportSection(exports) => {
                let exports = exports.into_iter().map(|export| export.unwrap());
                outline
                    .exports
                    .extend(exports.map(|export| (export.name, export.kind, export.index)));
            }
            Payload::CodeSectionStart { range, .. } => code_start = range.start,
            Payload::CodeSectionEntry(body) => {
                outline.first_body.get_or_insert(body.range().start - code_start);
                outline.bodies.push(body.as_bytes());
            }
            _ => {}
        }
    }
    outline
}

/// A rewritten module is valid, and has all that the original has, in its place.
fn check_only_additions(original: &[u8], rewritten: &Rewritten) {
    Validator::new_with_features(features())
        .validate_all(&rewritten.wasm)
        .unwrap();
    let (before, after) = (outline(original), outline(&rewritten.wasm));
    assert_eq!(before.imports, after.imports);
    assert!(after.exports.starts_with(&before.exports));
    let functions = before.bodies.len() as u32 + imported_functions(original);
    for (before, after) in before.bodies.iter().zip(&after.bodies) {
        check_body(before, after, functions);
    }
    assert!(after.bodies.len() >= before.bodies.len());
    if let (Some(before), Some(after)) = (before.first_body, after.first_body) {
        assert_eq!(before, after, "offsets in debug information have moved");
    }
    for (id, content) in &before.sections {
        let changes = [
            SectionId::TYPE,
            SectionId::FUNCTION,
            SectionId::GLOBAL,
            SectionId::EXPORT,
            SectionId::CODE,
        ];
        assert!(
            after.sections.contains(&(*id, content)) || changes.contains(&SectionId(*id)),
            "section {id} has changed"
        );
    }
    let custom = |outline: &Outline<'_>| outline.sections.iter().filter(|(id, _)| *id == 0).count();
    assert_eq!(custom(&before), custom(&after));

    let facts = &rewritten.facts;
    let added = &after.exports[before.exports.len()..];
    let expected = facts.globals.iter().map(String::as_str);
    let expected = expected
        .chain(facts.startup.map(|_| STARTUP_EXPORT))
        .chain(facts.run.iter().flat_map(|_| [GATE_EXPORT, RUN_EXPORT]));
    assert!(
        added.iter().map(|(name, ..)| *name).eq(expected),
        "{added:?} but {facts:?}"
    );
}

fn imported_functions(wasm: &[u8]) -> u32 {
    inspect::inspect(wasm).unwrap().imported_functions
}

/// The instructions of a body, and where each begins.
fn instructions(body: &[u8]) -> Vec<(Operator<'_>, usize)> {
    let body = FunctionBody::new(BinaryReader::new_features(body, 0, features()));
    let operators = body.get_operators_reader().unwrap();
    operators
        .into_iter_with_offsets()
        .map(|operator| operator.unwrap())
        .collect()
}

/// A body is the same, where each instruction was, but for those that can take long: they are calls of functions that were
/// added to the `functions` of the module.
fn check_body(before: &[u8], after: &[u8], functions: u32) {
    if before == after {
        return;
    }
    let is_moved = functions > 16_000 && before.len() != after.len();
    assert!(is_moved || before.len() == after.len());
    let (mut before, mut after) = (
        instructions(before).into_iter().peekable(),
        instructions(after).into_iter().peekable(),
    );
    while let Some((operator, at)) = before.next() {
        let (now, now_at) = after.next().unwrap();
        assert!(is_moved || at == now_at);
        if operator == now {
            continue;
        }
        let is_long = matches!(
            operator,
            Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. }
        );
        assert!(is_long, "{operator:?} has become {now:?}");
        assert!(matches!(now, Operator::Call { function_index } if function_index >= functions));
        // What fills the room of the instruction, but not a `nop` that was behind it before.
        let end = before.peek().map_or(usize::MAX, |(_, at)| *at);
        let fills = |(operator, at): &(Operator<'_>, usize)| *operator == Operator::Nop && (is_moved || *at < end);
        while after.next_if(fills).is_some() {}
    }
    assert_eq!(after.next(), None);
}

#[test]
fn a_module_that_needs_nothing_is_not_changed() {
    for text in [
        "",
        "(memory 1)",
        "(func) (func (export \"f\") (result i32) i32.const 1)",
        // Short: the engine does these at once.
        "(memory 1) (func (memory.fill (i32.const 1) (i32.const 2) (i32.const 262144)))",
        "(memory 1) (func (memory.copy (i32.const 1) (i32.const 2) (i32.const 100)))",
        "(memory 1) (data $short \"abc\") (func (param i32)
            (memory.init $short (i32.const 1) (i32.const 2) (local.get 0)))",
    ] {
        let wasm = wat(text);
        assert_eq!(rewritten(&wasm).wasm, wasm, "{text}");
    }
}

#[test]
fn mutable_globals_are_exported() {
    let check = |text: &str, expected: &[&str]| assert_eq!(facts(text).globals, expected, "{text}");
    check("(global i32 (i32.const 1))", &[]);
    check("(global (mut i32) (i32.const 1))", &["lunatic:global:0"]);
    check(
        "(import \"a\" \"b\" (global i32)) (global i64 (i64.const 1)) (global (export \"mine\") (mut v128)
         (v128.const i64x2 1 2)) (global (mut f32) (f32.const 1)) (global (mut f64) (f64.const 1))",
        &["lunatic:global:2", "lunatic:global:3", "lunatic:global:4"],
    );
    check(
        "(global (mut funcref) (ref.null func)) (global (mut i64) (i64.const 1))",
        &["lunatic:global:1"],
    );
    // Imported ones are the host's, which has none to give.
    check("(import \"a\" \"b\" (global (mut i32)))", &[]);
}

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
fn noting(functions: &str) -> String {
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
const START_FILE: &str = r#"
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
fn named(text: &str) -> Vec<u8> {
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

#[test]
fn recyclable_unless_something_else_than_memory_and_globals_changes() {
    let check =
        |text: &str, expected: Result<(), NotRecyclable>| assert_eq!(facts(text).recyclable, expected, "{text}");
    let memory = "(memory 1) (table 2 funcref) (elem $passive funcref (ref.null func)) (data $d \"abc\")";
    let code = |code: &str| format!("{memory} (func) (func {code})");
    check("(memory 1)", Ok(()));
    check(GUEST, Ok(()));
    check(&noting(&START_FILE.replace("{ctors}", "")), Ok(()));
    check("(memory 1) (global (mut v128) (v128.const i64x2 1 2))", Ok(()));
    check(&code("(drop (memory.grow (i32.const 1)))"), Ok(()));
    check(
        &code("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 3))"),
        Ok(()),
    );
    check(&code("(data.drop $d)"), Ok(()));
    check(&code("(elem.drop $passive)"), Ok(()));
    check(
        &code("(drop (table.get 0 (i32.const 0))) (drop (table.size 0))"),
        Ok(()),
    );

    check("", Err(NotRecyclable::Memories { count: 0 }));
    check(r#"(import "a" "m" (memory 1))"#, Err(NotRecyclable::ImportedState));
    check(
        r#"(import "a" "t" (table 1 funcref)) (memory 1)"#,
        Err(NotRecyclable::ImportedState),
    );
    check(
        r#"(import "a" "g" (global i32)) (memory 1)"#,
        Err(NotRecyclable::ImportedState),
    );
    check("(memory 1) (func $s) (start $s)", Err(NotRecyclable::StartFunction));
    let reference = "(memory 1) (global (mut i32) (i32.const 1)) (global (mut funcref) (ref.null func))";
    check(reference, Err(NotRecyclable::ReferenceGlobal { index: 1 }));
    for throws in ["(throw $tag)", "(throw_ref (ref.null exn))", "(try_table)"] {
        let text = format!("(tag $tag) {}", code(throws));
        check(&text, Err(NotRecyclable::Exceptions { function: 1 }));
    }
    // A tag that nobody uses changes nothing.
    check(&format!("(tag $tag) {}", code("")), Ok(()));
    check(
        &code("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 3)) (data.drop $d)"),
        Err(NotRecyclable::DropsData),
    );
    for change in [
        "(table.set 0 (i32.const 0) (ref.null func))",
        "(drop (table.grow 0 (ref.null func) (i32.const 1)))",
        "(table.fill 0 (i32.const 0) (ref.null func) (i32.const 1))",
        "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))",
        "(table.init $passive (i32.const 0) (i32.const 0) (i32.const 1))",
        "(block (block (return)) (table.set 0 (i32.const 0) (ref.null func)))",
    ] {
        check(&code(change), Err(NotRecyclable::ChangesTable { function: 1 }));
    }
}

#[test]
fn facts_about_the_memory() {
    let check = |text: &str, expected: Option<Memory>| assert_eq!(facts(text).memory, expected, "{text}");
    let memory = Memory {
        pages_min: 17,
        pages_max: None,
        exported: false,
        grows: false,
    };
    check("", None);
    check("(memory 17)", Some(memory));
    check(
        "(memory 17 20)",
        Some(Memory {
            pages_max: Some(20),
            ..memory
        }),
    );
    check(
        r#"(memory (export "memory") 17)"#,
        Some(Memory {
            exported: true,
            ..memory
        }),
    );
    check(r#"(memory (export "mem") 17)"#, Some(memory));
    check(r#"(memory 17) (func (export "memory"))"#, Some(memory));
    check(
        "(memory 17) (func (drop (memory.grow (i32.const 1))))",
        Some(Memory { grows: true, ..memory }),
    );
}

#[test]
fn facts_about_exports_and_debug_info() {
    let facts = facts(
        r##"(memory 1)
        (func (export "_start")) (func (export "#lunatic_test_a::b")) (func (export "#lunatic_test_#ignore_c"))
        (func (export "#lunatic_test_wrong") (param i32)) (func (export "lunatic_test_d"))
        (global (export "#lunatic_test_global") i32 (i32.const 1))
        (@custom ".debug_info" "x")"##,
    );
    assert!(facts.start);
    assert!(facts.debug_info);
    assert_eq!(facts.tests, ["#lunatic_test_a::b", "#lunatic_test_#ignore_c"]);

    for none in [
        "",
        r#"(func (export "_start") (param i32))"#,
        r#"(memory (export "_start") 1)"#,
    ] {
        let facts = self::facts(none);
        assert!(!facts.start && !facts.debug_info && facts.tests.is_empty(), "{none}");
    }
}

#[test]
fn facts_survive_the_way_to_the_disk() {
    for text in [
        GUEST,
        "",
        r##"(memory 1 2) (func (export "#lunatic_test_a")) (global (mut i32) (i32.const 1))"##,
    ] {
        let facts = facts(text);
        let bytes = postcard::to_stdvec(&facts).unwrap();
        let (back, rest) = postcard::take_from_bytes::<Facts>(&bytes).unwrap();
        assert_eq!((back, rest), (facts, &[][..]));
    }
}

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
        "this is a component, and a core module is expected here",
    );
    check(
        b"\0asm\x02\0\0\0",
        "this is WebAssembly of version 2, and Lunatic knows version 1",
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

/// A count that needs another byte moves what follows: known, and hidden by linkers that write counts in five bytes.
#[test]
fn debug_offsets_stay_but_for_three_numbers_of_functions() {
    let first_body = |functions: usize| {
        let wasm = wat(&format!("{GUEST} {}", "(func)".repeat(functions)));
        let after = rewrite(&wasm).unwrap().wasm;
        (outline(&wasm).first_body.unwrap(), outline(&after).first_body.unwrap())
    };
    for functions in [1, 126, 128, 129] {
        let (before, after) = first_body(functions);
        assert_eq!(before, after, "{functions}");
    }
    let (before, after) = first_body(127);
    assert_eq!(before + 1, after);
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
