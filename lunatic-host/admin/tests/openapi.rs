//! The description of the door's paths and answers, compared with the door.

mod opened;
mod schema;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lunatic_admin::list::{ChannelRow, MailRow, ModuleRow, NameRow, NodeRow, SocketRow, VersionRow, WorkerRow};
use lunatic_admin::stack::{ProfileView, StackView};
use lunatic_admin::upgrade::UpgradeView;
use lunatic_admin::view::{
    AlarmsView, ClusterView, ErrorView, EventView, LogLevelView, PageView, ProcessView, SystemView,
};
use opened::Opened;
use schema::Description;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Has a name, a group, mail, and a channel with a message, and sleeps for an hour.
const PROGRAM: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (import "lunatic::process" "this" (func $this (param i32)))
    (import "lunatic::registry" "register" (func $register (param i32 i32 i64 i64) (result i32)))
    (import "lunatic::registry" "join_group" (func $join (param i32 i32 i64 i64) (result i32)))
    (import "lunatic::mailbox" "send" (func $mail (param i64 i64 i64 i32 i32) (result i32)))
    (import "lunatic::channel" "new" (func $channel (param i64 i32) (result i32)))
    (import "lunatic::channel" "try_send" (func $send (param i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "name")
    (func (export "_start")
        (call $this (i32.const 16))
        (if (call $register (i32.const 0) (i32.const 4) (i64.load (i32.const 16)) (i64.load (i32.const 24)))
            (then unreachable))
        (if (call $join (i32.const 0) (i32.const 4) (i64.load (i32.const 16)) (i64.load (i32.const 24)))
            (then unreachable))
        (if (call $mail (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i64.const 100) (i32.const 0) (i32.const 4))
            (then unreachable))
        (if (call $channel (i64.const 0) (i32.const 32)) (then unreachable))
        (if (call $send (i64.load (i32.const 32)) (i64.load (i32.const 40)) (i32.const 0) (i32.const 4))
            (then unreachable))
        (call $sleep (i64.const 3600000000000))))"#;

/// An answer: its status, its type, and its body.
struct Answer {
    status: u16,
    kind: String,
    body: String,
}

impl Opened {
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let len = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            kind: header("content-type:").split(';').next().unwrap().to_owned(),
            body: body.to_owned(),
        }
    }

    fn description(&self) -> Description {
        let answer = self.ask("GET", "/v1/openapi.json", b"");
        assert_eq!((answer.status, &*answer.kind), (200, "application/json"));
        Description(serde_json::from_str(&answer.body).unwrap())
    }
}

/// Checks the answer to a request against what its path describes; returns its body.
fn check(
    opened: &Opened,
    all: &Description,
    (method, path): (&str, &str),
    url: &str,
    body: &[u8],
    status: u16,
) -> String {
    let answer = opened.ask(method, url, body);
    assert_eq!(answer.status, status, "{method} {url}: {}", answer.body);
    let operation = &all.0["paths"][path][method.to_lowercase()];
    assert!(operation.is_object(), "{method} {path} is not described");
    let name = if status < 300 {
        status.to_string()
    } else {
        "default".to_owned()
    };
    let described = all.resolve(&operation["responses"][name]);
    let schema = &described["content"][&answer.kind]["schema"];
    assert!(schema.is_object(), "{method} {path} answers with {}", answer.kind);
    if answer.kind == "application/json" {
        let value: Value = serde_json::from_str(&answer.body).unwrap();
        all.check(url, schema, &value);
    }
    answer.body
}

#[test]
fn answers_are_as_they_are_described() {
    let opened = opened::open(PROGRAM);
    let all = opened.description();
    let start = Instant::now();
    // Until it has sent its message.
    while !opened.ask("GET", "/v1/channels", b"").body.contains(r#""messages":1"#) {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not begin");
    }
    let get = |path, url, status| check(&opened, &all, ("GET", path), url, b"", status);
    let post = |path, url, status| check(&opened, &all, ("POST", path), url, b"", status);
    for path in [
        "/v1",
        "/v1/openapi.json",
        "/v1/system",
        "/metrics",
        "/v1/processes",
        "/v1/alarms",
        "/v1/channels",
        "/v1/names",
        "/v1/groups",
        "/v1/sockets",
        "/v1/modules",
        "/v1/workers",
        "/v1/nodes",
        "/v1/versions",
    ] {
        get(path, path, 200);
    }
    for (path, row) in [
        ("/v1/channels", "\"oldest_ms\":"),
        ("/v1/names", "\"name\":\"name\""),
        ("/v1/groups", "\"name\":\"name\""),
        ("/v1/workers", "\"steals\":"),
    ] {
        let body = get(path, path, 200);
        assert!(body.contains(row), "{path}: {body}");
    }
    get("/v1/processes", "/v1/processes?children=count&order=oldest", 200);
    get("/v1/processes/{id}", "/v1/processes/1", 200);
    get("/v1/processes/{id}/stack", "/v1/processes/1/stack", 200);
    let mail = get("/v1/processes/{id}/mail", "/v1/processes/1/mail?limit=3", 200);
    assert!(mail.contains(r##""from":"#1","kind":"message","len":4"##), "{mail}");
    let events = get("/v1/events", "/v1/events?kinds=spawned&seconds=1", 200);
    for line in events.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event = serde_json::from_str(line).unwrap();
        all.check("an event", all.component("Event"), &event);
    }
    post("/v1/profile", "/v1/profile?seconds=0.05&waiting=yes&by=process", 200);
    post("/v1/processes/{id}/dump", "/v1/processes/1/dump", 200);
    // Those that fail.
    get("/v1/processes/{id}", "/v1/processes/77", 404);
    get("/v1/processes", "/v1/processes?limit=x", 400);
    get("/v1/cluster", "/v1/cluster", 404);
    get("/v1/upgrade", "/v1/upgrade", 404);
    get("/v1/log-level", "/v1/log-level", 404);
    let put = ("PUT", "/v1/log-level");
    check(&opened, &all, put, "/v1/log-level?filter=info", b"", 404);
    post("/v1/upgrade/cancel", "/v1/upgrade/cancel", 404);
    // Those that change something, at last.
    // A module in the text format is one, too; another than the one that runs.
    let module = PROGRAM.replace("3600000000000", "3600000000001").into_bytes();
    check(
        &opened,
        &all,
        ("POST", "/v1/upgrade"),
        "/v1/upgrade?rehearse=yes",
        &module,
        202,
    );
    get("/v1/upgrade", "/v1/upgrade", 200);
    post("/v1/processes/{id}/exit", "/v1/processes/77/exit", 404);
    post("/v1/shutdown", "/v1/shutdown", 200);
    opened.system.wait();
    let opened = opened::open(PROGRAM);
    check(
        &opened,
        &all,
        ("POST", "/v1/processes/{id}/exit"),
        "/v1/processes/1/exit",
        b"",
        200,
    );
    opened.system.wait();
    let opened = opened::open(PROGRAM);
    check(
        &opened,
        &all,
        ("POST", "/v1/processes/{id}/kill"),
        "/v1/processes/1/kill",
        b"",
        200,
    );
}

/// The list for people has the same paths.
#[test]
fn each_path_is_described() {
    let opened = opened::open(PROGRAM);
    let all = opened.description();
    let mut described = BTreeSet::new();
    for (path, operations) in all.0["paths"].as_object().unwrap() {
        let methods = operations
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters");
        described.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let mut listed = BTreeSet::from(["GET /v1".to_owned()]);
    for line in opened.ask("GET", "/v1", b"").body.lines() {
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default();
        if !["GET", "POST", "PUT"].contains(&method) {
            continue;
        }
        // Others of the same kind are in the text.
        let paths = words.map(|word| word.trim_end_matches([',', ';']));
        for path in paths.filter(|word| word.starts_with("/v1/") || word.starts_with("/metrics")) {
            let path = path.split('?').next().unwrap().replace("/ID", "/{id}");
            listed.insert(format!("{method} {path}"));
        }
    }
    assert_eq!(described, listed);
}

/// A value with all fields that are described is one of the type, and the type has no others.
fn check_type<T: Serialize + DeserializeOwned>(all: &Description, name: &str) {
    let example = all.example(all.component(name));
    all.check(name, all.component(name), &example);
    let value: T = serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(serde_json::to_value(value).unwrap(), example, "{name}");
}

#[test]
fn each_type_is_described_with_all_its_fields() {
    let all = opened::open(PROGRAM).description();
    check_type::<SystemView>(&all, "System");
    check_type::<PageView>(&all, "Page");
    check_type::<ProcessView>(&all, "Process");
    check_type::<AlarmsView>(&all, "Alarms");
    check_type::<EventView>(&all, "Event");
    check_type::<LogLevelView>(&all, "LogLevel");
    check_type::<ErrorView>(&all, "Error");
    check_type::<ChannelRow>(&all, "Channel");
    check_type::<NameRow>(&all, "Name");
    check_type::<SocketRow>(&all, "Socket");
    check_type::<MailRow>(&all, "Mail");
    check_type::<ModuleRow>(&all, "Module");
    check_type::<VersionRow>(&all, "Version");
    check_type::<WorkerRow>(&all, "Worker");
    check_type::<NodeRow>(&all, "Node");
    check_type::<ClusterView>(&all, "Cluster");
    check_type::<StackView>(&all, "Stack");
    check_type::<ProfileView>(&all, "Profile");
    check_type::<UpgradeView>(&all, "Upgrade");
}
