//! A new project, from `cargo lunatic new` to its tests, by the real program with the real cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The workspace's own target folder: what guests depend on is built once for all tests.
fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_path_buf()
}

/// Runs `cargo lunatic` with these arguments in `folder`.
fn lunatic(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cargo-lunatic"))
        .arg("lunatic")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn succeed(output: Output) -> Output {
    assert!(
        output.status.success(),
        "{:?}\n{}\n{}",
        output.status,
        stdout(&output),
        stderr(&output)
    );
    output
}

/// A new project that is built with the versions of the workspace, which are there already.
fn new_project(folder: &Path, name: &str) -> PathBuf {
    succeed(lunatic(folder, &["new", name]));
    let project = folder.join(name);
    let lock = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).unwrap();
    project
}

#[test]
fn a_new_project_runs_and_passes_its_test() {
    let temp = tempfile::tempdir().unwrap();
    let project = new_project(temp.path(), "cargo-lunatic-fresh");
    let target = format!("--target-dir={}", target_dir().display());

    let built = succeed(lunatic(&project, &["build", &target, "--target", "wasm32-wasi"]));
    assert_eq!(stdout(&built), "", "cargo's messages are for us, not for the user");
    assert!(stderr(&built).contains("Finished"), "{}", stderr(&built));
    assert!(
        target_dir()
            .join("wasm32-wasip1/debug/cargo-lunatic-fresh.wasm")
            .is_file()
    );

    let run = succeed(lunatic(&project, &["run", &target]));
    assert_eq!(stdout(&run).lines().count(), 10);
    assert!(stdout(&run).contains("9 squared is 81\n"), "{}", stdout(&run));
    assert!(stderr(&run).contains("     Running `"), "{}", stderr(&run));

    let test = succeed(lunatic(&project, &["test", &target]));
    assert!(
        stdout(&test).contains("test tests::squares_are_all_there ... ok"),
        "{}",
        stdout(&test)
    );
    let none = succeed(lunatic(&project, &["test", &target, "no_such_test"]));
    assert!(stdout(&none).contains("1 filtered out"), "{}", stdout(&none));
}

#[test]
fn the_programs_exit_code_and_arguments_pass_through() {
    let temp = tempfile::tempdir().unwrap();
    let project = new_project(temp.path(), "cargo-lunatic-code");
    let program = "fn main() {\n    let code = std::env::args().nth(1).unwrap();\n    \
                   std::process::exit(code.parse().unwrap())\n}\n";
    std::fs::write(project.join("src/main.rs"), program).unwrap();
    let target = format!("--target-dir={}", target_dir().display());
    // A system keeps the last eight bits.
    for code in [0, 1, 42, 256 + 7] {
        let run = lunatic(&project, &["run", "--quiet", &target, "--", &code.to_string()]);
        assert_eq!(run.status.code(), Some(code & 255), "{}", stderr(&run));
        assert_eq!(stderr(&run), "");
    }
}

#[test]
fn a_panic_of_the_main_process_is_101() {
    let temp = tempfile::tempdir().unwrap();
    let project = new_project(temp.path(), "cargo-lunatic-panic");
    std::fs::write(project.join("src/main.rs"), "fn main() { panic!(\"on purpose\") }\n").unwrap();
    let panicked = lunatic(&project, &["run", &format!("--target-dir={}", target_dir().display())]);
    assert_eq!(panicked.status.code(), Some(101), "{}", stderr(&panicked));
    assert!(stderr(&panicked).contains("on purpose"), "{}", stderr(&panicked));
}

#[test]
fn what_cargo_refuses_is_refused_in_its_words() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("taken")).unwrap();
    for (arguments, expected) in [
        (&["new", "1bad"][..], "the name cannot start with a digit"),
        (&["new", "taken"], "already exists"),
        (&["new", "good", "--name", "not good"], "invalid character"),
        (&["build"], "could not find `Cargo.toml`"),
        (&["run"], "could not find `Cargo.toml`"),
        (
            &["run", "--target", "x86_64-unknown-linux-gnu"],
            "built for wasm32-wasip1 and nothing else",
        ),
        (
            &["test", "--", "--no-such-flag"],
            "unexpected argument '--no-such-flag'",
        ),
    ] {
        let output = lunatic(temp.path(), arguments);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    let left: Vec<_> = std::fs::read_dir(temp.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["taken"]);
}

#[test]
fn a_compile_error_is_cargos_and_so_is_the_exit_code() {
    let temp = tempfile::tempdir().unwrap();
    let project = new_project(temp.path(), "cargo-lunatic-broken");
    std::fs::write(project.join("src/main.rs"), "fn main() { missing() }\n").unwrap();
    let output = lunatic(&project, &["run", &format!("--target-dir={}", target_dir().display())]);
    assert_eq!(output.status.code(), Some(101));
    let text = stderr(&output);
    assert!(text.contains("cannot find function `missing`"), "{text}");
    assert!(!text.contains("cargo ended"), "{text}");
}

#[test]
fn the_library_builds_the_same_programs() {
    let temp = tempfile::tempdir().unwrap();
    let project = new_project(temp.path(), "cargo-lunatic-library");
    let target = format!("--target-dir={}", target_dir().display());
    let programs = cargo_lunatic::guests::build(&project, &["--bins", &target]).unwrap();
    let found: Vec<_> = programs
        .iter()
        .map(|program| (program.name.as_str(), program.kind, program.test))
        .collect();
    assert_eq!(found, [("cargo-lunatic-library", cargo_lunatic::Kind::Bin, false)]);
    let module = std::fs::read(&programs[0].path).unwrap();
    assert!(module.starts_with(b"\0asm"));

    let tests = cargo_lunatic::guests::build_tests(&project, &[&target]).unwrap();
    assert_eq!(tests.len(), 1);
    assert!(tests[0].test && tests[0].path != programs[0].path);
}

#[test]
fn the_doctor_says_what_was_found() {
    let temp = tempfile::tempdir().unwrap();
    let output = succeed(lunatic(temp.path(), &["doctor"]));
    let text = stdout(&output);
    for expected in ["rustc ", "wasm32-wasip1", "256 KiB", "Guests can be built"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_wrong_choice_of_toolchain_is_explained() {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-lunatic"))
        .arg("doctor")
        .current_dir(temp.path())
        .env("LUNATIC_TOOLCHAIN", "slackware")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("the variable takes auto, rustup or debian"),
        "{}",
        stdout(&output)
    );
}
