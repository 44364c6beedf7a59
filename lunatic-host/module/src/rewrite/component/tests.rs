//! Tests of components: what is refused, what is charged, and that the rest of a component stays as it is.

use proptest::prelude::*;
use wasmparser::{Operator, Parser, Payload, Validator};

use super::*;

/// The parts of a command, after the core module `$m` that exports `run`.
const COMMAND: &str = r#"(core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $exported (export "run" (func $run)))
    (export "wasi:cli/run@0.2.3" (instance $exported))"#;
const RUN: &str = r#"(func (export "run") (result i32) (i32.const 0))"#;

/// A command with these parts of its core module, and of the component.
fn command(module: &str, component: &str) -> Vec<u8> {
    let text = format!("(component {component} (core module $m {module} {RUN}) {COMMAND})");
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn facts(module: &str, component: &str) -> Facts {
    let rewritten = rewrite(&command(module, component)).unwrap();
    Validator::new_with_features(component_features())
        .validate_all(&rewritten.wasm)
        .unwrap();
    rewritten.facts
}

#[track_caller]
fn refused(module: &str, component: &str) -> String {
    rewrite(&command(module, component)).unwrap_err().to_string()
}

/// How often all bodies fill memory in one instruction, and in how many functions.
fn fills(wasm: &[u8]) -> (usize, usize) {
    let (mut fills, mut functions) = (0, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            functions += 1;
            let operators = body.get_operators_reader().unwrap();
            fills += operators
                .into_iter()
                .filter(|operator| matches!(operator, Ok(Operator::MemoryFill { .. })))
                .count();
        }
    }
    (fills, functions)
}

#[test]
fn a_command_is_a_program_with_one_instance() {
    let facts = facts("(memory 3 5)", "");
    assert!(facts.component && facts.start && facts.recyclable.is_err());
    assert_eq!(
        facts.memory.map(|memory| (memory.pages_min, memory.pages_max)),
        Some((3, Some(5)))
    );
}

#[test]
fn long_instructions_in_core_modules_become_short() {
    let fill = |len: &str| format!("(memory 1) (func (param i32) (memory.fill (i32.const 0) (i32.const 0) {len}))");
    let check = |len: &str, expected: (usize, usize)| {
        let wasm = command(&fill(len), "");
        assert_eq!(fills(&wasm), (1, 2));
        let rewritten = rewrite(&wasm).unwrap().wasm;
        assert_eq!(fills(&rewritten), expected);
    };
    // The added function has one for a piece, and one for the rest.
    check("(local.get 0)", (2, 3));
    check("(i32.const 100)", (1, 2));
}

#[test]
fn nothing_else_changes() {
    let wasm = command("(memory 1)", "(core module (func))");
    assert_eq!(rewrite(&wasm).unwrap().wasm, wasm);
}

#[test]
fn the_places_of_core_modules_are_known() {
    let wasm = command(
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.load (i32.const 0))))",
        "(core module)",
    );
    let Rewritten { wasm: compiled, facts } = rewrite(&wasm).unwrap();
    assert_eq!(facts.modules.len(), 2);
    for (own, new) in &facts.modules {
        for part in [&wasm[own.clone()], &compiled[new.clone()]] {
            assert!(part.starts_with(b"\0asm\x01") && Validator::new().validate_all(part).is_ok());
        }
    }
    assert!(facts.modules[1].1.len() > facts.modules[1].0.len());
}

#[test]
fn what_is_instantiated_is_charged() {
    let size = |module: &str, component: &str| facts(module, component).instance_size;
    let plain = size("", "");
    let many = |part: &str| part.repeat(1000);
    assert!(size("", &many("(core type (func))")) >= plain + 1000 * ITEM_SIZE);
    assert!(size("(func $f)", "") >= plain);
    let elements = format!("(func $f) (elem func {})", many("$f "));
    assert!(
        size(&elements, "") >= plain + 1000 * 16,
        "passive segments are copied for each instance"
    );
    assert!(size(&many("(global (mut i32) (i32.const 0))"), "") >= plain + 96_000);
    assert!(size(&many("(tag)"), "") >= plain + 32_000);
    let globals = format!("(core module $g {})", many("(global i32 (i32.const 0))"));
    let one = size("", &format!("{globals} (core instance (instantiate $g))"));
    let two = size(
        "",
        &format!("{globals} (core instance (instantiate $g)) (core instance (instantiate $g))"),
    );
    assert!(one >= plain + 96_000 && two >= one + 96_000, "{plain} {one} {two}");
    let resource = "(type $r (resource (rep i32))) (core func (canon resource.new $r))";
    assert!(size("", resource) >= plain + ENGINE_HANDLES_MAX * HANDLE_SIZE);
}

#[test]
fn nested_components_only_give_names() {
    let named = r#"(type $f (func)) (component $named (import "f" (func $f (type $f))) (export "g" (func $f)))"#;
    assert!(rewrite(&command("", named)).is_ok());
    for inner in [
        "(core module)",
        "(component)",
        "(core module $n) (core instance (instantiate $n))",
        "(type $r (resource (rep i32))) (core func (canon resource.new $r))",
        "(component $c) (instance (instantiate $c))",
    ] {
        let refusal = refused("", &format!("(component {inner})"));
        assert!(refusal.contains("composed of several"), "{inner}: {refusal}");
    }
    let types = "(type (func))".repeat(200);
    let instances = "(instance (instantiate $c))".repeat(600);
    let refusal = refused("", &format!("(component $c {types}) {instances}"));
    assert!(refusal.contains("nested components"), "{refusal}");
}

#[test]
fn what_is_no_command_says_what_it_is() {
    let check = |interface: &str, text: &str| {
        let exported = COMMAND.replace("wasi:cli/run@0.2.3", interface);
        let wasm = wat::parse_str(format!("(component (core module $m {RUN}) {exported})")).unwrap();
        let refusal = rewrite(&wasm).unwrap_err().to_string();
        assert!(refusal.contains(text), "{refusal}");
    };
    check("wasi:http/handler@0.3.0", "handles HTTP requests of WASI 0.3");
    check("wasi:cli/run@0.3.0", "WASI 0.3");
    check("own:thing/run@1.0.0", "exports no `wasi:cli/run@0.2.x`");
}

#[test]
fn bombs_are_refused() {
    let memories =
        "(core module $two (memory 0)) (core instance (instantiate $two)) (core instance (instantiate $two))";
    assert!(refused("", memories).contains("memories"));
    let deep = format!("(func {} {})", "block ".repeat(60_000), "end ".repeat(60_000));
    assert!(refused(&deep, "").contains("too long to compile"));
    let lowered = "(core func (canon lower (func $f)))".repeat(CANONICAL_MAX + 1);
    let component = format!(r#"(import "f" (func $f)) {lowered}"#);
    assert!(refused("", &component).contains("canonical functions"));
    let instances =
        |module: &str, count: usize| format!("{module} {}", "(core instance (instantiate $g))".repeat(count));
    let refusal = refused("", &instances("(core module $g)", INSTANCES_MAX));
    assert!(refusal.contains("instances of core modules"), "{refusal}");
    let globals = format!("(core module $g {})", "(global i32 (i32.const 0))".repeat(100_000));
    let refusal = refused("", &instances(&globals, INSTANCES_MAX / 2));
    assert!(refusal.contains("bytes in instances"), "{refusal}");
    assert!(rewrite(&command("", &instances(&globals, 10))).is_ok());
}

/// It is copied when the instance is made, in one step.
#[test]
fn data_for_the_memory_of_another_module_is_bounded() {
    let component = |count: usize| {
        let data = format!(r#"(data (i32.const 0) "{}")"#, "x".repeat(1 << 20));
        let copies = format!(r#"(core module $d (import "m" "memory" (memory 16)) {data} {data})"#);
        let own = r#"(core module $own (memory (export "memory") 16)) (core instance $own (instantiate $own))"#;
        let instance = r#"(core instance (instantiate $d (with "m" (instance $own))))"#;
        format!("{own} {copies} {}", instance.repeat(count))
    };
    assert!(rewrite(&command("", &component(8))).is_ok());
    let refusal = refused("", &component(9));
    assert!(refusal.contains("memories of other modules"), "{refusal}");
    // An image of it is mapped.
    let data = format!(r#"(data (i32.const 0) "{}")"#, "x".repeat(1 << 20)).repeat(20);
    assert!(rewrite(&command(&format!("(memory 16) {data}"), "")).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is cut off or changed: it is refused, or what comes out is valid.
    #[test]
    fn no_bytes_cause_a_panic(cut in 0..2000_usize, at in 0..2000_usize, byte in any::<u8>()) {
        let resource = r#"(type $r (resource (rep i32))) (core func (canon resource.new $r)) (component $c) (instance (instantiate $c))"#;
        let mut wasm = command("(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.load (i32.const 0))))", resource);
        let len = wasm.len();
        wasm[at % len] = byte;
        // Mostly whole.
        if cut < 500 {
            wasm.truncate(cut % (len + 1));
        }
        if let Ok(rewritten) = rewrite(&wasm) {
            prop_assert!(Validator::new_with_features(component_features()).validate_all(&rewritten.wasm).is_ok());
        }
    }
}
