//! Works that watch what the host holds: they print marks, and the harness reads the host's resident memory at each.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::programs::Program;

/// More than so much above the start is too much, once all processes are gone.
const GROWTH_MAX_KB: i64 = 300 << 10;

pub(crate) struct Mark {
    name: String,
    /// How many had been spawned.
    processes: u64,
    rss_kb: i64,
}

/// The marks of one run, in order.
pub(crate) struct Watched {
    work: String,
    n: u64,
    marks: Vec<Mark>,
}

/// Runs a work once; it goes on from each mark when the memory has been read.
pub(crate) fn watch(program: &Program, work: &str, n: u64) -> Result<Watched> {
    let (command, args) = program.command_line(work, n);
    let shown = format!("{} {}", command.display(), args.join(" "));
    let mut child = Command::new(command)
        .args(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{shown}`"))?;
    let lines = BufReader::new(child.stdout.take().context("standard output is a pipe")?).lines();
    let mut go = child.stdin.take().context("standard input is a pipe")?;
    let mut marks = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, processes)) = mark_of(&line) else {
            continue;
        };
        let rss_kb = resident_kb(child.id())?;
        eprintln!("{work} {n}: {name}, {processes} processes, {rss_kb} KiB");
        marks.push(Mark {
            name,
            processes,
            rss_kb,
        });
        go.write_all(b"\n")?;
    }
    let status = child.wait()?;
    if !status.success() || marks.len() < 2 {
        bail!("`{shown}` ended with {status} after {} marks", marks.len());
    }
    Ok(Watched {
        work: work.to_owned(),
        n,
        marks,
    })
}

/// The name of a mark and the number of processes in it; `None` for any other line.
fn mark_of(line: &str) -> Option<(String, u64)> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some((line.get("mark")?.as_str()?.to_owned(), line.get("processes")?.as_u64()?))
}

fn resident_kb(pid: u32) -> Result<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    resident_in(&status).context("/proc tells no VmRSS of the host")
}

fn resident_in(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, n, marks } = self;
        let mb = |kb: i64| kb as f64 / 1024.0;
        writeln!(f, "\n| `{work}` {n} | processes so far | resident |\n|---|---|---|")?;
        for mark in marks {
            writeln!(f, "| {} | {} | {:.1} MB |", mark.name, mark.processes, mb(mark.rss_kb))?;
        }
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else {
            return Ok(());
        };
        let growth = last.rss_kb - first.rss_kb;
        let verdict = if growth <= GROWTH_MAX_KB {
            "within"
        } else {
            "**not within**"
        };
        let max = GROWTH_MAX_KB / 1024;
        writeln!(f, "\n{:+.1} MB from start to end: {verdict} {max} MB.", mb(growth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_from_other_lines() {
        let line = r#"{"mark":"60 s","processes":5000}"#;
        assert_eq!(mark_of(line), Some(("60 s".to_owned(), 5000)));
        for other in ["", "60 s", r#"{"mark":"end"}"#, r#"{"work":"churn","ns_per_op":7}"#] {
            assert_eq!(mark_of(other), None, "{other}");
        }
    }

    #[test]
    fn resident_memory_is_read_in_kib() {
        assert_eq!(
            resident_in("Name:\tlunatic\nVmHWM:\t   9 kB\nVmRSS:\t  1234 kB\n"),
            Some(1234)
        );
        assert_eq!(resident_in("VmHWM:\t9 kB\n"), None);
        assert!(resident_kb(std::process::id()).unwrap() > 0);
    }

    #[test]
    fn growth_is_judged() {
        let watched = |end_mb: i64| Watched {
            work: "gone".into(),
            n: 5,
            marks: [("start", 0, 20), ("end", 10, end_mb)]
                .map(|(name, processes, mb)| Mark {
                    name: name.into(),
                    processes,
                    rss_kb: mb << 10,
                })
                .into(),
        };
        assert!(
            watched(320)
                .to_string()
                .contains("+300.0 MB from start to end: within 300 MB.")
        );
        assert!(watched(321).to_string().contains("**not within**"));
        assert!(watched(10).to_string().contains("| end | 10 | 10.0 MB |\n\n-10.0 MB"));
    }
}
