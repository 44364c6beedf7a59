//! What the program `lunatic` says if the operating system gives it too little to start.

use std::path::PathBuf;

use lunatic_tests::programs::lunatic;

/// A folder with a program that ends at once.
fn program() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("program.wat");
    std::fs::write(
        &file,
        r#"(module (memory (export "memory") 1) (func (export "_start")))"#,
    )
    .unwrap();
    (folder, file)
}

#[test]
fn a_host_that_cannot_open_files_says_which_limit_to_raise() {
    let (_folder, file) = program();
    for limit in [10, 12, 14] {
        let finished = lunatic([&file]).ulimit(&format!("-n {limit}")).run().code(1);
        let advice = format!("only {limit} files and sockets open: raise the limit (`ulimit -Hn`)");
        assert!(finished.stderr.starts_with("error: "), "{finished}");
        assert!(finished.stderr.contains(&advice), "{finished}");
    }
}

/// Where the limit lies with which it runs depends on the machine.
#[test]
fn a_host_with_little_address_space_runs_or_says_which_limit_to_raise() {
    let (folder, file) = program();
    for megabytes in (150..1000).step_by(50) {
        // Nothing is compiled yet: the compiler has threads of its own.
        let cache = folder.path().join(megabytes.to_string());
        let call = lunatic([&file])
            .env("LUNATIC_CACHE", cache)
            .env("MALLOC_ARENA_MAX", "1");
        let finished = call.ulimit(&format!("-v {megabytes}000")).run();
        assert!(!finished.stderr.contains("panicked"), "{megabytes} MB: {finished}");
        let says_it = finished.stderr.contains("`ulimit -v`");
        assert!(finished.code == Some(0) || says_it, "{megabytes} MB: {finished}");
    }
}
