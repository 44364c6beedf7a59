use proptest::prelude::*;
use wasmparser::Validator;
use wasmtime::{Engine, Instance, Module, Store, Val};

use super::*;
use crate::testing;

/// Types of functions that the modules of these tests call and hold.
const TYPES: [&str; 4] = [
    "(param i32) (result i32)",
    "(param i64 i32) (result i32)",
    "(param f64) (result i32)",
    "(param i32) (result i32 i64)",
];

/// A module whose table of `table.len()` places holds, at each, a function of type `n`, or none. Every type has an
/// exported function that calls through the table, and one that does so in its place.
fn module(table: &[Option<usize>], extra: &str) -> Vec<u8> {
    let mut text = String::from("(module ");
    for (n, ty) in TYPES.iter().enumerate() {
        text += &format!("(type $t{n} (func {ty})) ");
    }
    text += &format!("(table {} funcref) {extra} ", table.len());
    for (place, ty) in table.iter().enumerate().filter_map(|(place, ty)| Some((place, (*ty)?))) {
        let more = if ty == 3 { "(i64.const 5)" } else { "" };
        text += &format!("(func $f{place} (type $t{ty}) (i32.const {}) {more}) ", place * 10);
        text += &format!("(elem (i32.const {place}) $f{place}) ");
    }
    let arguments = [
        "(i32.const 1)",
        "(i64.const 1) (i32.const 2)",
        "(f64.const 1)",
        "(i32.const 1)",
    ];
    for (n, arguments) in arguments.iter().enumerate() {
        let results = TYPES[n].split_once("(result").unwrap().1;
        for kind in ["call_indirect", "return_call_indirect"] {
            text += &format!(
                r#"(func (export "{kind} {n}") (param i32) (result{results}
                    ({kind} (type $t{n}) {arguments} (local.get 0)))"#
            );
        }
    }
    wat::parse_str(text + ")").unwrap()
}

/// What each exported call returns or fails with, for each index.
fn outcomes(engine: &Engine, wasm: &[u8], indexes: &[i32]) -> Vec<Result<u128, wasmtime::Trap>> {
    let module = Module::new(engine, wasm).unwrap();
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let names: Vec<String> = module.exports().map(|export| export.name().to_owned()).collect();
    let mut outcomes = Vec::new();
    for name in names.iter().filter(|name| name.contains("call_indirect")) {
        let function = instance.get_func(&mut store, name).unwrap();
        for index in indexes {
            let mut results = vec![Val::I32(0); function.ty(&store).results().len()];
            let result = function.call(&mut store, &[Val::I32(*index)], &mut results);
            outcomes.push(match result {
                Ok(()) => Ok(testing::bits(&results[0])),
                Err(error) => Err(*error.downcast_ref::<wasmtime::Trap>().unwrap()),
            });
        }
    }
    outcomes
}

/// Calls through the table do what they did, whatever the index.
fn check(engine: &Engine, table: &[Option<usize>]) {
    let wasm = module(table, "");
    let direct = direct_calls(&wasm).unwrap();
    Validator::new_with_features(features()).validate_all(&direct).unwrap();
    let mut indexes: Vec<i32> = (-2..table.len() as i32 + 3).collect();
    indexes.extend([i32::MAX, i32::MIN]);
    assert_eq!(outcomes(engine, &direct, &indexes), outcomes(engine, &wasm, &indexes));
}

#[test]
fn all_shapes_of_tables() {
    let engine = testing::engine();
    let all_of_one = vec![Some(0); 50];
    let sparse: Vec<_> = (0..300).map(|place| (place % 37 == 5).then_some(1)).collect();
    let mixed: Vec<_> = (0..90).map(|place| (place % 5 != 4).then_some(place % 5)).collect();
    let far: Vec<_> = (0..400)
        .map(|place| (!(5..=390).contains(&place)).then_some(2))
        .collect();
    for table in [&[Some(0)][..], &[None, Some(3)], &all_of_one, &sparse, &mixed, &far] {
        check(&engine, table);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_table(mut table in proptest::collection::vec(proptest::option::weighted(0.9, 0..TYPES.len()), 1..60)) {
        table[0] = Some(0);
        check(&testing::engine(), &table);
    }

    /// Whatever the module, what comes out is valid.
    #[test]
    fn generated_modules_stay_valid(random in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let Some(wasm) = testing::any_module(&random) else { return Ok(()) };
        let Some(rewritten) = testing::rewrite_generated(&wasm) else { return Ok(()) };
        if let Some(direct) = direct_calls(&rewritten.wasm) {
            Validator::new_with_features(features()).validate_all(&direct).unwrap();
        }
    }
}

/// The table is left alone where somebody could see the difference.
#[test]
fn what_keeps_its_table() {
    let table = [Some(0), None, Some(2)];
    let check = |extra: &str, is_changed: bool| {
        let wasm = module(&table, extra);
        assert_eq!(direct_calls(&wasm).is_some(), is_changed, "{extra}");
    };
    check("", true);
    check("(func (result i32) (i32.const 7))", true);
    check(r#"(export "table" (table 0))"#, false);
    check("(func (result i32) (table.size 0))", false);
    check("(func (table.set 0 (i32.const 0) (ref.null func)))", false);
    check("(func (result funcref) (table.get 0 (i32.const 0)))", false);
    check(
        "(func $f) (elem declare func $f) (func (result funcref) (ref.func $f))",
        false,
    );
    check("(table 1 funcref)", false);
    check("(func $f) (elem (i32.const 3) $f)", false);
    check("(elem (i32.const 4))", false);
    check("(elem (i32.const 3))", true);
    check(
        "(global $g i32 (i32.const 1)) (func $f) (elem (global.get $g) $f)",
        false,
    );
    check("(elem funcref (ref.null func))", false);
    let imported = r#"(module (import "a" "b" (table 1 funcref))
        (func (call_indirect (i32.const 0))))"#;
    assert!(direct_calls(&wat::parse_str(imported).unwrap()).is_none());
}

#[test]
fn every_instruction_stays_where_it_is() {
    let wasm = module(&[Some(0), Some(1), Some(2)], "");
    let direct = direct_calls(&wasm).unwrap();
    let offsets = |wasm: &[u8]| {
        let mut start = 0;
        let mut offsets = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::CodeSectionStart { range, .. } => start = range.start,
                Payload::CodeSectionEntry(body) => offsets.push(body.range().start - start),
                _ => {}
            }
        }
        offsets
    };
    assert!(offsets(&direct).starts_with(&offsets(&wasm)));
}

#[test]
fn a_call_takes_the_place_of_a_longer_one() {
    let check = |len: usize, function: u32, expected: Option<&[u8]>| {
        let mut instruction = vec![0x11; len];
        let done = replace(&mut instruction, false, function).map(|()| &instruction[..]);
        assert_eq!(done, expected, "{function} in {len} bytes");
    };
    check(3, 5, Some(&[0x10, 0x85, 0]));
    check(3, 0x3fff, Some(&[0x10, 0xff, 0x7f]));
    check(3, 0x4000, None);
    check(6, u32::MAX, Some(&[0x10, 0xff, 0xff, 0xff, 0xff, 0x0f]));
    check(8, 1, Some(&[0x10, 0x81, 0x80, 0x80, 0x80, 0, 1, 1]));
}
