use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::testing;

fn entries(text: &str) -> Entries {
    Entries::of(&wat::parse_str(format!("(module {text})")).unwrap()).unwrap()
}

/// All entries with their names as they are shown.
fn shown(entries: &Entries) -> Vec<(u32, String)> {
    let mut indexes: Vec<u32> = entries.indexes().collect();
    indexes.sort_unstable();
    let shown = |index| (index, entries.name_of(index).unwrap().to_string());
    indexes.into_iter().map(shown).collect()
}

/// Every entry has a name of its own, and is found by it.
fn check_one_to_one(entries: &Entries) {
    let mut names = HashSet::new();
    for index in entries.indexes() {
        let name = entries.name_of(index).unwrap();
        assert_eq!(entries.find(&name), Some(index), "{name}");
        let copy: EntryName = postcard::from_bytes(&postcard::to_stdvec(&name).unwrap()).unwrap();
        assert_eq!(copy, name);
        assert!(names.insert(name), "two entries have the name of {index}");
    }
}

#[test]
fn functions_of_the_table_are_named() {
    let check = |text: &str, expected: &[(u32, &str)]| {
        let entries = entries(text);
        check_one_to_one(&entries);
        let expected: Vec<_> = expected
            .iter()
            .map(|(index, name)| (*index, (*name).to_owned()))
            .collect();
        assert_eq!(shown(&entries), expected, "{text}");
    };
    check("", &[]);
    check("(table 4 funcref)", &[]);
    check("(table 4 funcref) (func $a) (elem (i32.const 2) $a)", &[(2, "a")]);
    // Only functions that a process can begin with.
    check(
        "(table 4 funcref) (func $a) (func $b (param i32)) (func $c (result i32) (i32.const 1))
         (elem (i32.const 1) $b $a $c)",
        &[(2, "a")],
    );
    // An import by its two names.
    check(
        r#"(import "lunatic::process" "yield_now" (func $x)) (table 4 funcref) (elem (i32.const 1) $x)"#,
        &[(1, "lunatic::process::yield_now")],
    );
    // The same function at two places.
    check(
        "(table 4 funcref) (func $a) (elem (i32.const 1) $a $a)",
        &[(1, "a (1 of 2)"), (2, "a (2 of 2)")],
    );
    // Later segments replace what earlier ones put there, and so do empty references.
    check(
        "(table 4 funcref) (func $a) (func $b) (elem (i32.const 0) $a $a $a) (elem (i32.const 1) $b)
         (elem (i32.const 2) funcref (ref.null func)) (elem (i32.const 3) funcref (ref.func $b))",
        &[(0, "a"), (1, "b (1 of 2)"), (3, "b (2 of 2)")],
    );
    // Segments that are not put into table 0 at a known place.
    check(
        r#"(import "a" "g" (global $g i32)) (table 4 funcref) (table $t 4 funcref) (func $a)
         (elem $passive func $a) (elem declare func $a) (elem (table $t) (i32.const 0) func $a)
         (elem (global.get $g) $a)"#,
        &[],
    );
}

/// A module with functions of these names in its table, in this order, from index 1 on.
fn build<S: AsRef<str>>(names: &[S]) -> Entries {
    let functions: String = names.iter().map(|name| format!("(func ${}) ", name.as_ref())).collect();
    let elements: String = names.iter().map(|name| format!("${} ", name.as_ref())).collect();
    entries(&format!(
        "(table 20 funcref) {functions} (elem (i32.const 1) {elements})"
    ))
}

/// Names as Rust makes them, with `{}` for what is different in each build.
const LEGACY: [&str; 3] = [
    "_ZN3app4main28_$u7b$$u7b$closure$u7d$$u7d$17h00000000{}E",
    "_ZN3app6worker17h00000000{}E",
    "_ZN3app6tracer17h00000000{}E",
];
const V0: [&str; 3] = [
    "_RINvCs{}_3app5enterNCNvB2_4main0EB2_",
    "_RINvCs{}_3app5enterNCNvB2_4mains_0EB2_",
    "_RINvCs{}_3app5enterNCNvB2_6worker0EB2_",
];

#[test]
fn the_same_entry_is_found_in_another_version() {
    for names in [LEGACY, V0] {
        let old = build(&names.map(|name| name.replace("{}", "0a1b2c3d")));
        // The next version has two more functions, and the others stand in another order.
        let mut names = names.map(|name| name.replace("{}", "9f8e7d6c"));
        names.reverse();
        let names: Vec<String> = ["one".into(), "two".into()].into_iter().chain(names).collect();
        let new = build(&names);
        for (index, moved) in [(1, 5), (2, 4), (3, 3)] {
            let name = old.name_of(index).unwrap();
            assert_eq!(new.find(&name), Some(moved), "{name}");
            assert_eq!(new.name_of(moved), Some(name));
        }
        assert_eq!(old.find(&new.name_of(1).unwrap()), None);
    }
}

#[test]
fn a_shared_name_is_found_if_as_many_share_it() {
    // As the SDK's entries are called with the legacy mangling.
    let names = |count: usize| -> Vec<String> { (0..count).map(|n| format!("_ZN3app5enter17h{n:016x}E")).collect() };
    let two = build(&names(2));
    let second = two.name_of(2).unwrap();
    assert_eq!(second.to_string(), "app::enter (2 of 2)");
    let moved: Vec<String> = ["a".into(), "b".into()].into_iter().chain(names(2)).collect();
    assert_eq!(build(&moved).find(&second), Some(4));
    for count in [0, 1, 3] {
        assert_eq!(build(&names(count)).find(&second), None, "{count}");
    }
}

#[test]
fn without_names_bodies_tell_functions_apart() {
    let module = |offset: u32, more: &str| {
        entries(&format!(
            "(table 9 funcref) {more} (elem (i32.const {offset}) 0 1 2)
             (func (drop (i32.const 1))) (func (drop (i32.const 2))) (func (drop (i32.const 1)))"
        ))
    };
    let (old, new) = (module(1, ""), module(4, "(memory 1) (global i32 (i32.const 1))"));
    for index in 1..=3 {
        let name = old.name_of(index).unwrap();
        assert!(name.to_string().starts_with("function "), "{name}");
        assert_eq!(new.find(&name), Some(index + 3));
    }
}

#[test]
fn exports_have_names_and_no_indexes() {
    let entries = entries(r#"(table 4 funcref) (func $a (export "a")) (elem (i32.const 1) $a)"#);
    let export = EntryName::Export("a".into());
    assert_eq!((export.to_string().as_str(), entries.find(&export)), ("a", None));
    assert_ne!(entries.name_of(1), Some(export));
}

#[test]
fn what_is_no_module_has_no_entries() {
    for bytes in [&b""[..], b"\0asm", b"#!/bin/sh"] {
        let error = Entries::of(bytes).unwrap_err();
        assert!(matches!(error, EntriesError::Malformed { .. }), "{error}");
    }
}

#[test]
fn tables_have_a_limit() {
    const SEGMENT_LEN: usize = 1 << 10;
    let segment = format!("(elem (i32.const 0) {})", "0 ".repeat(SEGMENT_LEN));
    let check = |segments: usize, expected: bool| {
        let text = format!("(module (table 9 funcref) (func) {})", segment.repeat(segments));
        let entries = Entries::of(&wat::parse_str(text).unwrap());
        assert_eq!(entries.is_ok(), expected, "{segments} segments");
    };
    check(PLACES_MAX / SEGMENT_LEN, true);
    check(PLACES_MAX / SEGMENT_LEN + 1, false);
}

/// A function of a generated module: which name it has, if any, and where in the table it is.
type Function = (u8, Vec<u8>);

fn functions() -> impl Strategy<Value = Vec<Function>> {
    let places = proptest::collection::vec(any::<u8>(), 0..4);
    proptest::collection::vec((0..16_u8, places), 0..20)
}

fn module_of(functions: &[Function]) -> Vec<u8> {
    let mut text = String::from("(module (table 300 funcref) ");
    for (n, (name, places)) in functions.iter().enumerate() {
        let name = match name {
            0..=3 => String::new(),
            // The mangled names differ, the stable ones need not.
            name => format!("$_ZN3app1{}17h{n:016x}E", char::from(b'a' + name % 5)),
        };
        text += &format!("(func {name} (drop (i32.const {}))) ", n % 3);
        for place in places {
            text += &format!("(elem (i32.const {place}) {n}) ");
        }
    }
    wat::parse_str(text + ")").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_and_indexes_are_one_to_one(functions in functions()) {
        let entries = Entries::of(&module_of(&functions)).unwrap();
        check_one_to_one(&entries);
        let expected: HashSet<u8> = functions.iter().flat_map(|(_, places)| places).copied().collect();
        prop_assert_eq!(entries.indexes().count(), expected.len());
    }

    #[test]
    fn generated_modules_have_names(random in proptest::collection::vec(any::<u8>(), 0..4000)) {
        if let Some(wasm) = testing::any_module(&random) {
            check_one_to_one(&Entries::of(&wasm).unwrap());
        }
    }

    /// Whatever is cut off or changed: no panic, and what has a name is found by it.
    #[test]
    fn damaged_modules_cause_no_panic(
        functions in functions(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        len in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut wasm = module_of(&functions);
        for (at, byte) in &changes {
            let at = at.index(wasm.len());
            wasm[at] = *byte;
        }
        if is_cut {
            wasm.truncate(len.index(wasm.len()));
        }
        if let Ok(entries) = Entries::of(&wasm) {
            check_one_to_one(&entries);
        }
    }

    #[test]
    fn any_bytes_cause_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Entries::of(&bytes);
        let _ = Entries::of(&[&b"\0asm\x01\0\0\0"[..], &bytes].concat());
    }

    #[test]
    fn any_symbol_causes_no_panic(random in "(_R|_ZN|)[a-zA-Z0-9_$.]{0,60}") {
        let _ = symbol::stable(&random);
    }
}

#[test]
fn more_places_than_permitted_are_refused_and_names_have_a_size() {
    let text = "(module (table 9 funcref) (elem (i32.const 0) $long $long $long) (func $long))";
    let wasm = wat::parse_str(text).unwrap();
    let too_many = Entries::of_at_most(&wasm, 2).unwrap_err();
    assert_eq!(too_many, EntriesError::TooMany { max: 2 });
    let entries = Entries::of_at_most(&wasm, 3).unwrap();
    assert_eq!(entries.indexes().count(), 3);
    let longer = wat::parse_str(text.replace("$long", "$a_longer_name")).unwrap();
    let difference = Entries::of(&longer).unwrap().size() - entries.size();
    assert_eq!(difference, "a_longer_name".len() - "long".len());
    assert_eq!(Entries::default().size(), 0);
}
