//! Whole programs in C, compiled with clang for WASI and run unchanged.

use std::sync::Arc;

use lunatic_host::Module;
use lunatic_tests::folders::with_folders;
use lunatic_tests::host::{Host, Program};
use lunatic_tests::{target_folder, workspace};

/// Compiles `tests/c/NAME.c`.
fn compiled(name: &str) -> Arc<Module> {
    let folder = target_folder().join("tmp").join("c");
    std::fs::create_dir_all(&folder).unwrap();
    let (source, program) = (
        workspace().join("tests/c").join(format!("{name}.c")),
        folder.join(format!("{name}-{}.wasm", std::process::id())),
    );
    let mut compiler = cargo_lunatic::guests::c_compiler().unwrap_or_else(|error| panic!("{error}"));
    let done = compiler
        .args(["-O1", "-g", "-Wall", "-Werror"])
        .arg(&source)
        .arg("-o")
        .arg(&program);
    let done = done.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let wasm = std::fs::read(&program).unwrap();
    std::fs::remove_file(&program).unwrap();
    Host::shared().load(&wasm).unwrap()
}

fn run(module: &Arc<Module>) -> Program<'static> {
    Host::shared().loaded(module)
}

#[test]
fn every_function_of_preview_1_does_what_c_programs_expect() {
    let module = compiled("preview1");
    with_folders(|data, ro| {
        let program = run(&module)
            .dir(data, "/data", false)
            .dir(ro, "/ro", true)
            .env("COLOUR", "green");
        let ended = program.args(["one", ""]).run();
        assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""), "{ended}");
        ended.normal();
        assert_eq!(std::fs::read_dir(data).unwrap().count(), 2, "something is left");
    });
}

#[test]
fn an_ordinary_program_runs_unchanged() {
    let module = compiled("program");
    with_folders(|data, _| {
        let text = "pear\napple\nfig\n";
        let ended = run(&module)
            .dir(data, "/data", false)
            .args(["/data/out"])
            .stdin(text)
            .run()
            .normal();
        assert_eq!(ended.stdout, "apple\nfig\npear\n");
        assert_eq!(
            std::fs::read_to_string(data.join("out")).unwrap(),
            "3 lines, 0.33 on average\n"
        );
        let ended = run(&module).args(["/data/out"]).stdin(text).run();
        assert!(ended.stderr.starts_with("/data/out: "), "{ended}");
        assert_eq!(ended.reason, lunatic_host::ExitReason::Exit(3));
    });
}
