//! The examples of each language run, and its port passes the kit.

use std::path::Path;

use lunatic_tests::programs::lunatic;

use crate::toolchains::{assemblyscript, c, cpp, go, lua, zig_program};

/// Runs an example, which prints these lines; a child of it crashes, which is reported and not the end of the program.
#[track_caller]
fn prints(program: &Path, lines: &[&str]) {
    let ended = lunatic([program]).run().code(0);
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), lines, "{ended}");
    let is_reported = ended.stderr.contains("spawned by #1 (main)") || ended.stderr.contains("panic:");
    assert!(is_reported, "{ended}");
}

/// Tries a program on the conformance kit.
#[track_caller]
fn conforms(program: &Path) {
    let ended = lunatic(["conformance".as_ref(), program.as_os_str()]).run();
    assert!(ended.stdout.ends_with("\n20 passed, 0 failed\n"), "{ended}");
    ended.code(0);
}

#[test]
fn a_program_in_c_runs() {
    prints(
        &c("main"),
        &[
            "worker 1 is done",
            "worker 2 is done",
            "worker 3 is done",
            "worker 4 is done",
            "the sum is 1000",
            "the child crashed: unreachable",
        ],
    );
}

#[test]
fn the_port_to_c_conforms() {
    conforms(&c("conformance"));
}

/// Constructors run before an entry, destructors behind it.
#[test]
fn a_program_in_cpp_runs() {
    let Some(program) = cpp("main") else { return };
    prints(
        &program,
        &[
            "destructors have run",
            "destructors have run",
            "destructors have run",
            "the sum of squares is 14",
            "the timer sent 42",
            "the name is free",
            "the child crashed: unreachable",
        ],
    );
}

#[test]
fn a_program_in_zig_runs_and_the_port_conforms() {
    let Some(program) = zig_program("main") else { return };
    prints(
        &program,
        &["the sum of squares is 14", "the child crashed: kind 3, detail 1"],
    );
    conforms(&zig_program("conformance").unwrap());
}

#[test]
fn a_program_in_assemblyscript_runs_and_the_port_conforms() {
    let Some(program) = assemblyscript("main") else { return };
    prints(
        &program,
        &["the sum of squares is 14", "the child crashed: kind 3, detail 1"],
    );
    conforms(&assemblyscript("conformance").unwrap());
}

/// Processes of Go have goroutines; one that panics exits with code 2.
#[test]
fn a_program_in_go_runs_and_the_port_conforms() {
    let Some(program) = go("hello") else { return };
    prints(
        &program,
        &["the sum of squares is 14", "the child crashed: kind 1, detail 2"],
    );
    conforms(&go("conformance").unwrap());
}

/// `pcall` and coroutines of Lua as it is, in several processes; `longjmp` is an exception of WebAssembly.
#[test]
fn lua_runs() {
    let Some(program) = lua() else { return };
    let ended = lunatic([program]).run().code(0);
    let lines = [
        "false\tscript:1: caught",
        "1\t4\t9",
        "HELLO table",
        "0\t",
        "7\tthe script has failed",
    ];
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), lines, "{ended}");
    assert!(ended.stderr.contains("script:1: not caught"), "{ended}");
}

/// A program that does not do what the kit wants fails, and the command says what is wrong.
#[test]
fn a_program_that_does_not_conform_is_told_why() {
    let program = c("main");
    let call = [
        "conformance".as_ref(),
        program.as_os_str(),
        "flush".as_ref(),
        "code".as_ref(),
    ];
    let ended = lunatic(call).run().code(101);
    for part in [
        "case flush ... FAILED",
        "must print\n    kept\n",
        "must have exited with code 9",
        "\n0 passed, 2 failed\n",
    ] {
        assert!(ended.stdout.contains(part), "{part}\n{ended}");
    }
    let ended = lunatic(["conformance".as_ref(), program.as_os_str(), "nothing".as_ref()])
        .run()
        .code(1);
    assert!(ended.stderr.contains("there is no case nothing"), "{ended}");
}
