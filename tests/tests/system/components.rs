//! Components as programs. The scenarios are in `guests/components/`; a scenario that ends normally has shown what it is
//! about.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_host::wasi::Output;
use lunatic_tests::components::{command, guest, of_module, scenario};
use lunatic_tests::folders;
use lunatic_tests::host::{Ended, Host, Program};
use lunatic_tests::programs::lunatic;

use crate::net::rules;

/// A scenario with further arguments.
fn with(name: &str, arguments: &[&str]) -> Program<'static> {
    scenario(name).args([name].into_iter().chain(arguments.iter().copied()))
}

/// A folder with a file `given`.
fn with_given(program: Program<'_>, read_only: bool) -> Program<'_> {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("given"), "given").unwrap();
    program.dir(&folder, "/data", read_only)
}

#[test]
fn every_scenario_has_a_test() {
    let listed = scenario("--list").run().normal().stdout;
    let this = include_str!("components.rs");
    for name in listed.lines() {
        assert!(this.contains(&format!("{name:?}")), "{name} has no test");
    }
}

#[test]
fn a_component_is_a_program() {
    let ended = with("arguments_and_variables", &["a b", ""])
        .env("COLOUR", "green")
        .run()
        .normal();
    assert_eq!(
        ended.stdout,
        "<guest>\n<arguments_and_variables>\n<a b>\n<>\nCOLOUR=<green>\n"
    );
    let ended = scenario("input").stdin("one\ntwo\nthree\n").run().normal();
    assert_eq!(ended.stdout, "first: one\nand 2 more\n");
    let ended = scenario("output_of_many_lines").run().normal();
    assert_eq!(ended.stdout.lines().count(), 2001);
    assert!(
        ended.stdout.ends_with("unfinished") && ended.stderr == "on standard error\n",
        "{ended}"
    );
    scenario("clocks").run().normal();
    assert_eq!(with("sleeps", &["1"]).run().normal().stdout, "sleeps\nawake\n");
}

#[test]
fn the_program_lunatic_runs_components() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("app.wasm");
    std::fs::write(&file, &*guest()).unwrap();
    let run = |arguments: &[&str]| lunatic([&[file.to_str().unwrap()], arguments].concat());
    let finished = run(&["arguments_and_variables", "x"]).run().code(0);
    assert!(finished.stdout.contains("<x>"), "{finished}");
    // The adapter passes on only whether there was a failure.
    run(&["exits", "0"]).run().code(0);
    run(&["exits", "7"]).run().code(1);
    let finished = run(&["panics"]).run();
    assert!(finished.stderr.contains("on purpose"), "{finished}");
    // From the cache, the second time.
    run(&["clocks"]).run().code(0);
}

#[test]
fn the_end_of_a_component_has_a_reason() {
    assert_eq!(with("exits", &["0"]).run().reason, ExitReason::Normal);
    assert_eq!(with("exits", &["7"]).run().reason, ExitReason::Exit(1));
    let ended = scenario("panics").run();
    assert!(
        matches!(&ended.reason, ExitReason::Panic(text) if text.contains("on purpose")),
        "{ended}"
    );
    ended
        .reports("on purpose")
        .reports("component::panics")
        .reports("components/main.rs:");
    let divides = command("", "(i32.div_s (i32.const 1) (i32.const 0))");
    let ended = Host::shared().program(&divides).run();
    assert!(ended.trap().contains("divi"), "{ended}");
    let ended = scenario("recurses").run();
    assert!(ended.trap().contains("stack"), "{ended}");
    let failed = Host::shared().program(&command("", "(i32.const 1)")).run();
    assert_eq!(failed.reason, ExitReason::Exit(1), "{failed}");
    let trapped = Host::shared().program(&command("", "unreachable")).run();
    assert!(trapped.trap().contains("unreachable"), "{trapped}");
    let odd = Host::shared().program(&command("", "(i32.const 2)")).run();
    assert!(odd.trap().contains("invalid"), "{odd}");
}

/// A component that computes does not keep others from running, on one worker.
#[test]
fn components_are_preempted() {
    let host = Host::with_one_worker();
    for spinning in ["spins", "fills"] {
        let busy = host.program(&guest()).args([spinning]).start();
        host.program(&guest()).args(["clocks"]).run().normal();
        host.program(b"(module (func (export \"_start\")))").run().normal();
        drop(busy);
    }
}

#[test]
fn the_memory_of_a_component_is_limited() {
    assert_eq!(with("allocates", &["10"]).run().normal().stdout, "10\n");
    let ended = with("allocates", &["100"]).max_memory(32 << 20).run();
    assert!(matches!(ended.reason, ExitReason::OutOfMemory(_)), "{ended}");
    let caps = Caps {
        memory: Some(32 << 20),
        ..Caps::default()
    };
    let ended = with("allocates", &["100"]).caps(caps).run();
    assert!(matches!(ended.reason, ExitReason::OutOfMemory(_)), "{ended}");
}

#[test]
fn the_time_of_a_component_is_limited() {
    for spinning in ["spins", "fills"] {
        let caps = Caps {
            cpu: Some(Duration::from_millis(50)),
            ..Caps::default()
        };
        let ended = scenario(spinning).caps(caps).run();
        assert_eq!(ended.reason, ExitReason::OutOfBudget, "{ended}");
    }
}

/// Whatever it does or waits for.
#[test]
fn a_component_can_be_killed() {
    let (network, folder) = (rules(&["*"]), tempfile::tempdir().unwrap());
    let pipe = folder.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for name in ["spins", "sleeps", "accepts_nobody", "reads_a_pipe"] {
        let (output, printed) = Output::captured();
        let program = with(name, &["3600000"]).net(network.clone());
        let system = program.dir(folder.path(), "/data", false).stdout(output).start();
        while printed.take().is_empty() {
            std::thread::yield_now();
        }
        assert!(system.kill(system.main().unwrap()), "{name}");
        assert_eq!(system.wait(), ExitReason::Killed, "{name}");
    }
    // The operation that still runs ends when somebody opens the other end; opening both waits for nobody.
    std::fs::OpenOptions::new().read(true).write(true).open(pipe).unwrap();
}

#[test]
fn a_component_uses_the_folders_that_it_was_given() {
    folders::with_folders(|data, _| {
        let ended = scenario("files").dir(data, "/data", false).run().normal();
        assert_eq!(ended.stdout, "done\n");
    });
    with_given(scenario("read_only"), true).run().normal();
    let ended = with_given(scenario("files_elsewhere").log_denials(), false).run();
    assert!(!ended.stdout.contains("Ok"), "{ended}");
    assert!(matches!(ended.reason, ExitReason::Panic(_)), "{ended}");
    ended.reports("may not open \"../secret\" (--dir HOST::GUEST would allow it)");
    ended.reports("/data");
    with_given(scenario("long_paths"), false).run().normal();
    with_given(scenario("drops_in_disorder"), false).run().normal();
}

#[test]
fn a_program_sends_http_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = format!("http://{address}/");
    let serves = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nX-Answer: yes\r\nContent-Length: 5\r\n\r\nhello")
            .unwrap();
    });
    let ended = with("fetches", &[&url]).log_denials().run().normal();
    assert_eq!(ended.stdout, "ErrorCode::HttpRequestDenied\n");
    ended.reports(&format!("--allow-net {address} would allow it"));
    let ended = with("fetches", &[&url]).net(rules(&["127.0.0.1"])).run().normal();
    assert_eq!(ended.stdout, "200 yes\nhello");
    serves.join().unwrap();
}

#[test]
fn a_large_folder_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        std::fs::write(folder.path().join(format!("{number:04}")), "").unwrap();
    }
    let ended = scenario("listing").dir(folder.path(), "/data", false).run().normal();
    assert_eq!(ended.stdout, "1000\n0000\n");
}

#[test]
fn open_files_of_a_component_are_limited() {
    let mut program = with_given(scenario("opens_many"), false);
    program = program.max_files(20);
    let ended = program.log_denials().run().normal();
    assert!(
        ended.stdout.starts_with("20 files, then ") && ended.stdout.ends_with("and 20 again\n"),
        "{ended}"
    );
    ended.reports("may not open more files than \"20\" (--max-files N would allow it)");
    let ended = with_given(scenario("floods_listings"), false)
        .max_files(20)
        .run()
        .normal();
    assert_eq!(ended.stdout, "20 lists, then quota\n");
}

#[test]
fn clocks_random_numbers_and_pollables() {
    scenario("random").run().normal();
    with_given(scenario("polls"), false).run().normal();
}

#[test]
fn what_a_component_floods_the_host_with_ends_it() {
    let trap = |ended: Ended, text: &str| assert!(ended.trap().contains(text), "{ended}");
    trap(scenario("floods_pollables").run(), "16384 handles");
    trap(with_given(scenario("floods_streams"), false).run(), "16384 handles");
    trap(scenario("random_too_much").run(), "4294967296 random bytes");
    trap(scenario("floods_output").run(), "check-write");
    trap(scenario("floods_output_by_handles").run(), "check-write");
    trap(
        scenario("floods_datagrams").net(rules(&["bind:127.0.0.1"])).run(),
        "10000 datagrams",
    );
    trap(with_given(scenario("writes_too_much"), false).run(), "fuel");
    // A budget that is smaller than so many handles.
    let caps = Caps {
        memory: Some(8 << 20),
        ..Caps::default()
    };
    let ended = scenario("floods_pollables").caps(caps).run();
    assert!(matches!(ended.reason, ExitReason::OutOfMemory(_)), "{ended}");
    let caps = Caps {
        cpu: Some(Duration::from_millis(200)),
        ..Caps::default()
    };
    let ended = with_given(scenario("drops_streams"), false).caps(caps).run();
    assert_eq!(ended.reason, ExitReason::OutOfBudget, "{ended}");
    with_given(scenario("polls"), false).run().normal();
}

/// The engine copies the result to the process, which runs code of the process: it may do so for ever.
#[test]
fn random_bytes_are_paid_for_until_the_process_has_them() {
    const LEN: usize = 4 << 20;
    let text = format!(
        r#"(component
        (import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (alias export $random "get-random-bytes" (func $bytes))
        (core module $memory
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable))
        (core instance $memory (instantiate $memory))
        (core func $bytes (canon lower (func $bytes) (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
        (core module $program
            (import "random" "bytes" (func $bytes (param i64 i32)))
            (func (export "run") (result i32) (call $bytes (i64.const {LEN}) (i32.const 0)) (i32.const 0)))
        (core instance $program (instantiate $program (with "random" (instance (export "bytes" (func $bytes))))))
        (func $run (result (result)) (canon lift (core func $program "run")))
        (instance $exported (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    );
    let host = Host::with(|builder| builder.workers(2));
    let system = host.program(&wat::parse_str(text).unwrap()).start();
    while host.figures().kept_bytes < LEN {
        std::thread::yield_now();
    }
    // The bytes are there long before so many programs have ended.
    for _ in 0..50 {
        host.program(&guest()).args(["clocks"]).run().normal();
        assert!(host.figures().kept_bytes >= LEN);
    }
    assert!(system.kill(system.main().unwrap()));
    assert_eq!(system.wait(), ExitReason::Killed);
}

#[test]
fn a_component_talks_over_the_network() {
    let ended = scenario("talks")
        .net(rules(&["127.0.0.1", "bind:127.0.0.1"]))
        .run()
        .normal();
    assert_eq!(ended.stdout, "done\n");
    let ended = scenario("datagrams")
        .net(rules(&["127.0.0.1", "bind:127.0.0.1"]))
        .log_denials()
        .run();
    let ended = ended.normal();
    assert_eq!(ended.stdout, "access-denied\n");
    ended.reports("may not connect or send to \"127.0.0.2:9\" (--allow-net 127.0.0.2:9 would allow it)");
}

#[test]
fn a_component_needs_rights_for_the_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let connects = || with("connects", &[&port]);
    assert_eq!(connects().net(rules(&["127.0.0.1"])).run().normal().stdout, "done\n");
    let denied = "access-denied\n";
    let ended = connects().log_denials().run().normal();
    assert_eq!(ended.stdout, denied);
    ended.reports(&format!("may not connect or send to \"127.0.0.1:{port}\""));
    let ended = scenario("binds")
        .log_denials()
        .net(rules(&["bind:127.0.0.1"]))
        .run()
        .normal();
    assert_eq!(ended.stdout, denied);
    ended.reports("may not listen or receive on \"0.0.0.0:0\" (--allow-net bind:0.0.0.0:0 would allow it)");
    // The rule for a name allows the addresses that were found for it, and no look-up of others.
    let looks_up = |name: &str| with("looks_up", &[name, &port]).log_denials();
    assert_eq!(
        looks_up("localhost").net(rules(&["localhost"])).run().normal().stdout,
        "done\n"
    );
    let ended = looks_up("localhost").net(rules(&["127.0.0.1"])).run().normal();
    assert_eq!(ended.stdout, "access-denied\n");
    ended.reports("may not look up \"localhost\" (--allow-net resolve:localhost would allow it)");
    assert_eq!(
        looks_up("localhost")
            .net(rules(&["resolve:localhost"]))
            .run()
            .normal()
            .stdout,
        denied
    );
}

#[test]
fn sockets_of_a_component_are_limited() {
    let ended = scenario("floods_sockets").max_files(20).run().normal();
    assert_eq!(ended.stdout, "20 sockets, then new-socket-limit\n");
    let caps = Caps {
        sockets: Some(10),
        ..Caps::default()
    };
    let ended = scenario("floods_sockets").caps(caps).run().normal();
    assert_eq!(ended.stdout, "10 sockets, then new-socket-limit\n");
    // A listener is charged 3 MiB, once there is one.
    let caps = Caps {
        memory: Some(32 << 20),
        ..Caps::default()
    };
    assert_eq!(scenario("listens_in_vain").caps(caps).run().normal().stdout, "done\n");
}

/// Functions of WASI 0.1, which the adapter passes on.
#[test]
fn modules_for_wasi_0_1_become_components() {
    let module = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\06\00\00\00") (data (i32.const 16) "hello\n")
        (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let made = of_module(&wat::parse_str(module).unwrap());
    assert_eq!(Host::shared().program(&made).run().normal().stdout, "hello\n");
}

#[track_caller]
fn refused(component: &str, text: &str) {
    let wasm = wat::parse_str(component).unwrap();
    let error = Host::shared().load(&wasm).err().expect("it is refused").to_string();
    assert!(error.contains(text), "{text:?} is missing: {error}");
}

#[test]
fn what_cannot_be_run_says_why() {
    let run = r#"(core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $m (instantiate $m))
        (func $run (result (result)) (canon lift (core func $m "run")))
        (instance $run (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $run))"#;
    refused("(component)", "wasm32-wasip2");
    refused(
        &format!("(component {})", run.replace("cli/run@0.2", "cli/run@0.3")),
        "WASI 0.3",
    );
    refused(
        &format!("(component {})", run.replace("cli/run@0.2.0", "http/handler@0.3.0")),
        "HTTP requests of WASI 0.3",
    );
    // It exports the interface, but not its function.
    refused(
        &format!(
            "(component {})",
            run.replace("cli/run@0.2.0", "http/incoming-handler@0.2.0")
        ),
        "handle",
    );
    refused(&format!("(component (component {run}) {run})"), "composed");
    refused(
        &format!("(component (import \"wasi:nothing/at-all@0.2.0\" (instance (export \"f\" (func)))) {run})"),
        "wasi:nothing/at-all",
    );
    refused(
        &format!("(component (import \"code\" (core module)) {run})"),
        "imports or passes on",
    );
    let memories =
        "(core module $two (memory 1)) (core instance (instantiate $two)) (core instance (instantiate $two))";
    refused(&format!("(component {memories} {run})"), "more than 1 memories");
    let deep = format!(
        "(component (core module (func {} {})) {run})",
        "block ".repeat(60_000),
        "end ".repeat(60_000)
    );
    refused(&deep, "blocks in each other");
    let functions = "(core func (canon lower (func $f)))".repeat(20_000);
    refused(
        &format!(
            "(component (import \"wasi:cli/environment@0.2.0\" (instance $e (export \"f\" (func)))) (alias export $e \"f\" (func $f)) {functions} {run})"
        ),
        "canonical functions",
    );
}
