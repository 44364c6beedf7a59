//! One run of one program: what it says of itself, and its peak memory as the kernel knows it.

use std::io::Read;
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::programs::{Output, Program};

pub(crate) struct Measured {
    /// Nanoseconds: an operation's, or how late the slowest of a hundred was, or from start to end.
    pub(crate) value: f64,
    /// The largest resident memory, in KiB.
    pub(crate) peak_kb: u64,
}

pub(crate) fn measure(program: &Program, work: &str, n: u64) -> Result<Measured> {
    measure_with(program, work, n, |_| ())
}

/// Measures, and keeps what `watch` makes of the program's process id while it runs.
pub(crate) fn measure_with<W>(program: &Program, work: &str, n: u64, watch: impl FnOnce(u32) -> W) -> Result<Measured> {
    let (command, args) = program.command_line(work, n);
    let shown = format!("{} {}", command.display(), args.join(" "));
    let start = Instant::now();
    let mut child = Command::new(command)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{shown}`"))?;
    let watch = watch(child.id());
    let mut text = String::new();
    let stdout = child.stdout.as_mut().context("standard output is a pipe")?;
    let read = stdout.read_to_string(&mut text);
    // Until it is waited for, its id is no other program's.
    drop(watch);
    read?;
    let (status, peak_kb) = wait(child.id())?;
    let lasted = start.elapsed();
    if status != 0 {
        bail!("`{shown}` failed with wait status {status:#x}");
    }
    let value = match program.output {
        Output::Json => value_of(&text).with_context(|| format!("`{shown}` printed `{}`", text.trim()))?,
        Output::Lifetime => lasted.as_nanos() as f64,
        Output::Server(_) => bail!("`{shown}` serves until it is killed, and others measure it"),
    };
    // Where the program has started a server, it is the server's memory that counts.
    let peak_kb = peak_of(&text).unwrap_or(peak_kb);
    Ok(Measured { value, peak_kb })
}

/// The figure in a line of JSON: `ns_per_op`, or `p99_us` in nanoseconds.
fn value_of(text: &str) -> Result<f64> {
    let line: Value = serde_json::from_str(text.trim()).context("expected one line of JSON")?;
    let field = |name: &str| line.get(name).and_then(Value::as_f64);
    field("ns_per_op")
        .or_else(|| field("p99_us").map(|us| us * 1000.0))
        .context("neither `ns_per_op` nor `p99_us` is a number in it")
}

/// The memory that a line of JSON tells of.
fn peak_of(text: &str) -> Option<u64> {
    serde_json::from_str::<Value>(text.trim())
        .ok()?
        .get("peak_kb")?
        .as_u64()
}

/// Waits for the child to end: its wait status and peak resident memory in KiB.
fn wait(pid: u32) -> Result<(i32, u64)> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are to live variables of the types that wait4 writes; all zeros is a valid `rusage`.
    let (ended, usage) = unsafe {
        let ended = libc::wait4(pid as libc::pid_t, &raw mut status, 0, usage.as_mut_ptr());
        (ended, usage.assume_init())
    };
    if ended < 0 {
        return Err(std::io::Error::last_os_error()).context("could not wait for a program");
    }
    Ok((status, usage.ru_maxrss as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_in_nanoseconds() {
        assert_eq!(value_of(r#"{"work":"spawn","ns_per_op":12.5}"#).unwrap(), 12.5);
        assert_eq!(value_of("{\"p50_us\":1,\"p99_us\":2}\n").unwrap(), 2000.0);
        for wrong in ["", "12", r#"{"ns_per_op":"fast"}"#, "{"] {
            assert!(value_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_child_is_waited_for_with_its_status_and_memory() {
        #[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
        let run = |code: &str| {
            let child = Command::new("sh").args(["-c", code]).spawn().unwrap();
            wait(child.id()).unwrap()
        };
        let (status, peak_kb) = run("exit 3");
        assert_eq!((libc::WEXITSTATUS(status), peak_kb > 0), (3, true));
        assert_eq!(run("true").0, 0);
    }
}
