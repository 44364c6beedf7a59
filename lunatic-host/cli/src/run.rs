//! Runs a program as a system, from its start to the exit code.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lunatic_host::alarms::AlarmConfig;
use lunatic_host::dumps::Dumps;
use lunatic_host::log::Level;
use lunatic_host::report::untrusted::lines;
use lunatic_host::wasi::{Output, Stdin};
use lunatic_host::{ExitReason, Module, RunningSystem, Runtime, SystemConfig};

use crate::advice::explained;
use crate::confine::Needs;
use crate::manager::Manager;
use crate::voice::Voice;
use crate::{HostArgs, admin, compat, dashboard, dump_args, node, serve, stop, trust};

/// Runs the module in `file` until it exits and returns the exit code for the shell: that of [`ExitReason::exit_code`],
/// or 1 if the program could not be started.
///
/// `args` are the program's arguments without its name; the guest sees `file` as `args[0]`.
pub fn run(file: &Path, args: &[String], host: &HostArgs) -> i32 {
    finish(try_run(Some(file), args, host))
}

/// Runs a node: like [`run`], but without `file` until a signal stops it.
#[cfg(unix)]
pub fn run_node(file: Option<&Path>, args: &[String], host: &HostArgs, node: crate::NodeArgs) -> i32 {
    let host = HostArgs {
        node: Some(node),
        ..host.clone()
    };
    finish(try_run(file, args, &host))
}

fn finish(result: anyhow::Result<i32>) -> i32 {
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", lines(explained(&error)));
            1
        }
    }
}

/// Printed for programs that may lack rights that they used to have.
const COMPAT_NOTE: &str = "note: this program was built for Lunatic 0.13, which gave each program the current folder, the \
    environment and the network. Here it has none of them: add `--trust` for all, or `--dir .`, `--env NAME` and \
    `--allow-net '*'`";

/// How long a program has to shut down, unless `--shutdown-timeout` is given: twice the time that a supervisor gives a
/// child.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

fn try_run(program: Option<&Path>, args: &[String], host: &HostArgs) -> anyhow::Result<i32> {
    // The name of a node without a program, for those who inspect it.
    let file = program.unwrap_or(Path::new("node"));
    let mut config = host.system()?;
    config.wasi.args = [file.display().to_string()]
        .into_iter()
        .chain(args.iter().cloned())
        .collect();
    let (stdout, stderr) = (Output::stdout(), Output::stderr());
    (config.wasi.stdout, config.wasi.stderr) = (stdout.clone(), stderr.clone());
    config.wasi.stdin = Stdin::Inherit;
    let log = host.log.open(&stderr)?;
    config.log = Some(log.clone());
    let voice = Voice { log, stderr };
    let otlp = host.otlp.prepare(file, &mut config)?;
    let wasm = program.map(read).transpose()?;
    config.dumps = host.dumps.open()?;
    let dumps = config.dumps.clone();
    let manager = Manager::of_environment()?;
    let door = host.admin.as_deref().map(admin::open).transpose()?;
    let dashboards = dashboard::open_all(host)?;
    let listener = serve::open(host)?;
    // This must precede the runtime, which starts threads.
    let reload = stop::reload(&voice, &manager, host);
    let folders = node::folders(host);
    let needs = Needs {
        trust: host.trust || trust::is_called_by_cargo(),
        network: otlp.is_some() || node::resolves_names(host),
        configuration: stop::folder(reload.as_ref()),
        folders: &folders,
    };
    let runtime = host.runtime()?;
    host.confine.program(&config, &needs)?;
    let runtime = Arc::new(runtime.build()?);
    let module = wasm.map(|wasm| load(&runtime, file, &wasm)).transpose()?;
    grant(&mut config, module.as_deref(), host);
    let tests = module.as_ref().map_or(0, |module| module.tests().len());
    if tests > 0 {
        let (file, text) = (file.display(), if tests == 1 { "a test" } else { "tests" });
        voice.say(
            Level::Warn,
            &format!("{file} contains {text} that this command does not run: run them with `lunatic test {file}`"),
        );
    }
    // The handlers are installed no earlier: until here, Ctrl-C terminates the program immediately, even during
    // compilation.
    let signals = stop::Listener::new(reload).context("cannot listen for signals")?;
    let joined = node::join(&runtime, &config, host, &voice)?;
    let (started, joined) = match (module, joined) {
        (Some(module), joined) => {
            runtime.share(&module);
            (serve::start(&runtime, &module, config, host, listener), joined)
        }
        (None, Some(joined)) => (Ok(joined.visitors), None),
        (None, None) => bail!("there is no program"),
    };
    let system = Arc::new(started.with_context(|| format!("cannot run {}", file.display()))?);
    let patience = host.shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT);
    let stop = signals.watch(system.clone(), patience, voice.clone(), manager.clone());
    let stop = stop.context("cannot wait for signals")?;
    if !host.no_alarms {
        watch(&system, &voice)?;
    }
    if let Some(door) = door {
        admin::serve(door, &runtime, &system, file)?;
    }
    for dashboard in dashboards {
        dashboard::serve(dashboard, &runtime, &system, file)?;
    }
    let sending = otlp.map(|otlp| otlp.start(&runtime, &system, &voice)).transpose()?;
    manager.is_ready();
    manager
        .feed(runtime.clone())
        .context("cannot send keep-alives to the service manager")?;
    let reason = system.wait();
    runtime.leave();
    if let Some(joined) = &joined {
        joined.leave();
    }
    manager.stops();
    report(&reason, &system, dumps.as_deref(), host, &voice);
    if let Some(sending) = sending {
        sending.finish();
    }
    stdout.finish();
    voice.finish();
    // The system has ended and the caller is about to exit. To drop up to a million processes would only take time.
    std::mem::forget((system, joined, runtime));
    Ok(stop.exit_code(&reason))
}

/// Grants a trusted program the rights of a native one; otherwise notes which rights the program may lack.
fn grant(config: &mut SystemConfig, module: Option<&Module>, host: &HostArgs) {
    let is_compat = module.is_some_and(compat::is_compat);
    if host.trust || (is_compat && trust::is_called_by_cargo()) {
        trust::trust(config);
    } else if is_compat && host.grants_nothing() {
        eprintln!("{COMPAT_NOTE}");
    }
}

/// Reports how the program ended, with its deadlock report, missing core dumps and metrics.
fn report(reason: &ExitReason, system: &RunningSystem, dumps: Option<&Dumps>, host: &HostArgs, voice: &Voice) {
    if let ExitReason::Deadlock(report) = reason {
        voice.say(Level::Error, &lines(report).to_string());
    }
    if let Some(dumps) = dumps {
        dump_args::finish(dumps, &voice.stderr);
    }
    if host.metrics {
        voice.stderr.report(&compat::metrics(system));
    }
}

/// Starts the search for likely problems, and logs each alarm.
fn watch(system: &RunningSystem, voice: &Voice) -> anyhow::Result<()> {
    let voice = voice.clone();
    let watched = system.watch(AlarmConfig::default(), move |alarm| voice.say(Level::Warn, alarm));
    watched.context("cannot look for alarms")
}

/// The largest module: 1 GiB in the binary format, 64 MiB as text.
const BINARY_MAX: u64 = 1 << 30;
const TEXT_MAX: u64 = 64 << 20;

/// Reads the module in `file`, which may be a pipe, even an endless one.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("could not read {}", file.display());
    let mut from = File::open(file).with_context(context)?;
    let mut bytes = Vec::new();
    from.by_ref().take(4).read_to_end(&mut bytes).with_context(context)?;
    let max = match &*bytes {
        b"\0asm" => BINARY_MAX,
        _ => TEXT_MAX,
    };
    let rest = from.take(max).read_to_end(&mut bytes).with_context(context)?;
    if rest as u64 == max {
        bail!("{} is too large for a module: more than {max} bytes", file.display());
    }
    Ok(bytes)
}

/// Loads the module that was read from `file`.
pub(crate) fn load(runtime: &Runtime, file: &Path, wasm: &[u8]) -> anyhow::Result<Arc<Module>> {
    runtime
        .load(wasm)
        .with_context(|| format!("cannot run {}", file.display()))
}
