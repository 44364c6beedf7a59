//! Programs on three nodes, which are processes of the operating system on loopback. The programs are in
//! `guests/nodes.rs`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use lunatic_tests::guests::{Profile, path, scenarios};
use lunatic_tests::programs::{cargo_lunatic, lunatic};

/// A node that runs.
pub(crate) struct Node {
    pub(crate) host: Child,
    /// The address that others join.
    pub(crate) address: String,
    /// Reads the rest of what it says.
    said: Option<JoinHandle<String>>,
}

impl Node {
    /// Starts a node and waits until others can join it.
    fn start(name: &str, join: &[&str], program: &[&str]) -> Self {
        Self::start_with(name, &["--dev"], join, program)
    }

    /// Starts a node with these flags.
    pub(crate) fn start_with(name: &str, flags: &[&str], join: &[&str], program: &[&str]) -> Self {
        let mut args = vec!["node", "--name", name, "--allow-net", "*"];
        args.extend(flags);
        let attributes: &[&str] = match name {
            "b" => &["zone=b is=elsewhere"],
            "c" => &["zone=here", "disk="],
            _ => &["zone=here"],
        };
        args.extend(attributes.iter().flat_map(|attribute| ["--attribute", *attribute]));
        for address in join {
            args.extend(["--join", address]);
        }
        args.extend(program);
        let mut command = lunatic(args).into_command();
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut host = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(host.stderr.take().unwrap());
        let address = address_in(&mut said, name);
        // What it says later is not waited for, but must not block it.
        let said = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = said.read_to_string(&mut rest);
            eprint!("{rest}");
            rest
        });
        let said = Some(said);
        Self { host, address, said }
    }

    /// Waits until the node ends. Returns its exit code, and what it has said on standard error.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        let code = self.host.wait().unwrap().code();
        (code, self.said.take().unwrap().join().unwrap())
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.host.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

/// The address that a node says it listens on.
fn address_in(said: &mut impl std::io::BufRead, name: &str) -> String {
    let (start, mut all) = (format!("node {name} listens on "), String::new());
    loop {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "the node does not start: {all}");
        if let Some(address) = line.strip_prefix(&start) {
            return address.trim().to_owned();
        }
        all.push_str(&line);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

/// Runs a scenario on `a`, with `b` and `c` beside it. Kills `b` when the program says so.
fn run(scenario: &str) {
    let mut b = Node::start("b", &[], &[]);
    let c = Node::start("c", &[&b.address], &[]);
    let guest = path("nodes", Profile::Release);
    let program = [guest.to_str().unwrap(), scenario];
    // It learns of `b` from `c`.
    let a = Node::start("a", &[&c.address], &program);
    let prints = scenario == "visitors_have_the_names_and_the_output_of_their_parents";
    play(a, &mut b, if prints { "seen\nseen\nseen\n" } else { "" });
}

/// Waits until the program on `a` has ended well. Kills and stops `b` when the program says so. `expected` is what `b` prints.
pub(crate) fn play(mut a: Node, b: &mut Node, expected: &str) {
    let mut last = String::new();
    for line in BufReader::new(a.host.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        match &*last {
            "kill b" => b.host.kill().unwrap(),
            "stop b" => b.signal("STOP"),
            "go on b" => b.signal("CONT"),
            _ => {}
        }
    }
    assert_eq!(last, "ok");
    assert_eq!(a.host.wait().unwrap().code(), Some(0));
    b.signal("TERM");
    let mut printed = String::new();
    let stdout = b.host.stdout.take().unwrap();
    BufReader::new(stdout).read_to_string(&mut printed).unwrap();
    assert_eq!(printed, expected);
}

macro_rules! on_three_nodes {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_scenario_of_nodes_has_a_test() {
            assert_eq!(scenarios("nodes"), [$(stringify!($name),)* "nodes_are_listed", "who_asks_a_node_that_stands_still_sends_it_little", "three_nodes_of_one_process", "without_a_cluster"]);
        }
    };
}

on_three_nodes![
    children_run_on_the_nodes_that_were_chosen,
    calls_and_messages_go_between_nodes,
    links_monitors_and_kills_go_between_nodes,
    a_lost_node,
    a_node_that_stands_still,
    global_names_and_groups,
    a_sandbox_sees_no_nodes,
    visitors_have_the_names_and_the_output_of_their_parents,
    sockets_stay,
    timers_send_to_other_nodes,
    actors_and_supervised_children_run_on_other_nodes,
    a_slow_receiver_holds_up_its_senders,
    channels_work_on_all_nodes,
    channels_of_a_lost_node_are_closed,
    attributes_of_nodes,
    a_child_elsewhere_works_for_the_request_of_its_parent,
    a_call_takes_no_longer_than_its_timeout,
];

#[test]
fn nodes_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock").to_str().unwrap().to_owned();
    let mut b = Node::start("b", &[], &[]);
    let (guest, admin) = (path("nodes", Profile::Release), format!("--admin={socket}"));
    let program = [&*admin, guest.to_str().unwrap(), "nodes_are_listed"];
    let mut a = Node::start("a", &[&b.address], &program);
    for line in BufReader::new(a.host.stdout.take().unwrap()).lines() {
        if line.unwrap() != "look" {
            continue;
        }
        let listed = lunatic(["list", "nodes", "--at", &socket]).run().code(0).stdout;
        let words = |line: &str| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        let rows: Vec<_> = listed.lines().map(words).collect();
        assert_eq!(rows[0], "NAME STATE QUEUED ATTRIBUTES");
        assert_eq!(rows[1], "a this 0 B zone=here");
        // Something may be on its way to it.
        assert!(
            rows[2].starts_with("b connected ") && rows[2].ends_with(" zone=b is=elsewhere"),
            "{listed}"
        );
        b.host.kill().unwrap();
    }
    assert_eq!(a.host.wait().unwrap().code(), Some(0));
}

#[test]
fn who_asks_a_node_that_stands_still_sends_it_little() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door.sock").to_str().unwrap().to_owned();
    let b = Node::start("b", &[], &[]);
    let (guest, admin) = (path("nodes", Profile::Release), format!("--admin={socket}"));
    let scenario = "who_asks_a_node_that_stands_still_sends_it_little";
    let mut a = Node::start("a", &[&b.address], &[&*admin, guest.to_str().unwrap(), scenario]);
    let mut last = String::new();
    for line in BufReader::new(a.host.stdout.take().unwrap()).lines() {
        last = line.unwrap();
        match &*last {
            "stop b" => b.signal("STOP"),
            "look" => {
                let status = ["cluster", "status", "--json", "--at", &socket];
                let status: serde_json::Value = serde_json::from_str(&lunatic(status).run().code(0).stdout).unwrap();
                let nodes = status["nodes"].as_array().unwrap();
                let queued = nodes.iter().find(|node| node["name"] == "b").unwrap()["queued_bytes"].as_u64();
                // Without a limit it would be some 15 MiB.
                assert!(queued.unwrap() < 3 << 20, "{status}");
                b.signal("CONT");
            }
            _ => {}
        }
    }
    assert_eq!(last, "ok");
    assert_eq!(a.host.wait().unwrap().code(), Some(0));
}

#[test]
fn three_nodes_of_one_process() {
    let guest = path("nodes", Profile::Release);
    let args = [
        "run",
        "--built",
        guest.to_str().unwrap(),
        "--nodes",
        "3",
        "three_nodes_of_one_process",
    ];
    let finished = cargo_lunatic(args).run().code(0);
    assert_eq!(finished.stdout, "ok\n");
}

#[test]
fn primes_are_counted_on_three_nodes() {
    let guest = path("cluster", Profile::Release);
    let finished = cargo_lunatic(["run", "--built", guest.to_str().unwrap(), "--nodes", "3"])
        .run()
        .code(0);
    assert_eq!(finished.stdout, "21221 primes below 240000\n");
}

#[test]
fn without_a_cluster() {
    lunatic_tests::guests::program("nodes")
        .args(["without_a_cluster"])
        .run()
        .normal();
}

#[test]
fn attributes_have_a_form() {
    let ended = lunatic(["node", "--dev", "--attribute", "zone"]).run().code(1);
    assert!(
        ended.stderr.contains("`zone` is not of the form key=value"),
        "{}",
        ended.stderr
    );
}

#[test]
fn without_certificates_a_node_stays_on_its_machine() {
    for flags in [["--listen", "0.0.0.0:0"], ["--join", "192.0.2.1:7447"]] {
        let args = [&["node", "--dev"], &flags[..]].concat();
        let ended = lunatic(args).run().code(1);
        assert!(ended.stderr.contains("is not on loopback"), "{}", ended.stderr);
    }
}
