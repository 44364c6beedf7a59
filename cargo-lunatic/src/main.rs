//! The cargo subcommand `cargo lunatic`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The host runs in this process, and is measured with this allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: this program compiles for guests, too.
    lunatic_cli::CompileHelper::this_program();
    cargo_lunatic::main(std::env::args_os())
}
