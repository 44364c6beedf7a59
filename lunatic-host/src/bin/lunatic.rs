//! The host: runs a WebAssembly module as the main process of a system.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use lunatic_host::cli::HostArgs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs WebAssembly programs as systems of isolated processes.
#[derive(Parser)]
#[command(
    name = "lunatic",
    version,
    after_help = "`lunatic FILE.wasm [ARGS]` is short for `lunatic run FILE.wasm [ARGS]`."
)]
struct Lunatic {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a WebAssembly program
    Run(Run),
}

#[derive(clap::Args)]
#[command(about = "Run a WebAssembly program", long_about = None)]
struct Run {
    #[command(flatten)]
    host: HostArgs,

    /// The program: a WebAssembly module, binary or text
    file: PathBuf,

    /// What the program gets as its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

fn main() {
    let Command::Run(Run { host, file, args }) = Lunatic::parse_from(with_run(std::env::args_os().collect())).command;
    std::process::exit(lunatic_host::cli::run(&file, &args, &host));
}

/// Puts `run` in front of arguments that begin with a file or a flag of `run`.
fn with_run(mut args: Vec<OsString>) -> Vec<OsString> {
    const OWN: [&str; 6] = ["run", "help", "-h", "--help", "-V", "--version"];
    let first = args.get(1).map(OsString::as_os_str);
    if first.is_some_and(|first| OWN.iter().all(|own| first != OsStr::new(own))) {
        args.insert(1, "run".into());
    }
    args
}
