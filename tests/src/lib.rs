//! Tests of the whole system from outside: guests are built as users build them, run on a real host, and checked by
//! their output.
//!
//! | module | purpose |
//! |---|---|
//! | [`attackers`] | the corpus of attackers |
//! | [`beside`] | measures how much an attacker disturbs others |
//! | [`browser`] | a real browser, driven by a test |
//! | [`bystander`] | a process that sleeps, and how late it wakes |
//! | [`charges`] | what each function can make the host keep |
//! | [`components`] | makes components of core modules, and small ones in the text format |
//! | [`folders`] | folders that are given to guests, and files beside them |
//! | [`fuzz`] | fuzzing with thousands of hostile guests |
//! | [`greedy`] | a search for guests that the host keeps too much for |
//! | [`guests`] | builds the examples and the programs of `tests/guests`, once for all tests |
//! | [`host`] | runs a module in this process and captures its output |
//! | [`imports`] | the functions of the contract, as `lunatic-sys` declares them |
//! | [`programs`] | runs the built programs `lunatic` and `cargo-lunatic` |
//! | [`resident`](mod@resident) | the memory that the test program uses |
//! | [`renewed`] | actors that are upgraded repeatedly while they work |
//! | [`serving`] | servers that run until the test stops them |
//!
//! The tests are in `tests/system`, one file per topic; each test is named after the sentence that it proves. No test
//! sleeps to wait for an effect, and none requires that something takes at most a certain time: [`host::PATIENCE`] only
//! turns a hang into a failure.

#![forbid(unsafe_code)]

pub mod attackers;
pub mod beside;
pub mod browser;
pub mod bystander;
pub mod charges;
pub mod components;
pub mod folders;
pub mod fuzz;
pub mod greedy;
pub mod guests;
pub mod host;
pub mod imports;
pub mod programs;
pub mod renewed;
pub mod resident;
pub mod serving;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the workspace")
}

/// The folder of the running test's profile, such as `target/debug`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let deps = test.parent().and_then(Path::parent);
    deps.expect("cargo puts tests into `deps` of the profile's folder")
        .to_path_buf()
}

/// The target folder. Builds made by tests go there too, so that everything is built only once.
pub fn target_folder() -> PathBuf {
    profile_folder()
        .parent()
        .expect("a profile's folder lies in the target folder")
        .to_path_buf()
}
