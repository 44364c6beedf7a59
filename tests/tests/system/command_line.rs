//! The programs `lunatic` and `cargo-lunatic` as users call them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::host::PATIENCE;
use lunatic_tests::programs::{Call, cargo_lunatic, lunatic};

/// `lunatic GUEST ARGS`.
fn guest(name: &str, args: &[&str]) -> Call {
    lunatic([&[path(name, Profile::Debug).to_str().unwrap()], args].concat())
}

#[test]
fn exit_codes_are_passed_on() {
    for code in [0, 1, 42, 125, 126, 255] {
        let finished = guest("endings", &["the_code_is_the_programs_own", &code.to_string()])
            .run()
            .code(code);
        assert_eq!(finished.stderr, "");
    }
    // The system takes the lowest eight bits, and a failure is no success.
    for (code, taken) in [("256", 1), ("-1", 255)] {
        guest("endings", &["the_code_is_the_programs_own", code])
            .run()
            .code(taken);
    }
    let finished = guest("endings", &["an_error_is_1"]).run().code(1);
    assert_eq!(finished.stderr, "error: out of paper\n");
    // Of another process, whose error came through a link.
    let finished = guest("signals", &["the_main_process_ends_with_its_link"]).run().code(1);
    assert!(
        finished
            .stderr
            .contains("which ended with an error: my child is broken"),
        "{finished}"
    );
    let finished = guest("endings", &["a_panic_is_101"]).run().code(101);
    assert!(finished.stderr.contains("(main) panicked: main panics"), "{finished}");
    let finished = guest("endings", &["a_trap_is_134"]).run().code(134);
    assert!(finished.stderr.contains("(main) trapped: "), "{finished}");
    let finished = guest("endings", &["a_kill_is_137"]).run().code(137);
    assert_eq!(finished.stderr, "");
    let finished = guest("endings", &["a_deadlock_is_70"]).run().code(70);
    assert!(
        finished.stderr.contains("deadlock: no process can ever run again"),
        "{finished}"
    );
    assert!(
        finished.stderr.contains("(main) waits to receive on channel #"),
        "{finished}"
    );
}

#[test]
fn endless_children_do_not_keep_the_program() {
    guest("endings", &["the_end_of_main_is_the_end_of_the_system", "7"])
        .run()
        .code(7);
}

#[test]
fn all_output_is_out_before_the_end() {
    let finished = guest("endings", &["output_is_out_when_the_system_ends"]).run().code(0);
    let expected: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(finished.stdout, expected + "no end of line");
}

#[test]
fn lines_through_a_pipe_never_tear() {
    let finished = guest("world", &["lines_of_many_processes_never_tear"]).run().code(0);
    let mut lines: Vec<&str> = finished.stdout.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 10_000, "{finished}");
    for line in lines {
        let rest = line
            .strip_prefix("process ")
            .and_then(|line| line.split_once(" wrote line "));
        let number = rest
            .and_then(|(_, rest)| rest.split_once(" with "))
            .map(|(number, x)| (number.parse::<usize>(), x.len()));
        assert!(
            matches!(number, Some((Ok(number), len)) if number == len),
            "torn: {line:?}"
        );
    }
}

#[test]
fn arguments_behind_the_file_are_the_programs() {
    let args = [
        "arguments_are_those_that_were_given",
        "--dir",
        "-x",
        "",
        "--",
        "--help",
        "two words",
    ];
    let finished = guest("world", &args).run().code(0);
    let shown: Vec<_> = finished.stdout.lines().skip(1).collect();
    assert_eq!(shown, args.map(|argument| format!("<{argument}>")));
    assert!(finished.stdout.starts_with('<') && finished.stdout.lines().next().unwrap().ends_with("world.wasm>"));
}

#[test]
fn run_is_the_same_as_no_subcommand() {
    let file = path("endings", Profile::Debug).to_str().unwrap();
    lunatic(["run", file, "the_code_is_the_programs_own", "3"])
        .run()
        .code(3);
    lunatic(["run", "--env=A=1", file, "the_code_is_the_programs_own", "3"])
        .run()
        .code(3);
}

#[test]
fn standard_input_reaches_the_program() {
    let numbers: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    let call = guest("world", &["standard_input_is_read_to_its_end"]).stdin(format!("hello\n{numbers}"));
    assert_eq!(call.run().code(0).stdout, "first: hello\nsum: 4999950000\n");
}

#[test]
fn a_process_that_reads_input_blocks_no_other() {
    let world = path("world", Profile::Debug).to_str().unwrap();
    let mut command = lunatic(["--workers=1", world, "reading_input_blocks_nobody_else"]).into_command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    // Nothing has been written yet, nor is the pipe closed: this line comes while the main process reads.
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "the others work\n");
    stdin.write_all(b"a line\n").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "and then came a line\n\n");
    assert!(child.wait().unwrap().success());
}

/// A process for each worker computes without end: each worker gets to do something.
#[cfg(target_os = "linux")]
#[test]
fn all_workers_run_processes() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("computes.wat");
    let computes = r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "next" (func (result i32)))
        (memory (export "memory") 1)
        (table funcref (elem $burn))
        (func $burn (loop $again (br $again)))
        (func (export "_start")
            (drop (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)))
            (drop (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)))
            (call $burn)))"#;
    std::fs::write(&file, computes).unwrap();
    let mut command = lunatic(["--workers=3", file.to_str().unwrap()]).into_command();
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let busy = |child: &Child| {
        let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let read = |thread: &Path, file| std::fs::read_to_string(thread.join(file)).unwrap_or_default();
        threads
            .map(|thread| thread.unwrap().path())
            // The kernel keeps fifteen letters of a name. What it has computed is in nanoseconds.
            .filter(|thread| read(thread, "comm").starts_with("lunatic-worker"))
            .filter(|thread| {
                let computed = read(thread, "schedstat");
                computed.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0) > 20_000_000_u64
            })
            .count()
    };
    while busy(&child) < 3 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let workers = busy(&child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(workers, 3);
}

#[cfg(unix)]
#[test]
fn a_process_that_waits_for_a_file_blocks_no_other() {
    let temp = tempfile::tempdir().unwrap();
    let pipe = temp.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let world = path("world", Profile::Debug).to_str().unwrap();
    let dir = format!("--dir={}::/data", temp.path().display());
    let mut command = lunatic(["--workers=1", &dir, world, "opening_a_pipe_blocks_nobody_else"]).into_command();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "the others work\n");
    drop(std::fs::File::create(&pipe).unwrap());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "and then it was open\n");
    assert!(child.wait().unwrap().success());
}

/// Three seconds of waiting, with more workers than cores: what the system counts is starting up and no more.
#[cfg(target_os = "linux")]
#[test]
fn waiting_takes_no_processor_time() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("waits.wat");
    let waits = r#"(module (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (func (export "_start") (call $sleep (i64.const 3000000000))))"#;
    std::fs::write(&file, waits).unwrap();
    let file = file.to_str().unwrap();
    let mut command = lunatic(["--workers=4", file]).into_command();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // The end of the output is the end of the program, which stays in the table of processes until it is waited for.
    child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    assert!(child.wait().unwrap().success());
    // Behind the name, which may have spaces: the state is number 3, user and system time are numbers 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    // In hundredths of a second. One worker that never sleeps would take 300.
    assert!(ticks < 150, "{ticks} ticks: {stat}");
}

#[test]
fn flags_give_folders_and_variables() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("given.txt"), "from outside").unwrap();
    let world = path("world", Profile::Debug).to_str().unwrap();
    let dir = format!("--dir={}::/data", temp.path().display());
    lunatic([&dir, world, "files_under_a_folder_can_be_used"]).run().code(0);
    assert_eq!(
        std::fs::read_to_string(temp.path().join("new.txt")).unwrap(),
        "one\ntwo\nthree\n"
    );

    let flags = [
        "--env",
        "COLOUR=green",
        "--env",
        "GIVEN",
        "--env",
        "NOT_THERE",
        world,
        "the_environment_is_what_was_given",
    ];
    let finished = lunatic(flags)
        .env("GIVEN", "by the caller")
        .env("SECRET", "not given")
        .run()
        .code(0);
    assert_eq!(finished.stdout, "COLOUR=<green>\nGIVEN=<by the caller>\n");
}

#[test]
fn max_memory_limits_each_process() {
    let memory = path("memory", Profile::Debug).to_str().unwrap();
    lunatic(["--max-memory=32M", memory, "exhausted_memory_ends_one_process"])
        .run()
        .code(0);
    let finished = lunatic(["--max-memory=32M", memory, "the_main_process_exhausts_its_memory"])
        .run()
        .code(134);
    assert!(finished.stderr.contains("out of memory"), "{finished}");
}

#[test]
fn one_worker_is_enough() {
    let channels = path("channels", Profile::Debug).to_str().unwrap();
    lunatic(["--workers=1", channels, "each_message_is_received_once"])
        .run()
        .code(0);
    lunatic(["--workers=5", channels, "each_message_is_received_once"])
        .run()
        .code(0);
}

#[test]
fn wrong_flags_are_explained() {
    let file = path("endings", Profile::Debug).to_str().unwrap();
    for (flags, code, text) in [
        (&["--workers=0", file][..], 1, "give at least 1"),
        (&["--workers=many", file], 2, "--workers"),
        (&["--max-memory=much", file], 1, "64M"),
        (&["--dir=/no/such/folder", file], 1, "no such folder"),
        (&["--dir=::x", file], 1, "HOST::GUEST"),
        (&["--env==x", file], 1, "NAME=VALUE"),
        (&["--no-such-flag", file], 2, "--no-such-flag"),
        (&[], 2, "FILE"),
        (&["stauts"], 2, "'status'"),
    ] {
        let finished = lunatic(flags).run().code(code);
        assert!(finished.stderr.contains(text), "{flags:?}: {finished}");
        assert!(!finished.stderr.contains("panicked"), "{flags:?}: {finished}");
    }
}

#[test]
fn the_caller_may_stop_reading() {
    let mut call = guest("power", &[]).into_command();
    let mut child = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("Power of "), "{line}");
    // The reader is gone now, and the program ends quietly.
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
}

#[test]
fn nobody_may_read_what_a_command_prints() {
    for arguments in [&["conformance", "--list"][..], &["doctor"], &["--version"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut call = lunatic(arguments).into_command();
        let output = call.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_damaged_cache_is_no_obstacle() {
    let cache = tempfile::tempdir().unwrap();
    let run = || guest("counter", &[]).env("LUNATIC_CACHE", cache.path()).run().code(0);
    let expected = "1 + 2 + … + 100 = 5050\n";
    assert_eq!(run().stdout, expected);
    let files = || {
        let mut files = Vec::new();
        let mut folders = vec![cache.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.path())
                } else {
                    files.push(entry.path())
                }
            }
        }
        files
    };
    assert!(!files().is_empty(), "nothing was kept");
    assert_eq!(run().stdout, expected);
    for damage in [
        damage_middle,
        |_: &[u8]| Vec::new(),
        |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec(),
    ] {
        for file in files() {
            let bytes = std::fs::read(&file).unwrap();
            std::fs::write(&file, damage(&bytes)).unwrap();
        }
        let finished = run();
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), (expected, ""));
    }
}

fn damage_middle(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes.iter_mut().skip(middle).take(100).for_each(|byte| *byte ^= 0x55);
    bytes
}

#[test]
fn cargo_lunatic_run_builds_and_runs_an_example() {
    let args = ["run", "--package=lunatic-examples", "--example=power"];
    let finished = cargo_lunatic(args).run().code(0);
    assert_eq!(finished.stdout.lines().count(), 100_000, "{}", finished.stderr);
    assert!(finished.stderr.contains("Running `"), "{}", finished.stderr);

    let args = [
        "run",
        "--quiet",
        "--package=lunatic-test-guests",
        "--bin=endings",
        "--",
        "the_code_is_the_programs_own",
        "9",
    ];
    let finished = cargo_lunatic(args).run().code(9);
    assert_eq!(finished.stderr, "");
}

#[test]
fn flags_give_rights_and_limits() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("given.txt"), "from outside").unwrap();
    let sandbox = path("sandbox", Profile::Debug).to_str().unwrap();
    let read_only = format!("--dir={}::/data:ro", temp.path().display());
    let finished = lunatic(["--log-denials", &read_only, sandbox, "denials"]).run().code(0);
    assert!(
        finished
            .stderr
            .contains("denied: process #1 (main) may not open \"new\" (--dir HOST::GUEST would allow it)\n"),
        "{finished}"
    );
    let rules = [
        "--allow-net",
        "127.0.0.0/8",
        "--allow-net=a.b.org",
        "--allow-net",
        "bind:127.0.0.1",
    ];
    lunatic(rules.iter().chain(&[sandbox, "network_rules_are_narrowed"]))
        .run()
        .code(0);
    // The loop ends, as its time is over; and so does a program that needs more processes than it may have.
    let loops = temp.path().join("loops.wat");
    std::fs::write(&loops, r#"(module (func (export "_start") (loop $again (br $again))))"#).unwrap();
    let finished = lunatic(["--max-cpu=0.05", loops.to_str().unwrap()]).run().code(1);
    assert!(finished.stderr.contains("used up its budget"), "{finished}");
    let power = path("power", Profile::Debug).to_str().unwrap();
    let finished = lunatic(["--max-processes=10", power]).run().code(101);
    assert!(finished.stderr.contains("10 processes at a time"), "{finished}");
}

#[test]
fn flags_of_rights_that_make_no_sense_are_refused() {
    let sandbox = path("sandbox", Profile::Debug).to_str().unwrap();
    for (flag, part) in [
        ("--allow-net=a b", "no network rule"),
        ("--max-cpu=-1", "--max-cpu"),
        ("--max-total-memory=much", "is not a size"),
        ("--max-files=x", "--max-files"),
        ("--dir=::/data", "names no folder"),
    ] {
        let finished = lunatic([flag, sandbox]).run();
        assert!(finished.stderr.contains(part), "{flag}: {finished}");
    }
}

#[test]
fn a_program_that_lacks_a_folder_is_told_of_the_flag() {
    let sandbox = path("sandbox", Profile::Debug).to_str().unwrap();
    let finished = lunatic([sandbox, "a_configured_child_has_nothing"]).run().code(101);
    assert!(
        finished
            .stderr
            .contains("it was given no folder, so it cannot open files: give it one with `--dir .`"),
        "{finished}"
    );
}

#[test]
fn an_error_of_main_about_a_file_is_explained() {
    let temp = tempfile::tempdir().unwrap();
    let world = path("world", Profile::Debug).to_str().unwrap();
    let finished = lunatic([world, "main_returns_the_error_of_a_file"]).run().code(1);
    assert!(
        finished.stderr.ends_with(
            "process #1 (main) exited with code 1: it was given no folder, so it cannot open files: give it one with `--dir .` or \
             `--dir HOST::GUEST`\n"
        ),
        "{finished}"
    );
    let dir = format!("--dir={}::/in", temp.path().display());
    let finished = lunatic([&dir, world, "main_returns_the_error_of_a_file"]).run().code(1);
    assert!(
        finished
            .stderr
            .contains("it can open files only in its folders: `/in` (give it another with")
            && finished
                .stderr
                .contains("; the last path that it did not find there: \"no/such/file\"\n"),
        "{finished}"
    );
    // Handled: another error than that of the file.
    let finished = lunatic([world, "a_handled_error_of_a_file"]).run().code(3);
    assert_eq!(finished.stderr, "Error: something else\n");
}

#[test]
fn a_test_program_that_is_run_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("tests.wat");
    let module = "(module (memory (export \"memory\") 1) (func (export \"_start\"))
        (func (export \"#lunatic_test_demo::passes\")) (func (export \"#lunatic_test_demo::fails\") unreachable))";
    std::fs::write(&file, module).unwrap();
    let file = file.to_str().unwrap();
    let finished = lunatic([file]).run().code(0);
    assert_eq!(
        finished.stderr,
        format!("{file} contains tests that this command does not run: run them with `lunatic test {file}`\n")
    );
    let junit = temp.path().join("junit.xml");
    let finished = lunatic(["test", file, "--junit", junit.to_str().unwrap()])
        .run()
        .code(101);
    assert!(
        finished.stdout.contains("test result: FAILED. 1 passed; 1 failed;"),
        "{finished}"
    );
    let results = std::fs::read_to_string(junit).unwrap();
    assert!(results.contains("tests=\"3\" failures=\"1\""), "{results}");
    // As with libtest, a test runs if one of the filters matches.
    let finished = lunatic(["test", file, "passes", "no such", "fails"]).run().code(101);
    assert!(
        finished
            .stdout
            .contains("1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out"),
        "{finished}"
    );
    let refused = lunatic(["test", file, "--", "an argument"]).run().code(1);
    assert!(refused.stderr.contains("of Lunatic 0.13"), "{refused}");
    let finished = lunatic(["test", file, "passes", "--format=json"]).run().code(0);
    assert!(
        finished.stdout.ends_with("}\n") && finished.stdout.contains("\"event\":\"ok\""),
        "{finished}"
    );
}

#[test]
fn a_file_beside_the_package_gives_rights() {
    let temp = tempfile::tempdir().unwrap();
    let project = temp.path().join("project");
    let folder = temp.path().to_str().unwrap();
    std::fs::create_dir_all(project.join("data")).unwrap();
    std::fs::create_dir(project.join("src")).unwrap();
    std::fs::write(project.join("data/x"), "found").unwrap();
    let main = "fn main() { println!(\"{} {}\", std::fs::read_to_string(\"/in/x\").unwrap(), std::env::var(\"A\").unwrap()); }\n";
    std::fs::write(project.join("src/main.rs"), main).unwrap();
    std::fs::write(
        project.join("Cargo.toml"),
        "[package]\nname = \"project\"\nedition = \"2024\"\n\n[workspace]\n",
    )
    .unwrap();
    std::fs::write(project.join("lunatic.toml"), "dir = ['data::/in:ro']\nenv = ['A=1']\n").unwrap();
    let target = format!("--target-dir={folder}/target");
    let finished = cargo_lunatic(["run", &target]).current_dir(&project).run().code(0);
    assert_eq!(finished.stdout, "found 1\n");
    let finished = cargo_lunatic(["run", &target, "--env=A=2"])
        .current_dir(&project)
        .run()
        .code(0);
    assert_eq!(finished.stdout, "found 2\n");
    let finished = cargo_lunatic(["doctor"]).current_dir(&project).run().code(0);
    assert!(
        finished.stdout.contains("dir data::/in:ro") && finished.stdout.contains("lunatic.toml"),
        "{finished}"
    );
    std::fs::write(project.join("lunatic.toml"), "dirs = []\n").unwrap();
    let finished = cargo_lunatic(["run", &target]).current_dir(&project).run().code(101);
    assert!(finished.stderr.contains("unknown field `dirs`"), "{finished}");
}
