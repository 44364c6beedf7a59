//! What programs log, and where it goes. The programs are in `guests/logs/main.rs`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use lunatic_tests::guests::{PROFILES, Profile, path};
use lunatic_tests::host::PATIENCE;
use lunatic_tests::programs::{Finished, lunatic};
use serde_json::{Value, json};

/// Runs a scenario with flags of the host to its end.
fn run(flags: &[&str], args: &[&str]) -> Finished {
    run_as(Profile::Release, flags, args)
}

fn run_as(profile: Profile, flags: &[&str], args: &[&str]) -> Finished {
    let guest = path("logs", profile);
    lunatic([flags, &[guest.to_str().unwrap()], args].concat())
        .env_remove("RUST_LOG")
        .run()
}

/// Lines of JSON.
fn records(text: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).collect()
}

fn run_json(flags: &[&str], args: &[&str]) -> Vec<Value> {
    let finished = run(&[&["--log-format", "json"], flags].concat(), args).code(0);
    records(&finished.stderr)
}

#[test]
fn every_process_logs_from_its_beginning() {
    for profile in PROFILES {
        let stderr = run_as(profile, &["--log-format=json"], &["everywhere"]).code(0).stderr;
        let said: Vec<_> = records(&stderr)
            .iter()
            .map(|record| ["level", "target", "name", "message"].map(|key| record[key].as_str().unwrap().to_owned()))
            .collect();
        for expected in [
            ["INFO", "logs", "main", "in main"],
            ["INFO", "logs", "main", "also in main"],
            ["WARN", "logs", "logs::everywhere::{closure#0}", "in a process"],
            ["INFO", "logs", "clerk", "in a named process"],
            ["INFO", "logs", "logs::Clerk", "in an actor"],
            ["INFO", "again", "logs::everywhere::{closure#3}", "number 0"],
            ["INFO", "again", "logs::everywhere::{closure#3}", "number 2"],
        ] {
            assert!(
                said.contains(&expected.map(str::to_owned)),
                "{expected:?} is not in {said:#?}"
            );
        }
        assert!(
            said.iter()
                .any(|[level, .., message]| level == "ERROR" && message == "with an argument")
        );
        assert_eq!(said.len(), 9, "{said:#?}");
    }
}

#[test]
fn fields_go_with_a_record_and_those_of_spans_around_it() {
    let records = run_json(&[], &["fields_and_spans"]);
    let order = json!({"name": "order", "fields": {"id": 7, "customer": "Ada Lovelace"}});
    let of = |at: usize, key: &str| records[at][key].clone();
    assert_eq!(of(0, "message"), "packed");
    assert_eq!(
        of(0, "fields"),
        json!({"left": 2, "share": 0.5, "broken": false, "what": "Some(8)"})
    );
    assert_eq!(
        of(0, "spans"),
        json!([order, {"name": "pack", "fields": {"item": "umbrella"}}])
    );
    assert_eq!((of(1, "message"), of(1, "spans")), (json!("alone"), Value::Null));
    assert_eq!((of(2, "message"), of(2, "spans")), (json!("outside"), Value::Null));
    assert_eq!(of(3, "spans"), json!([order, {"name": "inner", "fields": {}}]));
    let text = run(&[], &["fields_and_spans"]).code(0).stderr;
    let expected = "  INFO [#1 main] logs: order{id=7 customer=\"Ada Lovelace\"}:pack{item=umbrella}: packed left=2 share=0.5 \
                    broken=false what=Some(8)";
    assert!(text.lines().next().unwrap().ends_with(expected), "{text}");
}

#[test]
fn no_text_of_a_guest_looks_like_another_record() {
    for format in ["text", "json"] {
        let stderr = run(&["--log-format", format], &["forged"]).code(0).stderr;
        assert_eq!(stderr.lines().count(), 4, "{stderr}");
        assert!(!stderr.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{stderr:?}");
        if format == "json" {
            let records = records(&stderr);
            assert!(
                records[0]["message"]
                    .as_str()
                    .unwrap()
                    .contains("\n2026-01-01T00:00:00Z ERROR")
            );
            assert_eq!(records[3]["name"], "evil\n\u{1b}]0;x\u{7}");
        } else {
            assert!(
                stderr
                    .lines()
                    .all(|line| line.starts_with("20") && line.contains("  INFO [#")),
                "{stderr}"
            );
        }
    }
}

#[test]
fn levels_are_those_of_the_flag_or_the_variable() {
    let messages = |variable: Option<&str>, flags: &[&str]| {
        let guest = path("logs", Profile::Release);
        let call = lunatic([flags, &[guest.to_str().unwrap(), "everywhere"]].concat());
        let call = match variable {
            Some(level) => call.env("RUST_LOG", level),
            None => call.env_remove("RUST_LOG"),
        };
        let finished = call.run().code(0);
        finished.stderr.lines().count()
    };
    assert_eq!(messages(None, &[]), 9);
    assert_eq!(messages(None, &["--log-level", "off"]), 0);
    assert_eq!(messages(None, &["--log-level", "warn"]), 2);
    assert_eq!(messages(None, &["--log-level", "warn,again=trace"]), 5);
    assert_eq!(messages(Some("again=info"), &[]), 3);
    assert_eq!(messages(Some("again=info"), &["--log-level", "error"]), 1);
    // One that is meant for others is passed over, with a note.
    assert_eq!(messages(Some("info/[a-z]"), &[]), 10);
    let error = run(&["--log-level", "a=b"], &["everywhere"]).code(1).stderr;
    assert!(
        error.contains("--log-level a=b") && error.contains("info,shop::stock=debug"),
        "{error}"
    );
}

#[test]
fn records_of_a_sandbox_go_where_what_it_prints_goes() {
    let records = run_json(&[], &["sandboxed"]);
    assert_eq!(
        (records.len(), &records[0]["message"]),
        (1, &json!("they have ended")),
        "{records:?}"
    );
}

#[test]
fn the_end_of_a_process_and_a_denial_are_records_where_programs_read_them() {
    let records = run_json(&[], &["crash"]);
    let messages: Vec<_> = records
        .iter()
        .map(|record| record["message"].as_str().unwrap())
        .collect();
    assert!(
        messages.contains(&"before") && messages.contains(&"after"),
        "{messages:?}"
    );
    let crash = records
        .iter()
        .find(|record| record["target"] == "lunatic::crash")
        .unwrap();
    assert_eq!(
        (&crash["level"], &crash["message"]),
        (&json!("ERROR"), &json!("first line\nsecond line"))
    );
    assert_eq!(crash["name"], "logs::crash::{closure#0}");
    let report = crash["fields"]["report"].as_str().unwrap();
    assert!(report.contains("panicked") && report.contains("main.rs"), "{report}");
    let records = run_json(&["--log-denials"], &["denied"]);
    assert_eq!(
        (&records[0]["level"], &records[0]["target"]),
        (&json!("WARN"), &json!("lunatic::rights"))
    );
    assert!(
        records[0]["message"].as_str().unwrap().contains("--allow-net"),
        "{records:?}"
    );
}

#[test]
fn long_records_are_cut_and_come_out() {
    let records = run_json(&[], &["long"]);
    assert_eq!(records.len(), 3);
    let message = records[0]["message"].as_str().unwrap();
    assert!(message.len() > 8000 && message.len() <= 8192 && message.ends_with('…'));
    assert_eq!(records[1]["message"], "fields");
    assert_eq!(records[2]["message"], "the end");
}

/// A program that runs until it is killed, and that has said that it is ready.
struct Running {
    host: Child,
    stderr: BufReader<ChildStderr>,
    stdout: BufReader<ChildStdout>,
}

fn start(flags: &[&str], args: &[&str], variables: &[(&str, &str)]) -> Running {
    let guest = path("logs", Profile::Release);
    let call = [flags, &[guest.to_str().unwrap()], args].concat();
    let mut command = lunatic(call).env_remove("RUST_LOG").into_command();
    let mut host = command
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(host.stderr.take().unwrap());
    let stdout = BufReader::new(host.stdout.take().unwrap());
    Running { host, stderr, stdout }
}

impl Running {
    fn ready(mut self, word: &str) -> Self {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
        self
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.host.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// The next record that has this in its line.
    fn next_with(&mut self, part: &str) -> String {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert!(
                self.stderr.read_line(&mut line).unwrap() > 0,
                "no record with {part:?} came"
            );
        }
        line
    }
}

/// A test that fails leaves no program behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

/// A folder with room for a socket.
fn folder() -> (tempfile::TempDir, impl Fn(&str) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, move |name: &str| path.join(name).to_str().unwrap().to_owned())
}

#[test]
fn the_level_is_changed_while_a_program_runs() {
    let (_folder, at) = folder();
    let socket = at("door");
    let ask = |args: &[&str]| lunatic([&["log-level"], args, &["--at", &socket]].concat()).run();
    for (scenario, debug) in [("steps", "a step\n"), ("computing", "computing\n")] {
        let mut program = start(&[&format!("--admin={socket}")], &[scenario], &[]).ready("ready");
        assert_eq!(ask(&[]).code(0).stdout, "info\n");
        if scenario == "steps" {
            program.next_with("a step elsewhere\n");
        }
        assert_eq!(ask(&["warn,logs=debug"]).code(0).stdout, "warn,logs=debug\n");
        assert!(program.next_with(debug).contains(" DEBUG [#1 main] logs: "));
        let error = ask(&["logs=much"]).code(1).stderr;
        assert!(
            error.contains("`logs=much` is not a filter") && error.contains("info,shop"),
            "{error}"
        );
        let view: Value = serde_json::from_str(&ask(&["--json"]).code(0).stdout).unwrap();
        assert_eq!(view, json!({"filter": "warn,logs=debug"}), "the old one stays");
        assert_eq!(ask(&["off"]).code(0).stdout, "off\n");
    }
}

#[test]
fn nobody_waits_for_a_reader_of_the_log() {
    // Nothing is read of it before the program has said that it is done.
    let mut program = start(&["--log-format=json"], &["flood", "20000", "stay"], &[]).ready("done");
    program.signal("TERM");
    let mut text = String::new();
    program.stderr.read_to_string(&mut text).unwrap();
    let (notes, records): (Vec<_>, Vec<_>) = records(&text)
        .into_iter()
        .partition(|record| record["target"] == "lunatic::log");
    let dropped = notes
        .iter()
        .map(|note| note["fields"]["dropped"].as_u64().unwrap() as usize);
    let dropped: usize = dropped.sum();
    assert_eq!(records.len() + dropped, 20_000, "all are there or counted");
    // What a pipe holds, twice 256 KiB, and some of what comes meanwhile.
    assert!(dropped > 10_000, "{dropped}");
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nobody() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let guest = path("logs", Profile::Release);
    let mut command = lunatic([guest.to_str().unwrap(), "flood", "5000"])
        .env_remove("RUST_LOG")
        .into_command();
    let mut host = command.stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
    drop(command);
    reader.read_exact(&mut [0]).unwrap();
    drop(reader);
    let mut stdout = String::new();
    host.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!((host.wait().unwrap().code(), &*stdout), (Some(0), "done\n"));
}

/// Waits until `done` says so, at most as long as a test may take.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_file_takes_the_log_and_is_opened_again_when_it_was_moved_away() {
    let (_folder, at) = folder();
    let (log, moved) = (at("shop.log"), at("shop.log.1"));
    // Confined: the host reaches the folder of its log all the same.
    let mut program = start(&["--log-file", &log], &["steps"], &[]).ready("ready");
    wait_until("a record comes", || read(&log).contains("a step elsewhere\n"));
    for _ in 0..3 {
        fs::rename(&log, &moved).unwrap();
        program.signal("HUP");
        wait_until("a new file comes", || read(&log).contains("a step elsewhere\n"));
        assert!(read(&moved).lines().all(|line| line.ends_with("a step elsewhere")));
    }
    program.signal("TERM");
    let mut stderr = String::new();
    program.stderr.read_to_string(&mut stderr).unwrap();
    assert_eq!((program.host.wait().unwrap().code(), &*stderr), (Some(143), ""));
}

#[test]
fn without_a_log_file_a_hangup_ends_a_program_as_any() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t"));
    if ignored.is_some_and(|ignored| ignored.ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f'])) {
        // Whoever runs this test ignores it, and so do all programs that are started here.
        return;
    }
    let mut program = start(&[], &["steps"], &[]).ready("ready");
    program.signal("HUP");
    assert_eq!(program.host.wait().unwrap().code(), None);
}

/// A service manager: listens for what a program says of itself.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let len = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }
}

#[test]
fn a_service_manager_is_told_what_becomes_of_a_program() {
    let (_folder, at) = folder();
    let (socket, door) = (PathBuf::from(at("notify")), at("door"));
    let manager = Manager::at(&socket);
    let variables = [("NOTIFY_SOCKET", socket.to_str().unwrap())];
    let program = start(&[&format!("--admin={door}")], &["steps"], &variables);
    assert_eq!(manager.hears(), "READY=1\n");
    // The door is open by then.
    lunatic(["status", "--at", &door]).run().code(0);
    program.signal("HUP");
    let reloading = manager.hears();
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .expect(&reloading);
    assert!(usec.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(manager.hears(), "READY=1\n");
    program.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_manager_may_listen_without_a_file() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("lunatic-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let manager = Manager(socket);
    let _program = start(&[], &["steps"], &[("NOTIFY_SOCKET", &format!("@{name}"))]);
    assert_eq!(manager.hears(), "READY=1\n");
    let program = start(&[], &["steps"], &[("NOTIFY_SOCKET", "/no/such/socket")]);
    let mut stderr = String::new();
    let mut program = program;
    program.stderr.read_to_string(&mut stderr).unwrap();
    assert!(
        stderr.contains("NOTIFY_SOCKET") && stderr.contains("/no/such/socket"),
        "{stderr}"
    );
}

#[test]
fn signs_of_life_come_for_as_long_as_a_program_makes_progress() {
    let (_folder, at) = folder();
    let socket = PathBuf::from(at("notify"));
    let manager = Manager::at(&socket);
    let variables = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    // An endless loop of a guest is no trouble of the host.
    let program = start(&["--log-level=off"], &["computing"], &variables);
    assert_eq!(manager.hears(), "READY=1\n");
    (0..5).for_each(|_| assert_eq!(manager.hears(), "WATCHDOG=1\n"));
    // A host that does not run gives none.
    program.signal("STOP");
    let mut left = 0;
    manager.0.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    while manager.0.recv(&mut [0; 64]).is_ok() {
        left += 1;
        assert!(left < 100, "it goes on");
    }
    program.signal("CONT");
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(manager.hears(), "WATCHDOG=1\n");
    // One that is meant for another process is not obeyed.
    drop(program);
    while manager.0.set_nonblocking(true).is_ok() && manager.0.recv(&mut [0; 64]).is_ok() {}
    manager.0.set_nonblocking(false).unwrap();
    let variables = [&variables[..], &[("WATCHDOG_PID", "1")]].concat();
    let program = start(&["--log-level=off"], &["computing"], &variables);
    assert_eq!(manager.hears(), "READY=1\n");
    program.signal("TERM");
    assert_eq!(manager.hears(), "STOPPING=1\n");
}
