//! `cargo lunatic check`, `clippy` and `doc`, by the real program: with a compiler that only seems to have the target, and
//! with a cargo that prints how it was called, or the real one.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        for library in ["libcore-1.rlib", "libstd-1.rlib"] {
            fs::write(machine.0.path().join(library), "").unwrap();
        }
        machine.script("rustc", &format!("echo '{}'", machine.0.path().display()));
        // It fails like cargo if the arguments end with `fail`.
        machine.script(
            "cargo",
            "echo \"flags=$RUSTFLAGS\"\necho \"$@\"\ncase \"$*\" in *fail) exit 101;; esac",
        );
        machine
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    /// Runs `cargo lunatic` with this cargo.
    fn lunatic(&self, cargo: PathBuf, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cargo-lunatic"))
            .arg("lunatic")
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .env("CARGO", cargo)
            .env("RUSTC", self.0.path().join("rustc"))
            .env("RUSTFLAGS", "-g")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env("LUNATIC_TOOLCHAIN", "rustup")
            .output()
            .unwrap()
    }

    /// Asserts what the fake cargo prints for `line`, and the exit code.
    #[track_caller]
    fn check(&self, line: &str, called: &str, code: i32) {
        let output = self.lunatic(self.0.path().join("cargo"), line);
        let flags = "flags=-g -Clink-arg=-zstack-size=262144 -Csymbol-mangling-version=v0";
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{flags}\n{called}\n"),
            "{line}"
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
        assert_eq!(output.status.code(), Some(code), "{line}");
    }
}

#[test]
fn cargos_commands_have_the_target_and_the_flags_of_guests() {
    let machine = Machine::new();
    machine.check("check", "check --target wasm32-wasip1", 0);
    machine.check(
        "clippy -p a --fix -- -D warnings",
        "clippy --target wasm32-wasip1 -p a --fix -- -D warnings",
        0,
    );
    machine.check(
        "clippy -- -D warnings",
        "clippy --target wasm32-wasip1 -- -D warnings",
        0,
    );
    machine.check("doc --open --no-deps", "doc --target wasm32-wasip1 --open --no-deps", 0);
    // For editors: cargo's messages come through.
    machine.check(
        "check --target wasm32-wasi --message-format=json --all-targets",
        "check --target wasm32-wasip1 --message-format=json --all-targets",
        0,
    );
    machine.check("check --bin fail", "check --target wasm32-wasip1 --bin fail", 101);
}

#[test]
fn cargo_itself_refuses_unknown_flags() {
    let machine = Machine::new();
    for verb in ["check", "doc"] {
        let output = machine.lunatic(env!("CARGO").into(), &format!("{verb} --no-such-flag"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("unexpected argument '--no-such-flag'"), "{text}");
        assert_eq!(output.status.code(), Some(1), "{text}");
    }
}

#[test]
fn another_target_is_refused_before_cargo_is_called() {
    let machine = Machine::new();
    let output = machine.lunatic(
        machine.0.path().join("cargo"),
        "check --target x86_64-unknown-linux-gnu",
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("built only for wasm32-wasip1"), "{text}");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}
