//! Programs that are asked to stop by a signal. They are in `guests/stopping.rs`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::programs::lunatic;

/// A program that has said that it is ready.
pub(crate) struct Ready {
    host: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said beside that.
    said: String,
}

/// Starts a program, with flags of the host, and waits until it is ready.
pub(crate) fn start(flags: &[&str], args: &[&str]) -> Ready {
    start_with(flags, args, &[])
}

/// [`start`], with variables for the host.
pub(crate) fn start_with(flags: &[&str], args: &[&str], variables: &[(&str, &Path)]) -> Ready {
    let guest = path("stopping", Profile::Release);
    let call = [flags, &[guest.to_str().unwrap()], args].concat();
    let mut command = lunatic(call).into_command();
    let mut host = command
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(host.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let said = line.strip_prefix("ready").map(|said| said.trim().to_owned());
    let Some(said) = said else {
        let _ = host.kill();
        panic!("it says {line:?}");
    };
    Ready { host, stdout, said }
}

impl Ready {
    /// What it said beside `ready`.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// The id of the host's process.
    pub(crate) fn id(&self) -> u32 {
        self.host.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.host.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// How it ended: its exit code, and what it wrote after it was ready.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.host.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.host.wait().unwrap().code(), stdout, stderr)
    }
}

/// A test that fails leaves no program behind.
impl Drop for Ready {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

fn stopped(scenario: &str) -> (Option<i32>, String, String) {
    let program = start(&[], &[scenario]);
    program.signal("TERM");
    program.end()
}

/// What a tree says that ends in order.
const IN_ORDER: &str = "last was shut down\nbranch2 was shut down\nbranch1 was shut down\nfirst was shut down\n";

#[test]
fn supervisors_end_their_children_in_order() {
    for _ in 0..5 {
        assert_eq!(stopped("a_tree"), (Some(143), IN_ORDER.into(), String::new()));
    }
}

#[test]
fn an_interrupt_does_the_same() {
    let program = start(&[], &["a_tree"]);
    program.signal("INT");
    assert_eq!(program.end(), (Some(130), IN_ORDER.into(), String::new()));
}

#[test]
fn a_program_that_does_not_listen_ends_at_once() {
    let (code, stdout, stderr) = stopped("nobody_listens");
    assert_eq!((code, &*stdout, &*stderr), (Some(143), "", ""));
}

#[test]
fn a_program_that_takes_note_and_returns_has_ended_well() {
    let (code, stdout, stderr) = stopped("one_returns");
    assert_eq!((code, &*stdout, &*stderr), (Some(0), "it heard of that\n", ""));
}

#[test]
fn a_program_that_fails_while_it_stops_has_failed() {
    let (code, _, stderr) = stopped("one_fails");
    assert_eq!(code, Some(101));
    assert!(stderr.contains("it was about to end anyway"), "{stderr}");
}

#[test]
fn what_does_not_end_in_time_is_killed() {
    let program = start(&["--shutdown-timeout", "0.2"], &["one_ignores_it"]);
    let start = Instant::now();
    program.signal("TERM");
    let (code, _, stderr) = program.end();
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(code, Some(137), "{stderr}");
    assert!(stderr.contains("1 process did not end within 200ms"), "{stderr}");
}

#[test]
fn a_second_signal_ends_a_program_at_once() {
    let mut program = start(&["--shutdown-timeout", "3600"], &["one_ignores_it"]);
    program.signal("TERM");
    // One that comes at the same time as another may be taken for the same.
    while program.host.try_wait().unwrap().is_none() {
        program.signal("INT");
    }
    assert_eq!(program.host.wait().unwrap().code(), Some(130));
}

/// Asks a server whose answer takes a while, and has it stopped in between.
fn stopped_in_a_request(scenario: &str) -> (Option<i32>, String, String) {
    let program = start(&["--allow-net", "bind:127.0.0.1:*"], &[scenario]);
    let mut idle = TcpStream::connect(&program.said).unwrap();
    let mut client = TcpStream::connect(&program.said).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"begun\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    program.signal("TERM");
    client.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains(", done"), "{answer}");
    let _ = idle.read(&mut [0]);
    program.end()
}

#[test]
fn a_server_answers_what_it_has_begun() {
    let (code, stdout, stderr) = stopped_in_a_request("a_server");
    assert_eq!((code, &*stdout, &*stderr), (Some(0), "drained\n", ""));
}

#[test]
fn a_supervised_server_is_drained_before_what_it_needs_ends() {
    let (code, stdout, stderr) = stopped_in_a_request("a_supervised_server");
    assert_eq!(code, Some(143), "{stderr}");
    assert_eq!(stdout, "drained\ndatabase was shut down\n");
}

#[test]
fn nobody_in_a_tree_of_ten_thousand_has_to_be_killed() {
    let program = start(&["--shutdown-timeout", "120"], &["many", "10000"]);
    program.signal("TERM");
    let (code, _, stderr) = program.end();
    assert_eq!((code, &*stderr), (Some(143), ""));
}
