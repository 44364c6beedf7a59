//! Web servers, and components that answer requests, measured by `wrk` from another process: 128 connections that are kept, one request after the other on each.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::programs::{Announcement, Output, Program};
use crate::table::median;

const CONNECTIONS: &str = "128";

/// What `wrk` saw in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    requests_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Requests without the right answer.
    errors: u64,
}

/// Medians of all rounds; of the errors, the sum.
pub(crate) struct Comparison {
    work: String,
    seconds: u64,
    systems: Vec<(&'static str, Seen)>,
}

/// Measures each server for so many seconds in each round, in turns.
pub(crate) fn run(work: &str, programs: &[&Program], seconds: u64, rounds: usize) -> Result<Comparison> {
    let mut all: Vec<Vec<Seen>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (program, all) in programs.iter().zip(&mut all) {
            eprintln!("{work} {seconds}: round {round} of {rounds}, {}", program.system);
            all.push(one(program, work, seconds)?);
        }
    }
    let systems = programs.iter().zip(&all).map(|(program, all)| {
        let median_of = |value: fn(&Seen) -> f64| median(all.iter().map(value));
        let seen = Seen {
            requests_per_s: median_of(|seen| seen.requests_per_s),
            p50_ms: median_of(|seen| seen.p50_ms),
            p99_ms: median_of(|seen| seen.p99_ms),
            errors: all.iter().map(|seen| seen.errors).sum(),
        };
        (program.system, seen)
    });
    Ok(Comparison {
        work: work.to_owned(),
        seconds,
        systems: systems.collect(),
    })
}

/// A server that ends when this goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one(program: &Program, work: &str, seconds: u64) -> Result<Seen> {
    let (command, args) = program.command_line(work, seconds);
    let Output::Server(Announcement { on_stderr, path }) = program.output else {
        bail!("`{}` is no server", command.display());
    };
    let shown = format!("{} {}", command.display(), args.join(" "));
    let child = Command::new(command)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(if on_stderr { Stdio::null() } else { Stdio::piped() })
        .stderr(if on_stderr { Stdio::piped() } else { Stdio::inherit() })
        .spawn()
        .with_context(|| format!("could not start `{shown}`"))?;
    let mut server = Server(child);
    let mut line = String::new();
    let pipe: Box<dyn Read + '_> = match (&mut server.0.stdout, &mut server.0.stderr) {
        (Some(pipe), _) => Box::new(pipe),
        (None, Some(pipe)) => Box::new(pipe),
        (None, None) => bail!("one of them is a pipe"),
    };
    // Kept open: a server that has nobody to tell something would fail.
    let mut pipe = BufReader::new(pipe);
    pipe.read_line(&mut line)?;
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    let url = url.with_context(|| format!("`{shown}` printed `{}`, not where it listens", line.trim()))?;
    let url = format!("{}{path}", url.trim_end_matches('/'));
    // What is compiled or allocated first is not measured.
    wrk(&url, 1)?;
    wrk(&url, seconds)
}

fn wrk(url: &str, seconds: u64) -> Result<Seen> {
    let seconds = format!("{seconds}s");
    let args = [
        "--threads",
        "1",
        "--connections",
        CONNECTIONS,
        "--duration",
        &seconds,
        "--latency",
        url,
    ];
    let output = match Command::new("wrk").args(args).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("`wrk` is missing: its package in Debian is `wrk`")
        }
        output => output.context("could not run `wrk`")?,
    };
    let text = String::from_utf8_lossy(&output.stdout);
    seen(&text).with_context(|| format!("`wrk` printed `{text}`"))
}

/// Reads what `wrk` prints.
fn seen(text: &str) -> Option<Seen> {
    let after = |label: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(label))?;
        line.trim_start()[label.len()..].split_whitespace().next()
    };
    // `Socket errors: connect 0, read 3, write 0, timeout 0` and `Non-2xx or 3xx responses: 7`, only if there are some.
    let numbers = |line: &str| {
        line.split([',', ' '])
            .filter_map(|word| word.parse::<u64>().ok())
            .sum::<u64>()
    };
    let errors = text
        .lines()
        .filter(|line| line.contains("Socket errors:") || line.contains("Non-2xx"))
        .map(|line| numbers(line.split_once(": ").map_or("", |(_, numbers)| numbers)));
    Some(Seen {
        requests_per_s: after("Requests/sec:")?.parse().ok()?,
        p50_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
        errors: errors.sum(),
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..at].parse().ok()?;
    match &text[at..] {
        "us" => Some(number / 1000.0),
        "ms" => Some(number),
        "s" => Some(number * 1000.0),
        _ => None,
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((_, ours)) = self.systems.first() else {
            return Ok(());
        };
        writeln!(
            f,
            "| `{}` {} | requests a second | p50 | p99 | errors | ratio of ours: requests, p99 |",
            self.work, self.seconds
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (system, seen) in &self.systems {
            writeln!(
                f,
                "| {system} | {:.0} | {:.2} ms | {:.2} ms | {} | {:.2}, {:.2} |",
                seen.requests_per_s,
                seen.p50_ms,
                seen.p99_ms,
                seen.errors,
                ours.requests_per_s / seen.requests_per_s,
                ours.p99_ms / seen.p99_ms,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 128 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.50ms    1.00ms  20.00ms   90.00%\n  \
        Latency Distribution\n     50%  900.00us\n     75%    1.20ms\n     90%    2.00ms\n     99%    1.01s\n  \
        100000 requests in 1.00s, 16.00MB read\n";

    #[test]
    fn what_wrk_prints_is_read() {
        let text = PRINTED.to_owned() + "Requests/sec:  99999.50\nTransfer/sec:     16.00MB\n";
        let expected = Seen {
            requests_per_s: 99999.5,
            p50_ms: 0.9,
            p99_ms: 1010.0,
            errors: 0,
        };
        assert_eq!(seen(&text), Some(expected));
        let bad = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n".to_owned()
            + &text;
        assert_eq!(seen(&bad), Some(Seen { errors: 15, ..expected }));
        assert_eq!(seen(PRINTED), None);
        assert_eq!(seen("unable to connect"), None);
    }

    #[test]
    fn a_comparison_is_a_table() {
        let seen = |requests_per_s, p99_ms| Seen {
            requests_per_s,
            p50_ms: 1.0,
            p99_ms,
            errors: 0,
        };
        let comparison = Comparison {
            work: "http".into(),
            seconds: 3,
            systems: vec![("Lunatic", seen(500.0, 3.0)), ("Go", seen(1000.0, 1.5))],
        };
        assert!(
            comparison
                .to_string()
                .ends_with("| Go | 1000 | 1.00 ms | 1.50 ms | 0 | 0.50, 2.00 |\n")
        );
    }
}
