//! Processes of components: spawning, messages, links, names and timers. The scenarios are in `guests/components/processes`; a
//! scenario that ends normally has shown what it is about.

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_tests::components::{importing_everything, of_program, processes};
use lunatic_tests::guests::program;
use lunatic_tests::host::{Host, Program};

fn scenario(name: &str) -> Program<'static> {
    Host::shared().program(&processes()).args([name]).quiet()
}

#[test]
fn every_scenario_of_processes_has_a_test() {
    let listed = scenario("--list").run().normal();
    let this = include_str!("component_processes.rs");
    for name in listed.stdout.lines() {
        assert!(this.contains(&format!("{name:?}")), "{name} has no test");
    }
}

/// If the host lacked one, or had another type for it, the component would not be linked.
#[test]
fn the_host_provides_what_the_wit_file_declares() {
    let (component, count) = importing_everything();
    assert!(count > 35, "{count}");
    Host::shared().load(&component).unwrap();
}

#[test]
fn a_component_spawns_and_joins() {
    let ended = scenario("joins").run().normal();
    let expected = [
        "succeeds: normal",
        "fails: exit 1",
        "panics: panic on purpose",
        "traps: trap 1 ",
        "exits: error in its own words",
        "waits: killed",
    ];
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{ended}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_component_links_and_monitors() {
    let ended = scenario("links_and_monitors").run();
    assert_eq!(ended.reason, ExitReason::Error("both".into()), "{ended}");
    assert_eq!(scenario("signals").run().reason, ExitReason::Killed);
}

#[test]
fn a_component_that_waits_can_be_killed() {
    scenario("kills_waiting").run().normal();
}

#[test]
fn components_send_messages() {
    scenario("messages").run().normal();
    scenario("long_messages").run().normal();
    scenario("timers").run().normal();
    scenario("names").run().normal();
    scenario("groups").run().normal();
    scenario("channels").run().normal();
    assert_eq!(scenario("floods_channels").run().normal().stdout, "refused\n");
}

#[test]
fn components_call_and_wait_for_the_answer() {
    scenario("calls").run().normal();
}

#[test]
fn a_component_waits_for_mail_and_for_time_at_once() {
    scenario("polls_mail").run().normal();
}

/// A core module compiles a component, spawns it and talks with it.
fn beside(name: &str) -> Program<'static> {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("component.wasm"), processes()).unwrap();
    program("beside_components").args([name]).dir(&folder, "/data", true)
}

#[test]
fn core_modules_and_components_talk() {
    assert_eq!(beside("answers").run().normal().stdout, "done\n");
}

#[test]
fn a_component_needs_rights_to_spawn_and_to_register() {
    let ended = beside("without_rights").log_denials().run().normal();
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[0].contains("allow=spawn"), "{ended}");
    assert!(lines[1..].iter().all(|line| line.contains("allow=names")), "{ended}");
    ended
        .reports("may not spawn")
        .reports("may not register the name \"name\"");
}

#[test]
fn a_component_configures_its_children() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("given"), "given").unwrap();
    scenario("configures").dir(folder.path(), "/data", false).run().normal();
}

#[test]
fn children_of_components_are_limited() {
    let ended = scenario("limits_of_children").run().normal();
    assert_eq!(ended.stdout, "out-of-memory\n");
    let caps = Caps {
        processes: Some(20),
        ..Caps::default()
    };
    let ended = scenario("floods_children").caps(caps).run().normal();
    assert_eq!(ended.stdout, "19 children\n");
}

#[test]
fn processes_of_components_are_preempted() {
    let host = Host::with_one_worker();
    host.program(&processes()).args(["spins_beside"]).run().normal();
}

#[test]
fn waits_of_components_are_seen_in_a_deadlock() {
    let ended = scenario("waits_forever").run();
    assert!(
        matches!(&ended.reason, ExitReason::Deadlock(text) if text.contains("waits for mail") && text.contains("waits to join")),
        "{ended}"
    );
}

#[test]
fn a_component_without_entry_cannot_spawn_itself() {
    let module = r#"(module
        (import "lunatic:process/process@0.1.0" "spawn" (func $spawn (param
            i32 i32 i32 i32 i32 i32 i64 i32 i32 i32 i32 i64 i32 i64 i32 i32 i32)))
        (import "lunatic:process/process@0.1.0" "[method]process.join" (func $join (param i32 i32 i64 i32)))
        (memory (export "memory") 1) (data (i32.const 0) "name")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "_start")
            (call $spawn (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i64.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i64.const 0)
                (i32.const 0) (i32.const 0) (i32.const 64))
            (call $join (i32.load (i32.const 72)) (i32.const 0) (i64.const 0) (i32.const 256))))"#;
    let component = of_program(&wat::parse_str(module).unwrap(), "imports");
    let ended = Host::shared().program(&component).run();
    assert!(
        ended.trap().contains("exports no `lunatic:process/entry@0.1.0`"),
        "{ended}"
    );
}

#[test]
fn what_a_component_passes_to_lunatic_is_checked() {
    let trap = |name: &str, text: &str| {
        let ended = scenario(name).run();
        assert!(ended.trap().contains(text), "{ended}");
    };
    trap("floods_handles", "16384 handles");
    trap("too_many_tags", "at most 256 tags");
    trap("too_many_subscriptions", "at most 256 tags together");
    trap("long_name", "1 to 255 bytes");
    trap("long_reason", "at most 65536 bytes");
}
