//! What programs count, as the admin door shows it. The programs are in `guests/counting.rs`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::programs::lunatic;

/// A program that has said that it is ready.
struct Running {
    host: Child,
    socket: String,
    _folder: tempfile::TempDir,
}

fn start(scenario: &str) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door").to_str().unwrap().to_owned();
    let guest = path("counting", Profile::Release);
    let door = format!("--admin={socket}");
    let mut command = lunatic([&door, guest.to_str().unwrap(), scenario]).into_command();
    let mut host = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    Running {
        host,
        socket,
        _folder: folder,
    }
}

/// A test that fails leaves no program behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

impl Running {
    /// The lines of figures.
    fn figures(&self) -> Vec<String> {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let lines = answer.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }
}

#[test]
fn what_processes_count_is_added_up_and_gauges_are_of_the_living() {
    let program = start("together");
    let figures = program.figures();
    for expected in [
        "orders_total 200",
        r#"requests_total{method="GET"} 50"#,
        r#"requests_total{method="PUT"} 50"#,
        "open 5",
        r#"seconds_bucket{le="0.5"} 1"#,
        r#"seconds_bucket{le="50"} 51"#,
        r#"seconds_bucket{le="+Inf"} 100"#,
        "seconds_sum 4950",
        "seconds_count 100",
        "lunatic_program_metrics_refused_total 0",
    ] {
        assert!(
            figures.iter().any(|line| line == expected),
            "no `{expected}` in {figures:#?}"
        );
    }
}

#[test]
fn a_sandbox_counts_only_if_it_may() {
    let figures = start("sandboxed").figures();
    assert!(figures.iter().any(|line| line == "secret_total 1"), "{figures:#?}");
}

#[test]
fn names_are_limited_and_those_that_are_refused_are_counted() {
    let figures = start("too_many").figures();
    let many = figures.iter().filter(|line| line.starts_with("many_total{")).count();
    assert!(many > 500 && many <= 1024, "{many}");
    let refused = format!("lunatic_program_metrics_refused_total {}", 5000 - many);
    assert!(figures.contains(&refused), "{figures:#?}");
}

#[test]
fn a_name_is_of_one_kind_and_of_few_characters() {
    lunatic_tests::guests::program("counting")
        .args(["another_kind"])
        .run()
        .normal();
}
