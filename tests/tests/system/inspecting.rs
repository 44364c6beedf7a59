//! Guests that look at others. The scenarios are in `guests/inspecting.rs`.

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_tests::host::Host;
use lunatic_tests::imports;

crate::scenarios! {
    "inspecting":
    all_are_seen_by_the_main_process,
    orders_pages_and_names,
    what_a_process_has_is_shown,
    one_with_less_sees_itself_and_its_own,
    without_the_right_nothing_is_seen,
    a_thousand_at_once,
    the_age_of_the_oldest_mail_is_shown,
}

/// It asks for a process after very many others, which would be kept, too.
#[test]
fn an_inspection_is_paid_for() {
    // It ends soon, but not in the middle of the call.
    for (mib, then, has_enough) in [(3, "(loop $on (br $on))", false), (8, "", true)] {
        let text = format!(
            r#"(module
            {}
            (memory (export "memory") 1)
            (func (export "_start")
                (drop (call $inspect.processes
                    (i32.const 0) (i32.const 65536) (i32.const 1) (i32.const 0) (i32.const 0)))
                {then}))"#,
            imports::declarations(),
        );
        let module = wat::parse_str(&text).unwrap();
        let caps = Caps {
            memory: Some(mib << 20),
            ..Caps::default()
        };
        let ended = Host::shared().program(&module).caps(caps).run();
        let is_out_of_memory = matches!(ended.reason, ExitReason::OutOfMemory(_));
        assert_eq!(is_out_of_memory, !has_enough, "{mib}: {ended}");
    }
}
