//! Runs a helper program and keeps what it says, for when it fails.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// How many lines of a failed program's output are shown.
const LINES_SHOWN_MAX: usize = 12;

/// Runs `command` and returns its stdout.
///
/// # Errors
///
/// When it cannot be started or fails: a text that names the program and ends with the last lines it wrote.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
    let program = program(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    Err(failure(&program, output.status, &String::from_utf8_lossy(said)))
}

/// Runs `command`, hands each line of its stderr to `show` as it comes; its stdout goes where `command` says.
///
/// # Errors
///
/// As [`output`].
pub(super) fn run_showing(command: &mut Command, mut show: impl FnMut(&str)) -> Result<(), String> {
    let program = program(command);
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            show(&line);
            said.push_str(&line);
            said.push('\n');
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait for {program}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(failure(&program, status, &said))
    }
}

fn program(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy();
    match command.get_args().next().map(|argument| argument.to_string_lossy()) {
        Some(first) if !first.starts_with('-') => format!("`{name} {first}`"),
        _ => format!("`{name}`"),
    }
}

fn failure(program: &str, status: std::process::ExitStatus, said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..];
    let mut text = format!("{program} failed ({status})");
    for line in last {
        text.push('\n');
        text.push_str(line);
    }
    text
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn success_is_the_output_and_failure_the_last_lines() {
        assert_eq!(output(&mut shell("echo out; echo err >&2")), Ok("out\n".to_string()));
        let error = output(&mut shell("for i in $(seq 100); do echo line $i >&2; done; exit 3")).unwrap_err();
        assert!(error.starts_with("`sh` failed (exit status: 3)\nline 89\n"), "{error}");
        assert!(error.ends_with("line 100"), "{error}");
        let error = output(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(error.starts_with("cannot start `program`: "), "{error}");
    }

    #[test]
    fn stderr_is_shown_line_by_line() {
        let mut lines = Vec::new();
        let result = run_showing(&mut shell("echo a >&2; echo b >&2; exit 1"), |l| {
            lines.push(l.to_string())
        });
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(result.unwrap_err(), "`sh` failed (exit status: 1)\na\nb");
        assert_eq!(run_showing(&mut shell("true"), |_| panic!()), Ok(()));
    }
}
