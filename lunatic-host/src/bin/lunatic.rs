//! The host: runs a WebAssembly module as the main process of a system.

use std::path::PathBuf;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    host: lunatic_host::cli::HostArgs,
    file: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

fn main() {
    let args = Args::parse();
    std::process::exit(lunatic_host::cli::run(&args.file, &args.args, &args.host));
}
