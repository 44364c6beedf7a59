//! Processes: spawning, ends, joining, killing. The scenarios are in `guests/processes.rs`.

use lunatic_tests::guests::{Profile, bytes};
use lunatic_tests::host::{Host, Program};

/// On a host with one worker, and on one with more.
fn with_few_workers(name: &str) {
    for workers in [1, 2] {
        let host = Host::with(|builder| builder.workers(workers));
        let program: Program<'_> = host.program(&bytes("processes", Profile::Release));
        program.args([name]).run().normal();
    }
}

crate::scenarios! {
    "processes":
    join_tells_how_a_process_ended,
    join_tells_everyone_the_same_however_often,
    join_timeout_gives_up_in_time,
    kill_ends_a_process_wherever_it_is,
    a_process_can_kill_itself,
    a_process_that_is_killed_does_nothing_more,
    whoever_joins_a_process_that_is_killed_is_told,
    is_alive_until_the_end,
    this_process_is_what_the_parent_got,
    a_forged_process_is_an_error_for_every_call,
    what_a_closure_captures_arrives,
    too_large_a_capture_is_an_error,
    exit_in_a_child_ends_only_the_child,
    deep_recursion_ends_one_process,
    a_panic_while_others_wait_ends_one_process,
    children_live_on_when_their_parent_ends,
    statics_are_not_shared,
    ten_thousand_generations,
    ten_thousand_blocked_processes_are_woken,
    killing_a_thousand_leaves_the_others,
    a_killed_process_does_not_wait_for_those_who_compute => |_| {
        with_few_workers("a_killed_process_does_not_wait_for_those_who_compute")
    },
    sleep_lasts_as_long_as_it_says,
    nobody_waits_for_ever_beside_those_who_never_wait => |_| {
        with_few_workers("nobody_waits_for_ever_beside_those_who_never_wait")
    },
    nobody_waits_for_ever_beside_those_who_wake_each_other => |_| {
        with_few_workers("nobody_waits_for_ever_beside_those_who_wake_each_other")
    },
    what_is_not_dropped_yet_is_not_dropped_at_an_early_end,
    a_panic_cannot_be_caught,
}
