//! Way 3: `rustup target add`, for the toolchain in use.

use std::process::Command;

use super::{Attempt, Search, Toolchain, Way, installed, process};
use crate::TARGET;

/// Adds the target with rustup; shows rustup's own progress.
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
