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

/// Writes files below `folder`.
fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

fn read(file: PathBuf) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// A new project that is built with the versions of the workspace, which are there already.
fn new_project(folder: &Path, name: &str) -> PathBuf {
    new_project_from(folder, name, "basic")
}

fn new_project_from(folder: &Path, name: &str, template: &str) -> PathBuf {
    succeed(lunatic(folder, &["new", name, "--template", template]));
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
fn every_template_builds_without_warnings_and_passes_its_tests() {
    let temp = tempfile::tempdir().unwrap();
    let target = format!("--target-dir={}", target_dir().display());
    for template in ["actor", "web", "cli", "library", "c"] {
        let project = new_project_from(temp.path(), &format!("cargo-lunatic-new-{template}"), template);
        let checked = succeed(lunatic(&project, &["check", "--all-targets", &target]));
        assert!(
            !stderr(&checked).contains("warning"),
            "{template}: {}",
            stderr(&checked)
        );
        let tested = succeed(lunatic(&project, &["test", &target]));
        assert!(stdout(&tested).contains("... ok"), "{template}: {}", stdout(&tested));
        let left = succeed(lunatic(&project, &["test", &target, "no_such_test"]));
        assert!(
            !stdout(&left).contains("0 filtered out"),
            "{template}: {}",
            stdout(&left)
        );
    }
}

/// So do editors, which ask cargo.
#[test]
fn plain_cargo_builds_a_new_project_for_the_guest() {
    let temp = tempfile::tempdir().unwrap();
    let project = new_project(temp.path(), "cargo-lunatic-plain");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["build", "--target-dir"]).arg(target_dir());
    let built = cargo.current_dir(&project).output().unwrap();
    assert!(built.status.success(), "{}", stderr(&built));
    assert!(
        target_dir()
            .join("wasm32-wasip1/debug/cargo-lunatic-plain.wasm")
            .is_file()
    );
}

#[test]
fn the_templates_have_different_files() {
    let temp = tempfile::tempdir().unwrap();
    for (arguments, source, part) in [
        (&["new", "p"][..], "src/main.rs", "squares(10)"),
        (&["new", "p", "--template=actor"], "src/main.rs", "impl Actor for"),
        (&["new", "p", "--template=web"], "lunatic.toml", "\nallow-net = ["),
        // With the router itself, `run --watch` would restart it at each change.
        (&["new", "p", "--template=web"], "src/main.rs", "serve(Made(app))"),
        (&["new", "p", "--template=cli"], "lunatic.toml", "\ndir = ["),
        (&["new", "p", "--template=library"], "src/lib.rs", "pub fn map"),
        (&["new", "p", "--lib"], "src/lib.rs", "pub fn map"),
        (&["new", "p", "--template=c"], "src/adler.c", "uint32_t adler32("),
        (&["new", "p", "--template=c"], "build.rs", "file(\"src/adler.c\")"),
        (
            &["new", "p", "--template=c"],
            "Cargo.toml",
            "\n[build-dependencies]\ncc = \"1\"\n",
        ),
        (&["new", "p", "--edition=2021"], "Cargo.toml", "edition = \"2021\""),
        (&["new", "p", "--name=other"], "Cargo.toml", "name = \"other\""),
    ] {
        succeed(lunatic(temp.path(), arguments));
        let project = temp.path().join("p");
        let text = read(project.join(source));
        assert!(text.contains(part), "{arguments:?}: {text}");
        // The manifest says where the crates come from, and cargo understands it.
        let manifest = read(project.join("Cargo.toml"));
        assert!(manifest.contains("# Lunatic's checkout from which"), "{manifest}");
        let metadata = cargo_metadata::MetadataCommand::new()
            .current_dir(&project)
            .no_deps()
            .exec();
        let dependencies = metadata.unwrap().packages.remove(0).dependencies;
        assert!(
            dependencies.iter().any(|dependency| dependency.name == "lunatic"),
            "{manifest}"
        );
        std::fs::remove_dir_all(&project).unwrap();
    }
}

#[test]
fn init_makes_a_project_of_a_folder() {
    let temp = tempfile::tempdir().unwrap();
    for (arguments, folder) in [
        (&["init", "a", "--vcs=none"][..], "a"),
        (&["init", "--vcs=none", "b"], "b"),
    ] {
        let made = succeed(lunatic(temp.path(), arguments));
        let project = temp.path().join(folder);
        assert!(read(project.join("src/main.rs")).contains("squares(10)"));
        assert!(read(project.join("Cargo.toml")).contains("\nlunatic = "));
        assert!(!project.join(".gitignore").exists(), "git was not wanted");
        assert!(
            stderr(&made).contains(&format!("`cd {folder}`, then")),
            "{}",
            stderr(&made)
        );
    }
    let here = temp.path().join("here");
    std::fs::create_dir(&here).unwrap();
    let made = succeed(lunatic(&here, &["init", "--template", "actor"]));
    assert!(!stderr(&made).contains("cd "), "{}", stderr(&made));
    assert!(read(here.join("src/main.rs")).contains("impl Actor for"));
    assert_eq!(read(here.join(".gitignore")), "/target\n");

    let again = lunatic(&here, &["init"]);
    assert_eq!(again.status.code(), Some(101));
    assert!(stderr(&again).contains("existing Cargo package"), "{}", stderr(&again));
}

#[test]
fn init_keeps_what_is_there() {
    const OWN: &str = "fn main() {\n    println!(\"mine\");\n}\n";
    const CARGOS: &str = "fn main() {\n    println!(\"Hello, world!\");\n}\n";
    for (files, template) in [
        (
            &[
                ("src/main.rs", OWN),
                ("lunatic.toml", "env = []\n"),
                (".gitignore", "*.o\n"),
            ][..],
            "web",
        ),
        (&[("src/main.rs", "")], "basic"),
        (&[("main.rs", OWN)], "cli"),
        (&[("src/lib.rs", "//! Mine.\n")], "library"),
        (&[("src/main.rs", CARGOS), ("lunatic.toml", "env = []\n")], "web"),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let project = temp.path().join("p");
        write(&project, files);
        let made = succeed(lunatic(&project, &["init", "--template", template, "--vcs", "none"]));
        for (name, text) in files {
            let now = read(project.join(name));
            match *text == CARGOS {
                true => assert!(now.contains("Router::new()"), "{name}: {now}"),
                false => assert_eq!(now, *text, "{name}"),
            }
        }
        let kept = files.iter().all(|(_, text)| *text != CARGOS);
        assert_eq!(stderr(&made).contains("Kept the sources"), kept, "{}", stderr(&made));
        assert!(read(project.join("Cargo.toml")).contains("\nlunatic = "));
        // No second program appears beside the user's.
        let metadata = cargo_metadata::MetadataCommand::new()
            .current_dir(&project)
            .no_deps()
            .exec();
        assert_eq!(metadata.unwrap().packages[0].targets.len(), 1);
    }
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
        (
            &["new", "good", "--template", "bad"],
            "[possible values: basic, actor, web, cli, library, c]",
        ),
        (&["init", "1bad"], "the name cannot start with a digit"),
        (&["build"], "could not find `Cargo.toml`"),
        (&["run"], "could not find `Cargo.toml`"),
        (
            &["run", "--target", "x86_64-unknown-linux-gnu"],
            "built only for wasm32-wasip1",
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

/// A package without dependencies, with a benchmark that is a program, and tests of which one fails.
#[test]
fn benchmarks_run_and_results_are_written_for_programs() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    write(
        folder,
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"measured\"\nedition = \"2024\"\n\n[[bench]]\nname = \"add\"\nharness = false\n\n[workspace]\n",
            ),
            (
                "src/lib.rs",
                "#[test]\nfn passes() {}\n\n#[test]\nfn fails() { panic!(\"as <you> wish\") }\n",
            ),
            (
                "benches/add.rs",
                "fn main() {\n    let args: Vec<_> = std::env::args().skip(1).collect();\n    println!(\"{}\", args.join(\" \"));\n    \
                 if args.contains(&\"fail\".to_owned()) { std::process::exit(3) }\n}\n",
            ),
        ],
    );
    let target = format!("--target-dir={}", folder.join("target").display());

    let run = succeed(lunatic(folder, &["bench", &target, "quick", "--", "--save"]));
    assert_eq!(stdout(&run), "--bench quick --save\n");
    let failed = lunatic(folder, &["bench", &target, "--bench", "add", "fail"]);
    assert_eq!(failed.status.code(), Some(3));
    assert!(
        stderr(&failed).contains("bench failed, to rerun pass `--bench add`"),
        "{}",
        stderr(&failed)
    );

    let tested = lunatic(
        folder,
        &["test", &target, "--lib", "--message-format=json", "--junit=results.xml"],
    );
    assert_eq!(tested.status.code(), Some(101));
    let events = stdout(&tested);
    for line in events.lines() {
        assert!(line.starts_with("{\"") && line.ends_with('}'), "{events}");
    }
    assert!(events.contains("\"event\":\"failed\""), "{events}");
    let results = read(folder.join("results.xml"));
    assert!(
        results.contains("<testsuite name=\"measured\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\"")
            && results.contains("as &lt;you&gt; wish"),
        "{results}"
    );

    write(
        folder,
        &[(
            "Cargo.toml",
            "[package]\nname = \"measured\"\nedition = \"2024\"\nautobenches = false\n\n[workspace]\n",
        )],
    );
    let none = lunatic(folder, &["bench", &target]);
    assert_eq!(none.status.code(), Some(101));
    assert!(stderr(&none).contains("there are no benchmarks"), "{}", stderr(&none));
}
