//! Compares what a process is told of another node, which is lost and comes back, on nodes of Erlang and on ours.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::programs::{EVENTS, Program, Programs};

/// The steps in which we deviate from Erlang on purpose: the step, Erlang's event, ours, and the reason.
const DIFFERENCES: [(&str, &str, &str, &str); 1] = [(
    "monitor of an ended process",
    "down noproc",
    "down normal",
    "the host remembers for a while how a process has ended",
)];

/// Runs the scenario on all systems that have it, and prints a table. Fails if an event differs that should not.
pub(crate) fn run(programs: &Programs) -> Result<()> {
    let systems: Vec<&Program> = programs.of_work(EVENTS).collect();
    let [ours, erlang] = systems[..] else {
        bail!("there is no Erlang to compare with: its packages in Debian are `erlang-base` and `erlang-dev`");
    };
    let (ours, theirs) = (events(ours)?, events(erlang)?);
    let mut wrong = 0;
    println!("| event | Erlang | Lunatic | |\n|---|---|---|---|");
    for (step, own, other) in beside(&ours, &theirs) {
        let verdict = verdict(&step, &other, &own);
        wrong += usize::from(verdict.is_none());
        println!("| {step} | {other} | {own} | {} |", verdict.unwrap_or("**differs**"));
    }
    match wrong {
        0 => Ok(()),
        _ => bail!("{wrong} events differ from Erlang's"),
    }
}

/// Why two events may stand beside each other; `None` if they may not.
fn verdict(step: &str, erlang: &str, ours: &str) -> Option<&'static str> {
    if erlang == ours {
        return Some("");
    }
    let mut known = DIFFERENCES.iter();
    known.find_map(|(one, theirs, own, why)| ((*one, *theirs, *own) == (step, erlang, ours)).then_some(*why))
}

type Events = Vec<(String, String)>;

/// The events of both, step by step; `–` stands for one that only the other has.
fn beside(ours: &Events, theirs: &Events) -> Vec<(String, String, String)> {
    let none = (String::new(), "–".to_owned());
    let len = ours.len().max(theirs.len());
    let rows = (0..len).map(|at| {
        let (own, other) = (ours.get(at).unwrap_or(&none), theirs.get(at).unwrap_or(&none));
        let step = match own.0 == other.0 || other.0.is_empty() {
            true => own.0.clone(),
            false if own.0.is_empty() => other.0.clone(),
            // Each program has steps of its own from here on.
            false => format!("{} / {}", other.0, own.0),
        };
        (step, own.1.clone(), other.1.clone())
    });
    rows.collect()
}

fn events(program: &Program) -> Result<Events> {
    let (command, args) = program.command_line(EVENTS, 1);
    eprintln!("{EVENTS}: {}", program.system);
    let output = Command::new(command)
        .args(&args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{}`", command.display()))?;
    if !output.status.success() {
        bail!("the nodes of {} ended with {}", program.system, output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let events: Events = text.lines().filter_map(read).collect();
    if events.is_empty() {
        bail!("the nodes of {} report nothing", program.system);
    }
    Ok(events)
}

fn read(line: &str) -> Option<(String, String)> {
    let (step, what) = line.strip_prefix("event ")?.split_once(':')?;
    Some((step.to_owned(), what.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_compared_step_by_step() {
        let events = |lines: &[&str]| -> Events { lines.iter().copied().filter_map(read).collect() };
        let ours = events(&["event link: exit killed", "{}", "event lost: a, b", "event more: x"]);
        let theirs = events(&["event link: exit killed", "event other: a, b"]);
        let row = |step: &str, own: &str, other: &str| (step.to_owned(), own.to_owned(), other.to_owned());
        assert_eq!(
            beside(&ours, &theirs),
            [
                row("link", "exit killed", "exit killed"),
                row("other / lost", "a, b", "a, b"),
                row("more", "x", "–")
            ]
        );
    }

    #[test]
    fn only_known_differences_pass() {
        let (step, theirs, ours, why) = DIFFERENCES[0];
        assert_eq!(verdict(step, theirs, ours), Some(why));
        assert_eq!(verdict(step, ours, theirs), None);
        assert_eq!(verdict("another", theirs, ours), None);
        assert_eq!(verdict("another", ours, ours), Some(""));
    }
}
