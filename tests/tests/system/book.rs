//! The programs of the README and of the book print what is shown there, compiled either way.
//!
//! What a program prints stands in a text file beside it, which the book includes, too.

use lunatic_host::ExitReason;
use lunatic_tests::guests::{PROFILES, Profile, bytes};
use lunatic_tests::host::{Ended, Host};

#[track_caller]
fn run(name: &str, profile: Profile) -> Ended {
    Host::shared().program(&bytes(name, profile)).run().normal()
}

/// Asserts what a program prints, whatever it is compiled as.
#[track_caller]
fn prints(name: &str, expected: &str) {
    for profile in PROFILES {
        let ended = run(name, profile);
        assert_eq!(ended.stdout, expected, "{ended}");
    }
}

#[test]
fn a_thousand_processes_square_a_number_each() {
    for profile in PROFILES {
        let ended = run("squares", profile);
        let mut lines: Vec<&str> = ended.stdout.lines().collect();
        let mut expected: Vec<String> = (0..1_000_u64).map(|i| format!("{i} * {i} = {}", i * i)).collect();
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected);
    }
}

#[test]
fn a_parent_goes_on_after_a_crash_until_it_waits_for_ever() {
    const CRASH: &str = "panicked: called `Result::unwrap()` on an `Err` value: ParseIntError { kind: InvalidDigit }";
    let readme = include_str!("../../../README.md");
    for profile in PROFILES {
        // A host of its own: its processes have the numbers that the README shows, and nothing else can run.
        let host = Host::with(|builder| builder);
        let ended = host.program(&bytes("crash", profile)).run();
        assert!(matches!(ended.reason, ExitReason::Deadlock(_)), "{ended}");
        assert_eq!(ended.reason.exit_code(), 70);
        assert_eq!(ended.stdout, format!("the child {CRASH}\n"));
        let crash = format!("process #2 {CRASH}\n");
        ended.reports(&crash);
        // The command line writes the reason to standard error.
        let deadlock = ended.reason.to_string();
        let (deadlock, advice) = deadlock.split_at(deadlock.find("every process").expect("it says what to do"));
        for text in [&*crash, deadlock, advice] {
            assert!(readme.contains(text), "the README does not show {text:?}");
        }
        assert!(
            readme.contains(&ended.stdout),
            "the README does not show {:?}",
            ended.stdout
        );
    }
    let place = "    at examples/tour/crash.rs:10:51\n";
    Host::with(|builder| builder)
        .program(&bytes("crash", Profile::Debug))
        .run()
        .reports(place);
    assert!(readme.contains(place));
}

#[test]
fn a_supervisor_restarts_the_counter_of_the_readme() {
    prints("office", include_str!("../../../examples/tour/office.txt"));
}

#[test]
fn urgent_mail_is_received_first() {
    prints("mail", include_str!("../../../examples/tour/mail.txt"));
}

#[test]
fn the_end_of_a_process_is_told_in_four_ways() {
    prints("links", include_str!("../../../examples/tour/links.txt"));
}

#[test]
fn an_actor_answers_when_there_is_enough() {
    prints("stock", include_str!("../../../examples/tour/stock.txt"));
}

#[test]
fn what_comes_after_a_killed_child_is_restarted_with_it() {
    prints("tree", include_str!("../../../examples/tour/tree.txt"));
}

#[test]
fn code_in_a_sandbox_does_no_more_than_it_may() {
    prints("decoder", include_str!("../../../examples/tour/decoder.txt"));
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_ask_again() {
    prints(
        "rate_limiter",
        include_str!("../../../examples/recipes/rate_limiter.txt"),
    );
}

#[test]
fn a_missing_value_is_loaded_once_for_all_who_ask() {
    prints("cache", include_str!("../../../examples/recipes/cache.txt"));
}

#[test]
fn events_reach_those_who_have_subscribed_and_live() {
    prints("pub_sub", include_str!("../../../examples/recipes/pub_sub.txt"));
}

#[test]
fn a_failed_job_is_tried_again_and_given_up_in_the_end() {
    prints("job_queue", include_str!("../../../examples/recipes/job_queue.txt"));
}

#[test]
fn nobody_waits_for_a_service_that_keeps_failing() {
    prints(
        "circuit_breaker",
        include_str!("../../../examples/recipes/circuit_breaker.txt"),
    );
}

#[test]
fn a_periodic_task_goes_on_after_a_failure_and_never_runs_twice_at_once() {
    prints(
        "periodic_task",
        include_str!("../../../examples/recipes/periodic_task.txt"),
    );
}

#[test]
fn plugins_of_strangers_harm_nobody() {
    prints("plugin_host", include_str!("../../../examples/recipes/plugin_host.txt"));
}

#[test]
fn each_visitor_of_a_web_site_has_a_session_of_his_own() {
    for profile in PROFILES {
        let program = Host::shared().program(&bytes("web_session", profile));
        let ended = program.net(vec!["*".parse().unwrap()]).run().normal();
        let (first, rest) = ended.stdout.split_once('\n').unwrap();
        assert!(first.starts_with("listening on http://127.0.0.1:"), "{ended}");
        assert_eq!(
            rest,
            include_str!("../../../examples/recipes/web_session.txt"),
            "{ended}"
        );
    }
}
