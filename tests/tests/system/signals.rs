//! Links, exits, mail and selects. The scenarios are in `guests/signals.rs`.

use lunatic_host::ExitReason;

crate::scenarios! {
    "signals":
    a_blocked_process_is_killed,
    a_blocked_process_ends_with_its_link,
    a_blocked_process_traps_an_exit,
    mail_reaches_a_blocked_process,
    calls_go_through_blocked_processes,
    selects_wake_for_each_source,
    timers_reach_a_blocked_process,
    tasks_of_blocked_processes_are_joined,
    an_error_of_its_own_is_reported => |program| {
        let ended = program.run().normal();
        ended.reports("`clerk` ended with an error: out of paper");
        ended.reports("(main), linked to #");
    },
    the_main_process_ends_with_its_link => |program| {
        let ended = program.run();
        assert_eq!(ended.reason, ExitReason::Error("my child is broken".to_owned()), "{ended}");
        assert_eq!(ended.reason.exit_code(), 1);
        ended.reports("(main) was ended by a signal of another process, which ended with an error: my child is broken");
    },
}
