//! Builds the guests: the examples, and the programs of `tests/guests`.
//!
//! Each test asks for the guest that it needs. The first request builds all guests, with the library that
//! `cargo lunatic` also uses, which finds or makes what is needed to compile for WebAssembly. A file lock lets only one
//! test binary build at a time, so that parallel test binaries do not make the toolchain several times.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use cargo_lunatic::guests;

use crate::host::Program;
use crate::{target_folder, workspace};

/// How a guest is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Like `cargo lunatic build`: overflow checks are on, and only dependencies are optimised.
    Debug,
    /// Like `cargo lunatic build --release` in a new project. The profile of this workspace also optimises across crates,
    /// which takes three times as long to build.
    Release,
}

/// Both profiles, for tests that must pass in each.
pub const PROFILES: [Profile; 2] = [Profile::Debug, Profile::Release];

type Modules = HashMap<String, PathBuf>;

/// The file of the guest `name`: an example, or a program of `tests/guests`.
///
/// # Panics
///
/// If the guests cannot be built, or there is none of that name.
pub fn path(name: &str, profile: Profile) -> &'static Path {
    static DEBUG: OnceLock<Modules> = OnceLock::new();
    static RELEASE: OnceLock<Modules> = OnceLock::new();
    let modules = match profile {
        Profile::Debug => DEBUG.get_or_init(|| build(&[])),
        Profile::Release => RELEASE.get_or_init(|| build(&["--release", "--config=profile.release.lto=false"])),
    };
    modules
        .get(name)
        .unwrap_or_else(|| panic!("there is no guest {name:?}, only {:?}", modules.keys()))
}

/// The bytes of a guest, which are read only once.
///
/// # Panics
///
/// As for [`path`], and if the file cannot be read.
pub fn bytes(name: &str, profile: Profile) -> Arc<[u8]> {
    static READ: Mutex<Option<HashMap<PathBuf, Arc<[u8]>>>> = Mutex::new(None);
    let path = path(name, profile);
    let mut read = READ.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let bytes = read
        .get_or_insert_default()
        .entry(path.to_path_buf())
        .or_insert_with(|| {
            let bytes = std::fs::read(path);
            bytes
                .unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()))
                .into()
        });
    bytes.clone()
}

/// The program `name`, compiled without optimisation, to be run on the [shared host](crate::host::Host::shared).
pub fn program(name: &str) -> Program<'static> {
    crate::host::Host::shared().program(&bytes(name, Profile::Debug))
}

/// The names of the scenarios of a program of `tests/guests`.
pub fn scenarios(name: &str) -> Vec<String> {
    program(name)
        .args(["--list"])
        .run()
        .normal()
        .stdout
        .lines()
        .map(str::to_owned)
        .collect()
}

fn build(profile: &[&str]) -> Modules {
    let _alone = lock();
    let most = [
        "--package=lunatic-examples",
        "--package=lunatic-example-c-library",
        "--package=lunatic-test-guests",
        "--package=lunatic-test-components",
        "--bins",
        "--examples",
    ];
    // If it were built together with the others, it would add its features to them, and a logger to each of their
    // processes.
    let logging = ["--package=lunatic-test-logs", "--bins"];
    let folder = format!("--target-dir={}", target_folder().display());
    let build = |selected: &[&str]| {
        let built = guests::build(workspace(), &[selected, &[folder.as_str()], profile].concat());
        built.unwrap_or_else(|error| panic!("the guests could not be built: {error}"))
    };
    let built = build(&most).into_iter().chain(build(&logging));
    let mut modules: Modules = built.map(|guest| (guest.name, guest.path)).collect();
    // Both versions have the same name, and so the same file.
    for (version, features) in [
        ("old", &[][..]),
        (
            "new",
            &["--features=lunatic-test-upgrades/new,lunatic-example-upgrade/second"],
        ),
    ] {
        let upgrades = [
            "--package=lunatic-test-upgrades",
            "--package=lunatic-example-upgrade",
            "--bins",
        ];
        for guest in build(&[&upgrades[..], features].concat()) {
            let copy = guest.path.with_extension(format!("{version}.wasm"));
            std::fs::copy(&guest.path, &copy)
                .unwrap_or_else(|error| panic!("could not copy {}: {error}", guest.path.display()));
            modules.insert(format!("{}-{version}", guest.name), copy);
        }
    }
    modules
}

/// Locked while guests are built; unlocked when the file is closed.
pub fn lock() -> File {
    let path = target_folder().join("tmp");
    let file = std::fs::create_dir_all(&path).and_then(|()| File::create(path.join("guests.lock")));
    let file = file.unwrap_or_else(|error| panic!("could not make a file in {}: {error}", path.display()));
    file.lock()
        .unwrap_or_else(|error| panic!("could not lock a file in {}: {error}", path.display()));
    file
}
