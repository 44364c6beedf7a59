//! The whole system from outside: guests are built as users build them, run on a real host, and judged by what comes
//! out.
//!
//! | module | what it is about |
//! |---|---|
//! | [`attackers`] | the corpus of attackers |
//! | [`beside`] | what an attacker costs those who run beside it |
//! | [`browser`] | a real browser, driven from a test |
//! | [`bystander`] | a process that sleeps, and how late it wakes |
//! | [`charges`] | what each function may make the host keep |
//! | [`folders`] | folders that guests are given, and what lies beside them |
//! | [`fuzz`] | hostile guests by the thousand |
//! | [`greedy`] | a search for guests that the host keeps too much for |
//! | [`guests`] | builds the examples and the programs of `tests/guests`, once for all tests |
//! | [`host`] | runs a module in this process and keeps what it printed |
//! | [`imports`] | the functions of the contract, as `lunatic-sys` declares them |
//! | [`programs`] | runs the built programs `lunatic` and `cargo-lunatic` |
//! | [`resident`](mod@resident) | how much memory the test program has |
//! | [`renewed`] | actors that are upgraded to and fro while anything happens to them |
//! | [`serving`] | programs that serve until the test ends them |
//!
//! The tests are in `tests/system`, one file a topic; each is named after the sentence that it proves. None waits for an
//! effect by sleeping, and none says how long something may take: [`host::PATIENCE`] is only there so that a hang ends
//! as a failure.

#![forbid(unsafe_code)]

pub mod attackers;
pub mod beside;
pub mod browser;
pub mod bystander;
pub mod charges;
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

/// Where cargo put the running test: `target/debug` or the like.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let deps = test.parent().and_then(Path::parent);
    deps.expect("cargo puts tests into `deps` of the profile's folder")
        .to_path_buf()
}

/// The target folder: what the tests build goes there too, so that all is built once.
pub fn target_folder() -> PathBuf {
    profile_folder()
        .parent()
        .expect("a profile's folder lies in the target folder")
        .to_path_buf()
}
