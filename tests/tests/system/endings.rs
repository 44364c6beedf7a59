//! How programs end: exit codes, crash reports, deadlock reports. The scenarios are in `guests/endings.rs`.

use std::collections::BTreeSet;

use lunatic_host::ExitReason;
use lunatic_tests::guests::{Profile, bytes};
use lunatic_tests::host::{Ended, Host};

/// Runs a scenario on a host of its own, where nothing else can run when it can not.
#[track_caller]
fn alone(scenario: &str) -> Ended {
    let host = Host::with(|builder| builder);
    host.program(&bytes("endings", Profile::Debug)).args([scenario]).run()
}

/// The line of `guests/endings.rs` that `text` is in, and how reports name it.
fn place(text: &str) -> String {
    let source = include_str!("../../guests/endings.rs");
    let line = source
        .lines()
        .position(|line| line.contains(text))
        .expect("the source has that line")
        + 1;
    format!("endings.rs:{line}")
}

crate::scenarios! {
    "endings":
    the_end_of_main_is_the_end_of_the_system => |program| {
        for code in [0, 5] {
            let number = code.to_string();
            let ended = program.clone().args(["the_end_of_main_is_the_end_of_the_system", &number]).run();
            assert_eq!(ended.reason.exit_code(), code, "{ended}");
        }
    },
    the_code_is_the_programs_own => |program| {
        for code in [0, 1, 2, 42, 70, 101, 125, 126, 134, 255, -1] {
            let ended = program.clone().args(["the_code_is_the_programs_own", &code.to_string()]).run();
            assert_eq!(ended.reason.exit_code(), code, "{ended}");
            assert_eq!(ended.stderr, "", "{code}");
        }
    },
    an_error_is_1 => |program| {
        let ended = program.run();
        assert_eq!(ended.reason, ExitReason::Exit(1), "{ended}");
        assert_eq!(ended.stderr, "error: out of paper\n");
    },
    a_panic_is_101 => |program| {
        let ended = program.run();
        assert_eq!(ended.reason, ExitReason::Panic("main panics".to_owned()));
        assert_eq!(ended.reason.exit_code(), 101);
        ended.reports("(main) panicked: main panics\n").reports(&place("panic!(\"main panics\")"));
    },
    a_trap_is_134 => |program| {
        let ended = program.run();
        assert!(ended.trap().contains("abort"));
        assert_eq!(ended.reason.exit_code(), 134);
        ended.reports("(main) trapped: the program called abort\n");
    },
    a_kill_is_137 => |program| {
        let ended = program.run();
        assert_eq!(ended.reason, ExitReason::Killed, "{ended}");
        assert_eq!(ended.reason.exit_code(), 137);
        assert_eq!(ended.stderr, "");
    },
    a_deadlock_is_70 => |_| {
        let ended = alone("a_deadlock_is_70");
        assert!(matches!(ended.reason, ExitReason::Deadlock(_)), "{ended}");
        assert_eq!(ended.reason.exit_code(), 70);
    },
    a_panic_is_reported_with_its_place => |program| {
        let ended = program.run().normal();
        ended.reports(" panicked: the machine failed: 42\n");
        ended.reports(&place("the machine failed"));
        // Demangled.
        ended.reports("fail").reports("a_panic_is_reported_with_its_place");
        assert!(!ended.stderr.contains("_ZN") && !ended.stderr.contains("_R"), "{ended}");
    },
    what_a_guest_says_is_not_obeyed_by_a_terminal => |program| {
        let ended = program.run();
        assert_eq!(ended.stdout, "\u{1b}[31mred\n");
        ended.reports("(main) `a\\u{9b}\\u{202e}b` panicked: \\u{1b}]52;c;AAAA\\u{7}\\u{202e}\\rb\n");
        assert!(!ended.stderr.contains(|c: char| c != '\n' && c.is_control()), "{ended}");
        // Who asks the host for the reason gets the text as it is.
        assert_eq!(ended.reason, ExitReason::Panic("\u{1b}]52;c;AAAA\u{7}\u{202e}\rb".to_owned()));
    },
    a_trap_is_reported_with_its_place => |program| {
        let ended = program.run().normal();
        ended.reports(" trapped: the program called abort\n");
        ended.reports(&place("Machine(42).stop()")).reports("stop");
        assert!(!ended.stderr.contains("_ZN") && !ended.stderr.contains("_R"), "{ended}");
    },
    ends_that_are_no_failures_are_not_reported => |program| assert_eq!(program.run().normal().stderr, ""),
    many_crashes_are_reported_each_in_one_piece => |program| {
        let ended = program.run().normal();
        let heads: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("process #")).collect();
        let numbers: BTreeSet<u32> = heads
            .iter()
            .map(|head| head.split_once(" panicked: this is number ").expect("a head is whole").1.parse().unwrap())
            .collect();
        assert_eq!((heads.len(), numbers.len()), (200, 200), "{ended}");
        // All reports are alike, so each must have the same number of lines.
        let mut lengths = ended.stderr.split("process #").skip(1).map(|report| report.lines().count());
        let first = lengths.next().expect("there are reports");
        assert!(first > 2 && lengths.all(|length| length == first), "{ended}");
    },
    who_waits_for_what_is_reported => |_| {
        let ended = alone("who_waits_for_what_is_reported");
        let ExitReason::Deadlock(report) = &ended.reason else { panic!("{ended}") };
        for line in [
            "(main) waits to join #",
            "waits to receive on channel #",
            "holds 0 messages)",
            "waits to send on channel #",
            "(main); holds 3 messages of at most 3)",
            "sleeps",
        ] {
            assert!(report.contains(line), "{line:?} is missing: {report}");
        }
    },
    output_is_out_when_the_system_ends => |program| {
        let ended = program.run().normal();
        let expected: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(ended.stdout, expected + "no end of line");
    },
}
