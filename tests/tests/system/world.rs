//! Ordinary programs of Rust's std. The scenarios are in `guests/world.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use lunatic_host::ExitReason;
use lunatic_tests::host::Program;

/// A folder with the file `given.txt`, beside the file `secret.txt`, to which `link` leads.
fn with_folder(judge: impl FnOnce(&Path)) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("given.txt"), "from outside").unwrap();
    std::fs::write(temp.path().join("secret.txt"), "not for guests").unwrap();
    judge(&folder);
    assert_eq!(
        std::fs::read_to_string(temp.path().join("secret.txt")).unwrap(),
        "not for guests"
    );
    let names: BTreeSet<_> = std::fs::read_dir(temp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["data", "secret.txt"].map(Into::into).into());
}

fn run_with_folder(program: Program<'_>, read_only: bool) {
    with_folder(|folder| _ = program.dir(folder, "/data", read_only).run().normal());
}

/// With two folders of so many files.
fn run_with_folders(program: Program<'_>, small: usize, large: usize) {
    with_folder(|folder| {
        for (name, files) in [("small", small), ("large", large)] {
            std::fs::create_dir(folder.join(name)).unwrap();
            for number in 0..files {
                std::fs::write(folder.join(name).join(format!("file number {number}")), "").unwrap();
            }
        }
        program.dir(folder, "/data", true).quiet().run().normal();
    });
}

/// Each line must be one that `expected` makes, and each must be there once.
#[track_caller]
fn assert_lines(text: &str, expected: impl Fn(usize, usize) -> String) {
    let mut missing: BTreeSet<String> = (0..10_000).map(|i| expected(i / 100, i % 100)).collect();
    for line in text.lines() {
        assert!(missing.remove(line), "torn, or twice: {line:?}");
    }
    assert!(missing.is_empty(), "{} lines are missing", missing.len());
}

crate::scenarios! {
    "world":
    arguments_are_those_that_were_given => |program| {
        let args = ["arguments_are_those_that_were_given", "", "two words", "-x", "--", "üñí", "line\nbreak"];
        let ended = program.args(args).run().normal();
        let expected: String = ["guest"].iter().chain(&args).map(|argument| format!("<{argument}>\n")).collect();
        assert_eq!(ended.stdout, expected);
    },
    the_environment_is_what_was_given => |program| {
        assert_eq!(program.clone().run().normal().stdout, "", "the host's own environment is not the program's");
        let ended = program.env("COLOUR", "green").env("EMPTY", "").env("BOTH", "a=b c").run().normal();
        assert_eq!(ended.stdout, "BOTH=<a=b c>\nCOLOUR=<green>\nEMPTY=<>\n");
    },
    children_see_arguments_and_environment => |program| _ = program.env("COLOUR", "green").run().normal(),
    standard_input_is_read_to_its_end => |program| {
        let numbers: String = (0..10_000).map(|number| format!("{number}\n")).collect();
        let ended = program.stdin(format!("hello\n{numbers}7")).run().normal();
        assert_eq!(ended.stdout, "first: hello\nsum: 49995007\n");
    },
    standard_input_belongs_to_the_main_process => |program| _ = program.stdin("for main only").run().normal(),
    reading_input_blocks_nobody_else => |program| {
        let ended = program.stdin("a line").run().normal();
        assert!(ended.stdout.contains("and then came a line\n"), "{ended}");
    },
    opening_a_pipe_blocks_nobody_else => |program| with_folder(|folder| {
        let pipe = folder.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::thread::scope(|scope| {
            // It waits until the guest opens the other end.
            scope.spawn(|| std::fs::File::create(&pipe).unwrap());
            let ended = program.dir(folder, "/data", false).run().normal();
            assert!(ended.stdout.contains("and then it was open\n"), "{ended}");
        });
    }),
    pipes_that_hang_leave_others_their_files => |program| with_folder(|folder| {
        let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status();
        assert!(made.unwrap().success());
        program.dir(folder, "/data", false).quiet().run().normal();
    }),
    operations_on_files_are_charged => |program| run_with_folders(program, 0, 2000),
    a_folder_is_listed_while_it_changes => |program| run_with_folder(program, false),
    large_folders_are_listed_as_fast_as_small_ones => |program| run_with_folders(program, 1000, 20_000),
    files_under_a_folder_can_be_used => |program| with_folder(|folder| {
        program.dir(folder, "/data", false).run().normal();
        assert_eq!(std::fs::read_to_string(folder.join("new.txt")).unwrap(), "one\ntwo\nthree\n");
        assert!(!folder.join("a").exists());
    }),
    large_files_are_read_and_written_whole => |program| run_with_folder(program, false),
    files_elsewhere_cannot_be_used => |program| with_folder(|folder| {
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret.txt", folder.join("link")).unwrap();
        program.dir(folder, "/data", false).run().normal();
    }),
    a_folder_can_be_read_only => |program| run_with_folder(program, true),
    many_processes_use_files_at_once => |program| run_with_folder(program, false),
    clocks_go_forward,
    random_numbers_differ,
    lines_of_many_processes_never_tear => |program| {
        let ended = program.run().normal();
        assert_lines(&ended.stdout, |process, line| {
            format!("process {process} wrote line {line} with {}", "x".repeat(line))
        });
        assert_lines(&ended.stderr, |process, line| {
            format!("process {process} wrote error {line} with {}", "y".repeat(line))
        });
    },
    unfinished_lines_come_out_at_the_end => |program| {
        let expected: String = (0..10).map(|number| format!("end {number}\n")).collect();
        assert_eq!(program.run().normal().stdout, expected + "last");
    },
    // `command_line.rs` tests what the program `lunatic` says about them.
    main_returns_the_error_of_a_file => |program| assert_eq!(program.run().reason, ExitReason::Exit(1)),
    a_handled_error_of_a_file => |program| assert_eq!(program.run().reason, ExitReason::Exit(3)),
}
