//! The program `lunatic`: runs a WebAssembly module as the main process of a system.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};
use lunatic_cli::{HostArgs, TestArgs, cargo_runner, shell_code};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Run WebAssembly programs as systems of isolated processes.
#[derive(Parser)]
#[command(
    name = "lunatic",
    version,
    after_help = "`lunatic FILE.wasm [ARGS]` is short for `lunatic run FILE.wasm [ARGS]`. As cargo's `runner`, it runs \
                  programs and tests."
)]
struct Lunatic {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a WebAssembly program
    Run(Box<Run>),
    Test(Box<Test>),
    Serve(Box<Serve>),
    #[cfg(unix)]
    Node(Box<Node>),
    /// Write .cargo/config.toml, so that cargo builds for WebAssembly and runs programs and tests with Lunatic
    Init,
    Sign(lunatic_cli::Sign),
    #[cfg(unix)]
    #[command(flatten)]
    Operate(lunatic_cli::Operate),
    Conformance(lunatic_cli::ConformanceArgs),
    /// Report how far this machine can confine the host, and the limits of the machine
    Doctor,
}

#[derive(clap::Args)]
#[command(about = "Run a WebAssembly program", long_about = None)]
struct Run {
    #[command(flatten)]
    host: HostArgs,

    /// Pass `--bench` on to the program
    #[arg(long)]
    bench: bool,

    /// The program: a WebAssembly module, binary or text
    file: PathBuf,

    /// Arguments for the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(clap::Args)]
#[command(
    about = "Answer HTTP requests with a component that exports `wasi:http/incoming-handler`, each in a process of its own",
    long_about = None
)]
struct Serve {
    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    serve: lunatic_cli::ServeArgs,

    /// The component, binary or text
    file: PathBuf,

    /// Arguments for the component
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[cfg(unix)]
#[derive(clap::Args)]
#[command(about = "Run a program as a node of a cluster, or a node that runs what other nodes spawn", long_about = None)]
struct Node {
    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    node: lunatic_cli::NodeArgs,

    /// The program: a WebAssembly module, binary or text [default: none, so that the node runs until it is stopped]
    file: Option<PathBuf>,

    /// Arguments for the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Also the command line with which cargo starts a test program.
#[derive(Parser)]
#[command(name = "lunatic", about = "Run the tests of a WebAssembly program", long_about = None)]
struct Test {
    #[command(flatten)]
    host: HostArgs,

    /// The test program
    file: PathBuf,

    #[command(flatten)]
    test: TestArgs,

    /// Arguments for the tests, if they use the interface of Lunatic 0.13
    #[arg(last = true)]
    args: Vec<String>,
}

fn main() {
    // Must come first: the host starts this program again, as a helper that compiles modules of guests.
    lunatic_host::CompileHelper::this_program();
    let args = with_run(std::env::args_os().collect());
    if let Some(command) = test_call(&args) {
        std::process::exit(shell_code(test(command)).into());
    }
    let code = match Lunatic::parse_from(args).command {
        Command::Run(run) => {
            let Run {
                host,
                bench,
                file,
                mut args,
            } = *run;
            args.extend(bench.then(|| "--bench".to_owned()));
            lunatic_cli::run(&file, &args, &host)
        }
        Command::Test(command) => test(*command),
        Command::Serve(command) => {
            let Serve {
                host,
                serve,
                file,
                args,
            } = *command;
            lunatic_cli::serve(&file, &args, &host, serve)
        }
        #[cfg(unix)]
        Command::Node(node) => lunatic_cli::run_node(node.file.as_deref(), &node.args, &node.host, node.node),
        Command::Init => init(),
        Command::Sign(sign) => lunatic_cli::sign(&sign),
        #[cfg(unix)]
        Command::Operate(command) => lunatic_cli::operate(&command),
        Command::Conformance(args) => lunatic_cli::conformance(&args),
        Command::Doctor => shown(&lunatic_cli::doctor::report()),
    };
    std::process::exit(shell_code(code).into());
}

/// Prints the result of a command, and returns the exit code.
fn shown(text: &str) -> i32 {
    match lunatic_cli::put(text) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: cannot print: {error}");
            1
        }
    }
}

fn test(command: Test) -> i32 {
    let Test {
        host,
        file,
        mut test,
        args,
    } = command;
    test.guest_args = args;
    lunatic_cli::test(&file, &test, &host)
}

fn init() -> i32 {
    match lunatic_cli::init::init(Path::new(".")) {
        Ok(path) => shown(&format!(
            "cargo builds for wasm32-wasip1 and runs with lunatic: see {}\n",
            path.display()
        )),
        Err(error) => {
            eprintln!("error: {error:#}");
            1
        }
    }
}

/// The command line of a test program, if `args` are one.
fn test_call(args: &[OsString]) -> Option<Test> {
    let [_, run, file, rest @ ..] = args else { return None };
    let rest: Vec<String> = rest.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let is_test = run == "run" && cargo_runner::is_test(Path::new(file), &rest);
    is_test.then(|| Test::parse_from(args.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, arg)| arg)))
}

/// Inserts `run` if the arguments begin with a file or with a flag of `run`. A word that is no file may be meant as a
/// command: clap suggests one.
fn with_run(mut args: Vec<OsString>) -> Vec<OsString> {
    const OWN: [&str; 5] = ["help", "-h", "--help", "-V", "--version"];
    let command = Lunatic::command();
    let is_own =
        |first: &OsStr| OWN.iter().any(|own| first == OsStr::new(own)) || command.find_subcommand(first).is_some();
    let is_word = |first: &OsStr| {
        !first.as_encoded_bytes().iter().any(|byte| b"./-".contains(byte)) && !Path::new(first).exists()
    };
    if args.get(1).is_some_and(|first| !is_own(first) && !is_word(first)) {
        args.insert(1, "run".into());
    }
    args
}
