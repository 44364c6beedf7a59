//! Way 3: `rustup target add`, for the toolchain in use.

use std::process::Command;

use super::{Attempt, Search, Toolchain, Way, installed, process};
use crate::TARGET;

/// Adds the target with rustup, and shows rustup's own progress.
pub(super) fn add_target(search: &Search) -> Result<Toolchain, Attempt> {
    let way = format!("`rustup target add {TARGET}`");
    let Some(rustup) = search.env.find_program("rustup") else {
        return Err(Attempt::new(way, "rustup is not installed").help("install Rust from https://rustup.rs"));
    };
    search.shell.status(
        "Adding",
        format!("the target {TARGET} with rustup (a download of about 20 MB, once)"),
    );
    let mut command = Command::new(rustup);
    command.args(["target", "add", TARGET]).current_dir(search.folder);
    command.stdout(std::process::Stdio::null());
    let added = process::run_showing(&mut command, |line| search.shell.line(line));
    let again = format!("rustup target add {TARGET}");
    if let Err(why) = added {
        return Err(Attempt::new(way, why).help(format!("with a working network: {again}")));
    }
    match installed::find(search) {
        Ok(toolchain) => Ok(Toolchain {
            way: Way::Rustup,
            ..toolchain
        }),
        Err(attempt) => Err(Attempt::new(
            way,
            format!(
                "rustup has the target now, but the compiler in use is another one: {}",
                attempt.why
            ),
        )
        .help("unset RUSTC and cargo's `build.rustc`, or give that compiler the target")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::config::Config;
    use crate::environment::Environment;
    use crate::shell::Shell;

    /// A machine whose rustup is this script, and whose compiler looks for its library in the folder `lib`.
    fn add_with(rustup: &str) -> (tempfile::TempDir, Result<Toolchain, Attempt>) {
        let temp = tempfile::tempdir().unwrap();
        let library = temp.path().join("lib");
        let script = |name: &str, text: &str| -> PathBuf {
            let file = temp.path().join(name);
            fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            file
        };
        script("rustup", &rustup.replace("LIB", library.to_str().unwrap()));
        let rustc = script("rustc", &format!("echo {}", library.display()));
        let env = Environment::fixed(&[
            ("PATH", temp.path().to_str().unwrap()),
            ("RUSTC", rustc.to_str().unwrap()),
        ]);
        let config = Config::default();
        let search = Search {
            folder: temp.path(),
            config: &config,
            env: &env,
            shell: Shell::new(true, None),
        };
        let result = add_target(&search);
        (temp, result)
    }

    #[test]
    fn what_rustup_brought_is_used() {
        let (temp, found) = add_with(
            "[ \"$*\" = 'target add wasm32-wasip1' ] && mkdir LIB && : > LIB/libcore-1.rlib && : > LIB/libstd-1.rlib",
        );
        let found = found.unwrap();
        assert_eq!(
            (found.way, found.library_folder),
            (Way::Rustup, temp.path().join("lib"))
        );
    }

    #[test]
    fn what_rustup_says_is_the_reason() {
        let (_temp, found) = add_with("echo 'error: could not download file' >&2; exit 1");
        let attempt = found.unwrap_err();
        assert_eq!(
            attempt.why,
            "`rustup target` failed (exit status: 1)\nerror: could not download file"
        );
        assert!(attempt.help.unwrap().ends_with("rustup target add wasm32-wasip1"));
    }

    #[test]
    fn a_compiler_that_is_not_rustups_is_pointed_out() {
        let (_temp, found) = add_with("exit 0");
        assert!(found.unwrap_err().why.contains("the compiler in use is another one"));
    }
}
