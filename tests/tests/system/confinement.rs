//! What the host gives up of the user's rights, and that programs run as before.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::programs::{Finished, lunatic};

/// What `lunatic doctor` says of something.
fn doctor(name: &str) -> String {
    let said = lunatic(["doctor"]).run().code(0).stdout;
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("nothing about {name}: {said}"))
        .trim()
        .to_owned()
}

fn is_active(name: &str) -> bool {
    doctor(name).starts_with("active")
}

/// Runs a scenario of a guest that is compiled anew and has a folder with `given.txt` in it.
fn scenario(guest: &str, name: &str, confine: &str) -> Finished {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("given.txt"), "from outside").unwrap();
    let dir = format!("--dir={}::/data", folder.display());
    let module = path(guest, Profile::Debug);
    let call = lunatic([confine, &dir, module.to_str().unwrap(), name]);
    // A cache of its own, which does not exist yet.
    call.env("LUNATIC_CACHE", temp.path().join("new/cache")).run()
}

#[test]
fn each_thread_of_a_running_host_is_confined() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("waits.wat");
    // Writes a line, and waits for a byte.
    let waits = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\01\00\00\00")
        (data (i32.const 16) "\0a")
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    std::fs::write(&file, waits).unwrap();
    let threads = |confine: &str| {
        let mut command = lunatic([confine, file.to_str().unwrap()]).into_command();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        // A thread can end meanwhile.
        let read = |task: PathBuf| std::fs::read_to_string(task.join("status")).ok();
        let threads: Vec<_> = tasks.filter_map(|task| read(task.unwrap().path())).collect();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert!(threads.len() > 1);
        threads
    };
    let seccomp = if is_active("seccomp") {
        "Seccomp:\t2\n"
    } else {
        "Seccomp:\t0\n"
    };
    for status in threads("--confine=on") {
        assert!(
            status.contains("NoNewPrivs:\t1\n") && status.contains(seccomp),
            "{status}"
        );
    }
    // What these tests have themselves, it has, too.
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("NoNewPrivs:"))
            .unwrap()
            .to_owned()
    };
    for status in threads("--confine=off") {
        assert_eq!(line(&status), line(&own));
    }
}

#[test]
fn a_confined_program_uses_its_folder_and_has_modules_compiled() {
    let complete = doctor("Landlock").starts_with("active (") && is_active("seccomp") && is_active("no_new_privs");
    for (guest, name) in [
        ("world", "files_under_a_folder_can_be_used"),
        ("sandbox", "modules_can_be_compiled_and_denied"),
    ] {
        for confine in ["--confine=on", "--confine=off"] {
            scenario(guest, name, confine).code(0);
        }
        let finished = scenario(guest, name, "--confine=strict");
        if complete {
            finished.code(0);
        } else {
            assert!(finished.code(1).stderr.contains("lunatic doctor"));
        }
    }
}
