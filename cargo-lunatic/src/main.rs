//! The cargo subcommand `cargo lunatic`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    cargo_lunatic::main(std::env::args_os())
}
