//! Programs on three nodes with certificates, each on an address of its own, as on three machines. The programs are in
//! `guests/nodes.rs`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lunatic_tests::guests::{Profile, bytes, path};
use lunatic_tests::host::PATIENCE;
use lunatic_tests::programs::{Finished, lunatic};
use serde_json::Value;

use crate::nodes::{Node, play};

/// A cluster whose authority is in a folder of its own.
struct Cluster(tempfile::TempDir);

impl Cluster {
    fn new() -> Self {
        let cluster = Self(tempfile::tempdir().unwrap());
        cluster.run(&["init", "demo"]).code(0);
        for name in ["a", "b", "c"] {
            cluster.run(&["invite", name]).code(0);
        }
        cluster
    }

    fn run(&self, args: &[&str]) -> Finished {
        let args = ["cluster"].iter().chain(args);
        lunatic(args).current_dir(self.0.path()).run()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, text: &str) -> String {
        fs::write(self.path(file), text).unwrap();
        self.path(file).to_str().unwrap().to_owned()
    }

    /// Starts a node on an address of its own.
    fn node(&self, name: &str, flags: &[&str], join: &[&Node], program: &[&str]) -> Node {
        let host = name.as_bytes()[0] - b'a' + 1;
        let (identity, revoked) = (self.path(&format!("{name}.pem")), self.path("demo/revoked.pem"));
        let listen = format!("127.0.0.{host}:0");
        let own = [
            "--identity",
            identity.to_str().unwrap(),
            "--revoked",
            revoked.to_str().unwrap(),
            "--listen",
            &listen,
        ];
        let flags = [&own[..], flags].concat();
        let join: Vec<_> = join.iter().map(|node| &*node.address).collect();
        let node = Node::start_with(name, &flags, &join, program);
        assert!(
            node.address.starts_with(&format!("127.0.0.{host}:")),
            "{}",
            node.address
        );
        node
    }

    /// Runs a scenario on `a`, with `b` and `c` beside it.
    fn play(&self, scenario: &str) {
        let mut b = self.node("b", &[], &[], &[]);
        let c = self.node("c", &[], &[&b], &[]);
        let guest = path("nodes", Profile::Release);
        // It learns of `b` from `c`.
        let a = self.node("a", &[], &[&c], &[guest.to_str().unwrap(), scenario]);
        play(a, &mut b, "");
    }
}

/// What a node says about the others, by its admin door.
fn status(door: &Path) -> Value {
    let status = lunatic(["cluster", "status", "--json", "--at", door.to_str().unwrap()])
        .run()
        .code(0);
    serde_json::from_str(&status.stdout).unwrap()
}

/// A figure that a node shows to Prometheus.
fn figure(door: &Path, series: &str) -> u64 {
    let mut stream = UnixStream::connect(door).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    value
        .unwrap_or_else(|| panic!("{series}: {text}"))
        .trim()
        .parse()
        .unwrap()
}

/// Waits until what a node says of another one is so.
fn until(door: &Path, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = status(door);
        let nodes = status["nodes"].as_array().unwrap();
        if let Some(node) = nodes.iter().find(|node| node["name"] == name && is_so(node)) {
            return node.clone();
        }
        assert!(start.elapsed() < PATIENCE, "{status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nodes_with_certificates_work_as_one_system() {
    let cluster = Cluster::new();
    cluster.play("children_run_on_the_nodes_that_were_chosen");
    cluster.play("calls_and_messages_go_between_nodes");
    cluster.play("links_monitors_and_kills_go_between_nodes");
    cluster.play("global_names_and_groups");
}

#[test]
fn a_node_with_a_certificate_is_lost_when_it_is_killed() {
    Cluster::new().play("a_lost_node");
}

#[test]
fn a_node_with_a_certificate_is_lost_while_it_stands_still() {
    Cluster::new().play("a_node_that_stands_still");
}

#[test]
fn a_cluster_shows_its_nodes() {
    let cluster = Cluster::new();
    let door = cluster.path("door");
    let a = cluster.node("a", &[&format!("--admin={}", door.display())], &[], &[]);
    let mut b = cluster.node("b", &[], &[&a], &[]);
    let up = until(&door, "b", |node| node["is_up"] == true);
    assert!(
        up["up_ms"].is_u64() && up["losses"] == 0 && up["last_loss"].is_null(),
        "{up}"
    );
    assert!(
        up["sent_bytes"].as_u64() > Some(100) && up["received_bytes"].as_u64() > Some(100),
        "{up}"
    );
    let nodes = |state: &str| figure(&door, &format!("lunatic_cluster_nodes{{state=\"{state}\"}}"));
    let bytes = |direction: &str| {
        figure(
            &door,
            &format!("lunatic_cluster_io_bytes_total{{direction=\"{direction}\"}}"),
        )
    };
    assert_eq!((nodes("connected"), nodes("unreachable")), (1, 0));
    let (sent, received) = (bytes("transmit"), bytes("receive"));
    assert!(sent > 100 && received > 100, "{sent} {received}");
    b.host.kill().unwrap();
    let down = until(&door, "b", |node| node["is_up"] == false);
    assert!(down["losses"] == 1 && down["up_ms"].is_null(), "{down}");
    assert_eq!((nodes("connected"), nodes("unreachable")), (0, 1));
    assert_eq!(figure(&door, "lunatic_cluster_losses_total"), 1);
    // A later start of the same node.
    drop(b);
    let _b = cluster.node("b", &[], &[&a], &[]);
    let again = until(&door, "b", |node| node["is_up"] == true);
    assert_eq!(again["losses"], 1, "{again}");
    assert!(
        bytes("transmit") > sent && bytes("receive") > received,
        "totals never shrink"
    );
    assert!(again["incarnation"].as_str() > up["incarnation"].as_str(), "{again}");
    let table = lunatic(["cluster", "status", "--at", door.to_str().unwrap()])
        .run()
        .code(0)
        .stdout;
    assert!(
        table.starts_with("node a of cluster demo") && table.contains("connected"),
        "{table}"
    );
    let alone = lunatic(["cluster", "status", "--at", "none"]).run().code(1);
    assert!(alone.stderr.contains("no running program"), "{}", alone.stderr);
}

#[test]
fn a_stranger_does_not_get_in() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let door = cluster.path("door");
    let a = cluster.node("a", &[&format!("--admin={}", door.display())], &[], &[]);
    // The name of the cluster is the same, its authority is not.
    let _stranger = other.node("b", &[], &[&a], &[]);
    let _c = cluster.node("c", &[], &[&a], &[]);
    until(&door, "c", |node| node["is_up"] == true);
    assert_eq!(status(&door)["nodes"].as_array().unwrap().len(), 1);
    // Nor does a node without a certificate.
    let dev = Node::start_with("d", &["--dev", "--cluster", "demo"], &[&a.address], &[]);
    let restarted = {
        drop(dev);
        cluster.node("b", &[], &[&a], &[])
    };
    until(&door, "b", |node| node["is_up"] == true);
    assert_eq!(status(&door)["nodes"].as_array().unwrap().len(), 2);
    drop(restarted);
}

#[test]
fn a_revoked_node_is_lost_and_does_not_come_back() {
    let cluster = Cluster::new();
    let door = cluster.path("door");
    let a = cluster.node("a", &[&format!("--admin={}", door.display())], &[], &[]);
    let b = cluster.node("b", &[], &[&a], &[]);
    let _c = cluster.node("c", &[], &[&a], &[]);
    until(&door, "b", |node| node["is_up"] == true);
    until(&door, "c", |node| node["is_up"] == true);
    for says in ["revoked 1 certificate of node b", "were revoked before"] {
        let revoked = cluster.run(&["revoke", "b"]).code(0);
        assert!(revoked.stdout.contains(says), "{}", revoked.stdout);
    }
    until(&door, "b", |node| node["is_up"] == false);
    drop(b);
    // Its own file of revoked certificates says so too.
    let identity = cluster.path("b.pem");
    let args = [
        "node",
        "--identity",
        identity.to_str().unwrap(),
        "--join",
        &a.address,
        "--listen",
        "127.0.0.2:0",
    ];
    let revoked = cluster.path("demo/revoked.pem");
    let refused = lunatic(args.iter().chain(&["--revoked", revoked.to_str().unwrap()]))
        .run()
        .code(1);
    assert!(refused.stderr.contains("not valid here"), "{}", refused.stderr);
    // With another certificate, it is welcome.
    cluster.run(&["invite", "b", "--replace"]).code(0);
    let _b = cluster.node("b", &[], &[&a], &[]);
    until(&door, "b", |node| node["is_up"] == true);
    until(&door, "c", |node| node["is_up"] == true && node["losses"] == 0);
}

#[test]
fn the_files_of_a_node_can_be_links_to_other_folders() {
    let (cluster, secrets) = (Cluster::new(), tempfile::tempdir().unwrap());
    for file in ["a.pem", "demo/revoked.pem"] {
        let target = secrets.path().join(Path::new(file).file_name().unwrap());
        fs::rename(cluster.path(file), &target).unwrap();
        std::os::unix::fs::symlink(&target, cluster.path(file)).unwrap();
    }
    let door = cluster.path("door");
    let a = cluster.node("a", &[&format!("--admin={}", door.display())], &[], &[]);
    let _b = cluster.node("b", &[], &[&a], &[]);
    until(&door, "b", |node| node["is_up"] == true);
    // It reads them again while it runs: the list is a file in its folder now.
    cluster.run(&["revoke", "b"]).code(0);
    until(&door, "b", |node| node["is_up"] == false);
}

#[test]
fn a_policy_says_what_a_node_may_spawn() {
    let cluster = Cluster::new();
    let guest = path("nodes", Profile::Release);
    let hash = blake3::hash(&bytes("nodes", Profile::Release)).to_hex();
    let wrong = "0".repeat(64);
    for (rule, refusal) in [
        (
            "name = 'c'\nspawn = true".to_owned(),
            Some("may not spawn processes here"),
        ),
        (
            format!("name = 'a'\nspawn = true\nrun = ['{wrong}']"),
            Some("may not run this module there"),
        ),
        (
            "name = 'a'\nspawn = true\nrights = ['tree-processes=0']".to_owned(),
            Some("processes"),
        ),
        (
            format!(
                "name = '*'\nspawn = true\nlink = true\nrun = ['{hash}']\nrights = ['allow=nodes', 'tree-processes=1']"
            ),
            None,
        ),
    ] {
        let policy = cluster.write("policy.toml", &format!("[[peer]]\n{rule}\n"));
        let b = cluster.node("b", &["--policy", &policy], &[], &[]);
        let c = cluster.node("c", &[], &[&b], &[]);
        let program = [guest.to_str().unwrap(), "children_run_on_the_nodes_that_were_chosen"];
        let (code, said) = cluster.node("a", &[], &[&c], &program).finish();
        match refusal {
            Some(refusal) => assert!(code != Some(0) && said.contains(refusal), "{rule}: {said}"),
            None => assert_eq!(code, Some(0), "{said}"),
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused_with_a_reason() {
    let cluster = Cluster::new();
    let identity = cluster.path("a.pem");
    let policy = cluster.write("bad.toml", "[[peer]]\nname = 'a'\nspwan = true\n");
    for (flags, part) in [
        (&["--name", "b"][..], "is the identity of node a"),
        (&["--policy", &policy], "spwan"),
        (&["--revoked", "missing.pem"], "missing.pem"),
        (&["--dev"], "cannot be used with"),
        (&["--cluster", "demo"], "cannot be used with"),
    ] {
        let args = [
            "node",
            "--listen",
            "127.0.0.1:0",
            "--identity",
            identity.to_str().unwrap(),
        ];
        let finished = lunatic(args.iter().chain(flags)).run();
        assert!(finished.stderr.contains(part), "{flags:?}: {}", finished.stderr);
    }
    let finished = lunatic(["node"]).run();
    assert!(
        finished.stderr.contains("--identity") && finished.stderr.contains("--dev"),
        "{}",
        finished.stderr
    );
    for (args, part) in [
        (&["invite", "a"][..], "exists"),
        (&["invite", "a/b"], "cannot be the name of a node"),
        (&["init", "demo"], "demo"),
        (&["revoke", "nobody"], "no certificate"),
        (&["invite", "x", "--cluster", "nowhere"], "nowhere"),
    ] {
        let finished = cluster.run(args).code(1);
        assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
    }
}
