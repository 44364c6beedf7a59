//! What rewriting adds, and that it adds nothing else.

mod facts;
mod generated;
mod long;
mod refusals;
mod startup;

use wasmparser::{BinaryReader, ExternalKind, FunctionBody, Operator, Parser, Payload, Validator};

use super::*;
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
