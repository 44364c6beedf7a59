//! Way 1: the Rust in use has the target.
//!
//! Rust's compiler finds its library relative to its own path. If the compiler that cargo will use is known, its folder
//! shows whether the library is there; otherwise the compiler is asked, through rustup's proxy if necessary.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Attempt, Search, Toolchain, Way, has_std, library_folder_in, process};
use crate::TARGET;

const WAY: &str = "the Rust in use";

/// Looks for the target's library beside the compiler that cargo will use.
pub(super) fn find(search: &Search) -> Result<Toolchain, Attempt> {
    let library_folder = library_folder(search)?;
    if !has_std(&library_folder) {
        return Err(Attempt::new(
            WAY,
            format!("there is no standard library in `{}`", library_folder.display()),
        ));
    }
    let cargo = search.env.path("CARGO").unwrap_or_else(|| PathBuf::from("cargo"));
    Ok(Toolchain {
        way: Way::Installed,
        cargo,
        rustc: None,
        rustdoc: None,
        library_folder,
    })
}

fn library_folder(search: &Search) -> Result<PathBuf, Attempt> {
    let chosen = chosen_rustc(search);
    if chosen.is_none()
        && let Some(root) = rustup_toolchain(search)
    {
        return Ok(library_folder_in(&root));
    }
    let rustc = chosen.unwrap_or_else(|| PathBuf::from("rustc"));
    let printed = process::output(
        Command::new(&rustc)
            .args(["--print", "target-libdir", "--target", TARGET])
            .current_dir(search.folder),
    );
    match printed {
        Ok(folder) => Ok(PathBuf::from(folder.trim())),
        Err(why) => Err(Attempt::new(WAY, why).help("install Rust from https://rustup.rs")),
    }
}

/// The compiler that the user has set for cargo, by cargo's rules.
fn chosen_rustc(search: &Search) -> Option<PathBuf> {
    let variable = || {
        search
            .env
            .path("RUSTC")
            .or_else(|| search.env.path("CARGO_BUILD_RUSTC"))
    };
    variable().or_else(|| search.config.text(&["build", "rustc"]).map(PathBuf::from))
}

/// The folder of the toolchain that rustup chose, if rustup's proxy has started this program and would start `rustc`.
fn rustup_toolchain(search: &Search) -> Option<PathBuf> {
    let proxy = search.env.find_program("rustc")?;
    if !proxy.with_file_name("rustup").is_file() {
        return None;
    }
    let name = search.env.path("RUSTUP_TOOLCHAIN")?;
    let home = search
        .env
        .path("RUSTUP_HOME")
        .or_else(|| Some(search.env.path("HOME")?.join(".rustup")))?;
    let root = if name.is_absolute() {
        name
    } else {
        home.join("toolchains").join(name)
    };
    has_rustc(&root).then_some(root)
}

/// A linked toolchain may start its compiler through a script, whose path does not show where the library is.
fn has_rustc(root: &Path) -> bool {
    let rustc = root.join("bin").join(format!("rustc{}", std::env::consts::EXE_SUFFIX));
    rustc.is_file() && root.join("lib/rustlib").is_dir()
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Config;
    use crate::environment::Environment;
    use crate::shell::Shell;

    /// A machine with rustup, a toolchain `t`, and a compiler outside of rustup that answers by itself.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Machine {
            let machine = Machine(tempfile::tempdir().unwrap());
            machine.file("cargo/bin/rustup", "");
            machine.file("cargo/bin/rustc", "#!/bin/sh\nexit 9\n");
            machine.file("home/.rustup/toolchains/t/bin/rustc", "");
            fs::create_dir_all(machine.path("home/.rustup/toolchains/t/lib/rustlib")).unwrap();
            machine.file(
                "own/rustc",
                &format!("#!/bin/sh\necho {}\n", machine.path("own/lib").display()),
            );
            machine
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, text: &str) {
            let file = self.path(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }

        fn std_in(&self, folder: &str) {
            self.file(&format!("{folder}/libcore-0.rlib"), "");
            self.file(&format!("{folder}/libstd-0.rlib"), "");
        }

        fn find(&self, vars: &[(&str, &str)], config: &[&str]) -> Result<Toolchain, Attempt> {
            let home = self.path("home");
            let path = self.path("cargo/bin");
            let mut all = vec![("HOME", home.to_str().unwrap()), ("PATH", path.to_str().unwrap())];
            all.extend(vars);
            let env = Environment::fixed(&all);
            let arguments: Vec<String> = config.iter().map(|text| text.to_string()).collect();
            let config = Config::load(self.0.path(), &arguments, &env);
            find(&Search {
                folder: self.0.path(),
                config: &config,
                env: &env,
                shell: Shell::new(true, None),
            })
        }
    }

    #[test]
    fn rustups_toolchain_is_looked_into_without_starting_anything() {
        let machine = Machine::new();
        let lacking = machine.find(&[("RUSTUP_TOOLCHAIN", "t")], &[]).unwrap_err();
        assert!(
            lacking.why.contains("toolchains/t/lib/rustlib/wasm32-wasip1/lib"),
            "{}",
            lacking.why
        );
        machine.std_in("home/.rustup/toolchains/t/lib/rustlib/wasm32-wasip1/lib");
        let found = machine
            .find(&[("RUSTUP_TOOLCHAIN", "t"), ("CARGO", "/the/cargo")], &[])
            .unwrap();
        assert_eq!(
            (found.way, found.cargo, found.rustc),
            (Way::Installed, PathBuf::from("/the/cargo"), None)
        );
    }

    #[test]
    fn a_compiler_of_the_users_own_is_asked() {
        let machine = Machine::new();
        machine.std_in("home/.rustup/toolchains/t/lib/rustlib/wasm32-wasip1/lib");
        let rustc = machine.path("own/rustc");
        let rustc = rustc.to_str().unwrap();
        let in_config = format!("build.rustc='{rustc}'");
        for (vars, config) in [
            (vec![("RUSTUP_TOOLCHAIN", "t"), ("RUSTC", rustc)], vec![]),
            (vec![("RUSTUP_TOOLCHAIN", "t"), ("CARGO_BUILD_RUSTC", rustc)], vec![]),
            (vec![("RUSTUP_TOOLCHAIN", "t")], vec![in_config.as_str()]),
        ] {
            let lacking = machine.find(&vars, &config).unwrap_err();
            assert!(lacking.why.ends_with("own/lib`"), "{}", lacking.why);
        }
        machine.std_in("own/lib");
        assert_eq!(
            machine.find(&[("RUSTC", rustc)], &[]).unwrap().library_folder,
            machine.path("own/lib")
        );
    }

    #[test]
    fn a_compiler_that_fails_is_reported() {
        let machine = Machine::new();
        let broken = machine.path("cargo/bin/rustc");
        let attempt = machine.find(&[("RUSTC", broken.to_str().unwrap())], &[]).unwrap_err();
        assert!(
            attempt.why.contains("`rustc` failed (exit status: 9)"),
            "{}",
            attempt.why
        );
        assert!(attempt.help.is_some());
    }
}
