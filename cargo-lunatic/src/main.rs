//! The cargo subcommand `cargo lunatic`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The host runs in this process, and is measured with this allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cargo_lunatic::main(std::env::args_os())
}
