//! Runs a helper program and keeps its output for an error report.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many lines of a failed program's output are shown.
const LINES_SHOWN_MAX: usize = 12;

/// How often the start of a program whose file is open for writing is retried, and the pause in between: one second in
/// all.
const BUSY_TRIES_MAX: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Runs `command` and returns its stdout.
///
/// # Errors
///
/// If it cannot be started or fails: a text that names the program and ends with the last lines of its output.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
    let program = program(command);
    let output = start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )
    .map_err(|error| format!("cannot start {program}: {error}"))?
    .wait_with_output()
    .map_err(|error| format!("cannot wait for {program}: {error}"))?;
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

/// Runs `command` and passes each line of its stderr to `show` as it arrives; its stdout goes where `command` directs
/// it.
///
/// # Errors
///
/// As [`output`].
pub(super) fn run_showing(command: &mut Command, mut show: impl FnMut(&str)) -> Result<(), String> {
    let program = program(command);
    let mut child = start(command.stdin(Stdio::null()).stderr(Stdio::piped()))
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

/// Starts `command`; retries while its file is open for writing.
///
/// A program that this process has written and closed can still be open in a child that another thread has forked in
/// between and that has not called `exec` yet, which closes inherited files. Until then, the kernel returns `ETXTBSY`.
fn start(command: &mut Command) -> io::Result<Child> {
    for _ in 1..BUSY_TRIES_MAX {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(BUSY_PAUSE),
            other => return other,
        }
    }
    command.spawn()
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

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_that_is_still_held_by_its_writer_is_tried_again() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        std::fs::write(&file, "#!/bin/sh\necho out\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let writer = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        let busy = Command::new(&file).spawn().unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ExecutableFileBusy);
        let result = std::thread::scope(|scope| {
            let running = scope.spawn(|| output(&mut Command::new(&file)));
            drop(writer);
            running.join().unwrap()
        });
        assert_eq!(result, Ok("out\n".to_string()));
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
