//! The commands that look into a running program. The programs are in `guests/stopping.rs`.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use lunatic_tests::programs::{Finished, lunatic};

use crate::stopping::{Ready, start};

/// A program with a door of its own.
pub(crate) struct Program {
    _folder: tempfile::TempDir,
    pub(crate) socket: String,
    ready: Ready,
}

pub(crate) fn program(args: &[&str]) -> Program {
    program_with(&[], args)
}

/// A program with a door of its own, and more flags of the host.
pub(crate) fn program_with(flags: &[&str], args: &[&str]) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock").to_str().unwrap().to_owned();
    let ready = start(&[&[&*format!("--admin={socket}")], flags].concat(), args);
    Program {
        _folder: folder,
        socket,
        ready,
    }
}

impl Program {
    pub(crate) fn ask(&self, args: &[&str]) -> Finished {
        lunatic([args, &["--at", &self.socket]].concat()).run()
    }

    /// How it ended: its exit code, and what it wrote.
    pub(crate) fn end(self) -> (Option<i32>, String, String) {
        self.ready.end()
    }
}

#[test]
fn a_tree_is_listed_and_drawn() {
    let program = program(&["a_tree"]);
    let listed = program.ask(&["ps"]).code(0).stdout;
    assert_eq!(listed.lines().count(), 8, "{listed}");
    assert!(listed.lines().nth(1).unwrap().ends_with("main"), "{listed}");
    let drawn = program.ask(&["tree"]).code(0).stdout;
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(lines[0].starts_with("#1 main"), "{drawn}");
    assert!(
        lines[1].starts_with("└─ #2 lunatic::supervisor::Supervisor<stopping::Tree>"),
        "{drawn}"
    );
    assert!(
        lines[2].starts_with("   ├─ #3 stopping::Worker  waits for mail"),
        "{drawn}"
    );
    assert!(lines[4].starts_with("   │  ├─ #5 stopping::Worker"), "{drawn}");
    assert!(lines[6].starts_with("   └─ #7 stopping::Worker"), "{drawn}");
}

#[test]
fn a_process_is_shown_with_those_it_knows() {
    let program = program(&["a_tree"]);
    let shown = program.ask(&["inspect", "4"]).code(0).stdout;
    let has = |name: &str, value: &str| {
        let line = shown.lines().find(|line| line.starts_with(name));
        assert!(line.is_some_and(|line| line.ends_with(value)), "{name}: {shown}");
    };
    has("parent", "#2");
    has("state", "waiting for mail");
    has("last ran", " ago");
    has("traps exits", "yes");
    has("linked to", "#2 #5 #6");
    assert!(shown.contains("  0: "), "{shown}");
    assert!(shown.contains("lunatic/src/actor/life.rs:"), "{shown}");
    let json = program.ask(&["inspect", "#4", "--json"]).code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["links"], serde_json::json!(["#2", "#5", "#6"]));
    assert!(
        json["stack"]["frames"]
            .as_array()
            .is_some_and(|frames| frames.len() > 3),
        "{json}"
    );
    let error = program.ask(&["inspect", "77"]).code(1).stderr;
    assert!(error.contains("there is no such process"), "{error}");
    let error = program.ask(&["inspect", "what"]).code(2).stderr;
    assert!(error.contains("an id is a number"), "{error}");
}

#[test]
fn many_are_filtered_and_paged() {
    let program = program(&["many", "5000"]);
    let page = program
        .ask(&["ps", "--name", "Idle", "--skip", "4995", "--limit", "3"])
        .code(0)
        .stdout;
    assert_eq!(page.lines().count(), 5, "{page}");
    assert!(page.ends_with("4996 to 4998 of 5000\n"), "{page}");
    let drawn = program.ask(&["tree"]).code(0).stdout;
    assert!(drawn.ends_with("   └─ … and 4995 more: stopping::Idle\n"), "{drawn}");
    let json = program
        .ask(&["ps", "--sort", "memory", "--limit", "1", "--json"])
        .code(0)
        .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["matched"].as_u64(), json["processes"].as_array().map(Vec::len)),
        (Some(5002), Some(1))
    );
}

#[test]
fn processes_are_killed_and_told_to_exit_and_the_program_stopped() {
    let tree = program(&["a_tree"]);
    tree.ask(&["kill", "3"]).code(0);
    let crowd = program(&["many", "3"]);
    crowd.ask(&["exit", "3", "an error of ours"]).code(0);
    let mut said = Vec::new();
    for program in [tree, crowd] {
        program.ask(&["stop"]).code(0);
        let (code, _, stderr) = program.ready.end();
        assert_eq!(code, Some(0), "{stderr}");
        said.push(stderr);
    }
    assert!(
        said[0].contains("restarts child `first`, which was killed"),
        "{}",
        said[0]
    );
    assert!(
        said[1].contains("restarts child `0`, which ended with an error: an error of ours"),
        "{}",
        said[1]
    );
}

#[test]
fn what_processes_have_is_listed() {
    let program = program_with(
        &[
            "--allow-net=127.0.0.1",
            "--allow-net=bind:127.0.0.1",
            "--max-processes=50",
        ],
        &["belongings"],
    );
    let list = |args: &[&str]| {
        let text = program.ask(&[&["list"], args].concat()).code(0).stdout;
        let lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>()
    };
    // The reader may have to be waited for.
    let mut channels = list(&["channels"]);
    while channels.len() < 4 || !channels[3].ends_with("1 0") {
        channels = list(&["channels"]);
    }
    assert_eq!(
        channels[0],
        "CHANNEL OWNER MESSAGES BYTES OLDEST BOUND RECEIVERS SENDERS"
    );
    assert!(
        channels[1].contains(" #1 2 ") && channels[1].ends_with(" 8 0 0"),
        "{channels:?}"
    );
    assert!(
        channels[2].contains(" #1 0 ") && channels[2].ends_with(" - 0 0"),
        "{channels:?}"
    );
    assert!(
        channels[3].contains(" #2 0 ") && channels[3].ends_with(" - 1 0"),
        "{channels:?}"
    );
    assert_eq!(list(&["names"]), ["PROCESS NAME", "#2 a\\u{1b}[2Jreader", "#1 shop"]);
    assert_eq!(
        list(&["groups", "--skip", "1"]),
        ["PROCESS NAME", "#2 room", "2 to 2 of 2"]
    );
    let address = program.ready.said();
    let sockets = list(&["sockets"]);
    assert_eq!(sockets[0], "SOCKET OWNER KIND LOCAL PEER");
    assert!(
        sockets[1].ends_with(&format!(" #1 tcp listener {address} -")),
        "{sockets:?}"
    );
    let modules = list(&["modules"]);
    assert!(
        modules[1].starts_with("2 ") && modules[1].contains("stopping"),
        "{modules:?}"
    );
    let workers: serde_json::Value = {
        let json = program.ask(&["list", "workers", "--json"]).code(0).stdout;
        serde_json::from_str(&json).unwrap()
    };
    assert!(
        workers["matched"].as_u64() >= Some(1) && workers["rows"][0]["cpu_ms"].is_number(),
        "{workers}"
    );
    let shown = program.ask(&["inspect", "2"]).code(0).stdout;
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: Vec<_> = shown.lines().map(words).collect();
    for line in [
        "may spawn configure names compile inspect metrics trace upgrade nodes",
        "folders none",
        "network 127.0.0.1 bind:127.0.0.1",
        "processes of its budget 2 of 50",
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line}: {shown:?}");
    }
    let error = program.ask(&["list", "monsters"]).code(2).stderr;
    assert!(error.contains("channels, names, groups"), "{error}");
}

#[test]
fn a_profile_is_printed_and_drawn() {
    let program = program(&["a_tree"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flames.svg");
    let args = ["profile", "--seconds", "0.1", "--output", file.to_str().unwrap()];
    let printed = program.ask(&args).code(0).stdout;
    assert!(printed.contains(" samples, a millisecond each"), "{printed}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("<svg "));
    let error = program.ask(&["profile", "--seconds", "61"]).code(1).stderr;
    assert!(error.contains("give a number up to 60"), "{error}");
}

#[test]
fn curl_is_a_client() {
    let program = program(&["a_tree"]);
    let answer = Command::new("curl")
        .args([
            "--silent",
            "--fail",
            "--unix-socket",
            &program.socket,
            "http://here/v1/processes?limit=2",
        ])
        .output()
        .expect("curl is there");
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (answer["matched"].as_u64(), answer["processes"][1]["parent"].as_str()),
        (Some(7), Some("#1"))
    );
}

#[test]
fn programs_are_found_by_themselves_and_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let find = |args: &[&str]| lunatic(args).env("XDG_RUNTIME_DIR", folder.path()).run();
    let none = find(&["ps"]).code(1);
    assert!(none.stderr.contains("lunatic run --admin"), "{none}");
    let begin = || crate::stopping::start_with(&["--admin"], &["a_tree"], &[("XDG_RUNTIME_DIR", folder.path())]);
    let first = begin();
    assert!(find(&["status"]).code(0).stdout.contains("stopping"));
    let second = begin();
    let several = find(&["ps"]).code(1);
    assert!(several.stderr.contains("select one with `--at`"), "{several}");
    find(&["stop", "--at", &second.id().to_string()]).code(0);
    second.end();
    find(&["ps", "--at", "stopping"]).code(0);
    // The file that it runs exists, and is no socket.
    let view: serde_json::Value = serde_json::from_str(&find(&["status", "--json"]).code(0).stdout).unwrap();
    let file = view["program"].as_str().expect("it is known which file it runs");
    assert!(Path::new(file).exists(), "{file}");
    find(&["ps", "--at", file]).code(0);
    first.signal("KILL");
    first.end();
    // A socket that was left behind is no program.
    find(&["ps"]).code(1);
    assert_eq!(Path::new(folder.path()).join("lunatic").read_dir().unwrap().count(), 0);
}

/// `script` gives a program a terminal, and this is what its user types.
#[test]
fn top_draws_a_page_and_obeys_keys() {
    let program = program(&["a_tree"]);
    let host = lunatic_tests::programs::path("lunatic");
    let command = format!("stty rows 24 cols 100; {} top --at {}", host.display(), program.socket);
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script is there");
    let (mut keys, mut shown) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut screen = String::new();
    let mut until = |text: &str| {
        let mut bytes = [0; 4096];
        while !screen.contains(text) {
            let read = shown.read(&mut bytes).unwrap();
            assert!(read > 0, "{text:?} is not in {screen:?}");
            screen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        screen.clear();
    };
    until("by mailbox");
    keys.write_all(b"s").unwrap();
    until("by mailbox-bytes");
    keys.write_all(b"/Branch").unwrap();
    until("name: Branch");
    keys.write_all(b"\rq").unwrap();
    assert!(terminal.wait().unwrap().success());
    let none = program.ask(&["top"]).code(1);
    assert!(none.stderr.contains("needs a terminal"), "{none}");
}
