//! What is found out about a module.

use super::startup::{START_FILE, noting};
use super::*;
use crate::facts::Memory;

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
fn an_instance_is_as_large_as_what_it_keeps() {
    let size = |text: &str| facts(text).instance_size;
    let elements = "(ref.null func) ".repeat(1_000);
    let passive = size(&format!("(elem funcref {elements})"));
    assert!(passive >= 16_000, "{passive}");
    // Active ones are copied to the table, which is counted with its elements, and declared ones are not kept.
    let active = size(&format!("(table 1000 funcref) (elem (i32.const 0) funcref {elements})"));
    let declared = size(&format!("(elem declare funcref {elements})"));
    assert!(active < 1_000 && declared < 1_000, "{active} and {declared}");
    assert!(size(&"(elem funcref)".repeat(1_000)) >= 32_000);
    assert!(size(&"(tag)".repeat(1_000)) >= 16_000);
}

#[test]
fn data_in_many_pages_is_not_kept_for_reuse() {
    let segments = |count: usize| {
        let segment = |at| format!("(data (i32.const {}) \"x\")", at * 4096);
        let segments: String = (0..count).map(segment).collect();
        facts(&format!("(memory 1000) {segments}"))
    };
    assert_eq!((segments(2048).data_pages, segments(2048).recyclable), (4096, Ok(())));
    let much = segments(2049);
    assert_eq!(much.recyclable, Err(NotRecyclable::MuchData { pages: 4098 }));
    // What instantiation does not write, and what cannot be written, is not counted.
    assert_eq!(
        facts("(memory 1) (data \"abc\") (data (i32.const 0) \"\")").data_pages,
        0
    );
}
