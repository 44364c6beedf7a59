//! Limits of memory. The scenarios are in `guests/memory.rs`.

use lunatic_host::ExitReason;
use lunatic_tests::guests::{Profile, bytes};
use lunatic_tests::host::{Host, Program};

/// What one process may have here, in bytes.
const ONE: usize = 32 << 20;

fn limited(program: Program<'_>) -> Program<'_> {
    program.max_memory(ONE)
}

crate::scenarios! {
    "memory":
    exhausted_memory_ends_one_process => |program| _ = limited(program).run().normal(),
    a_hundred_greedy_processes_exhaust_themselves => |_| {
        // All together may have less than a tenth of what they want.
        let host = Host::with(|builder| builder.memory_max(256 << 20));
        let program = host.program(&bytes("memory", Profile::Debug)).max_memory(ONE);
        program.args(["a_hundred_greedy_processes_exhaust_themselves"]).run().normal();
    },
    memory_of_ended_processes_can_be_used_again => |_| {
        let host = Host::with(|builder| builder.memory_max(64 << 20));
        let program = host.program(&bytes("memory", Profile::Debug)).max_memory(ONE);
        program.args(["memory_of_ended_processes_can_be_used_again"]).run().normal();
    },
    the_main_process_exhausts_its_memory => |program| {
        let ended = limited(program).run();
        assert!(ended.trap().contains("out of memory"), "{ended}");
        assert_eq!(ended.reason.exit_code(), 134);
        ended.reports("out of memory");
    },
    a_refused_allocation_can_be_handled => |program| _ = limited(program).run().normal(),
}

/// A module whose memory begins with 2 MB, is said to be as large as `pages` at most, and grows as far as it can: it ends
/// with the number of megabytes it has got.
fn grower() -> &'static [u8] {
    br#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 32)
        (func (export "_start")
            (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
            (call $exit (i32.div_u (memory.size) (i32.const 16)))))"#
}

#[test]
fn the_limit_of_a_process_is_exact() {
    for megabytes in [2, 3, 64, 100] {
        let ended = Host::shared().program(grower()).max_memory(megabytes << 20).run();
        assert_eq!(ended.reason, ExitReason::Exit(megabytes as i32), "{ended}");
    }
}

#[test]
fn a_module_that_begins_larger_than_the_limit_is_refused_with_a_reason() {
    let started = Host::shared().program(grower()).max_memory(1 << 20).try_run();
    let text = match &started {
        Err(error) => error.clone(),
        Ok(ended) => ended.trap().to_owned(),
    };
    assert!(text.contains("memory"), "{text}");
}
