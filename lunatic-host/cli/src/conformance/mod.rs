//! `lunatic conformance`: tests on a program in another language what a port of Lunatic must be able to do.

mod kit;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lunatic_host::report::untrusted::lines;
use lunatic_host::wasi::{Output, Stdin};
use lunatic_host::{Module, Runtime, SystemConfig};

use self::kit::Case;
use crate::advice::explained;
use crate::put;
use crate::run::{load, read};

/// How long a case may take. On an idle machine, no case takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Test a program in another language with the conformance kit
///
/// The program is run once per case, with the name of the case as its only argument. `--list` shows what it must do in
/// each case.
#[derive(clap::Args, Debug)]
pub struct ConformanceArgs {
    /// The program: a WebAssembly module, binary or text
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,

    /// The cases to run [default: all]
    cases: Vec<String>,

    /// Show what each case requires, and run none
    #[arg(long)]
    list: bool,
}

/// Runs the cases, prints the result of each, and returns the exit code: 0 if all passed, 1 if the program could not be
/// run, 101 if a case failed.
pub fn conformance(args: &ConformanceArgs) -> i32 {
    match try_cases(args) {
        Ok(true) => 0,
        Ok(false) => 101,
        Err(error) => {
            eprintln!("error: {}", lines(explained(&error)));
            1
        }
    }
}

fn try_cases(args: &ConformanceArgs) -> anyhow::Result<bool> {
    let cases = selected(&args.cases)?;
    let Some(file) = args.file.as_deref().filter(|_| !args.list) else {
        let described: String = cases.iter().map(description).collect();
        put(&described).context("cannot print")?;
        return Ok(true);
    };
    let runtime = Runtime::builder().build()?;
    let module = load(&runtime, file, &read(file)?)?;
    let mut failed = 0;
    for case in &cases {
        let wrong = try_case(&runtime, &module, file, case)?;
        failed += usize::from(!wrong.is_empty());
        put(&result(case, &wrong)).context("cannot print")?;
    }
    let passed = cases.len() - failed;
    put(&format!("\n{passed} passed, {failed} failed\n")).context("cannot print")?;
    Ok(failed == 0)
}

/// The cases with these names, or all.
fn selected(names: &[String]) -> anyhow::Result<Vec<Case>> {
    let mut cases = kit::cases();
    if let Some(unknown) = names.iter().find(|name| cases.iter().all(|case| case.name != *name)) {
        bail!("there is no case {unknown}: see `lunatic conformance --list`");
    }
    cases.retain(|case| names.is_empty() || names.iter().any(|name| name == case.name));
    Ok(cases)
}

/// What a case requires, as text.
fn description(case: &Case) -> String {
    let mut text = format!("{}\n  {}\n", case.name, case.must);
    for line in &case.prints {
        let _ = writeln!(text, "  > {line}");
    }
    if case.prints.is_empty() {
        let _ = writeln!(text, "  and it {}", case.ends);
    }
    text + "\n"
}

/// The result of a case, as text.
fn result(case: &Case, wrong: &[String]) -> String {
    if wrong.is_empty() {
        return format!("case {} ... ok\n", case.name);
    }
    let mut text = format!("case {} ... FAILED\n  must: {}\n", case.name, case.must);
    for wrong in wrong {
        let _ = writeln!(text, "  {}", lines(wrong));
    }
    text
}

/// Runs one case as a system of its own and returns what is wrong.
fn try_case(runtime: &Runtime, module: &Arc<Module>, file: &Path, case: &Case) -> anyhow::Result<Vec<String>> {
    let mut config = SystemConfig::default();
    config.wasi.args = vec![file.display().to_string(), case.name.to_owned()];
    config.wasi.stdin = Stdin::Empty;
    let (stdout, printed) = Output::captured();
    let (stderr, said) = Output::captured();
    (config.wasi.stdout, config.wasi.stderr) = (stdout.clone(), stderr.clone());
    let system = runtime.start(module, config)?;
    let ended = match system.wait_timeout(PATIENCE) {
        Some(reason) => reason.to_string(),
        None => format!("has not ended after {} s", PATIENCE.as_secs()),
    };
    drop(system);
    stdout.finish();
    stderr.finish();
    let mut wrong = case.judge(&String::from_utf8_lossy(&printed.take()), &ended);
    let said = said.take();
    if !wrong.is_empty() && !said.is_empty() {
        wrong.push(format!(
            "standard error:\n{}",
            String::from_utf8_lossy(&said).trim_end()
        ));
    }
    Ok(wrong)
}
