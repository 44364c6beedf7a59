//! The processes of a test, seen from outside: what they say, and what is done to them.
#![allow(unreachable_pub, reason = "a module of one test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A process that is a node. It ends with this.
pub struct Node {
    pub port: u16,
    child: Child,
    input: Mutex<ChildStdin>,
    lines: Receiver<String>,
    /// Lines that nobody has waited for yet.
    heard: Mutex<Vec<String>>,
}

impl Node {
    fn start(cluster: &str, name: &str, seeds: &[u16]) -> Self {
        let port = free_port();
        let seeds: Vec<_> = seeds.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["node_program", "--exact", "--ignored", "--nocapture"])
            .env("NODE_CLUSTER", cluster)
            .env("NODE_NAME", name)
            .env("NODE_LISTEN", format!("127.0.0.1:{port}"))
            .env("NODE_SEEDS", seeds.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        let own = name.to_owned();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                println!("{own}: {line}");
                _ = said.send(line);
            }
        });
        let input = Mutex::new(child.stdin.take().unwrap());
        let node = Self {
            port,
            child,
            input,
            lines,
            heard: Mutex::default(),
        };
        node.hear("ready", Duration::from_secs(60));
        node
    }

    /// Has the node do something.
    pub fn order(&self, line: &str) {
        writeln!(self.input.lock(), "{line}").unwrap();
    }

    /// Waits until the node says a line that begins so, or takes the first one that it has said. Threads of a node talk at the same time,
    /// so the order of lines says nothing.
    #[track_caller]
    pub fn hear(&self, start: &str, patience: Duration) {
        let end = Instant::now() + patience;
        let mut heard = self.heard.lock();
        if let Some(place) = heard.iter().position(|line| line.starts_with(start)) {
            heard.remove(place);
            return;
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("it did not say {start:?}"));
            assert!(!line.contains("expected"), "{line}");
            if line.starts_with(start) {
                return;
            }
            heard.push(line);
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn stop(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A port of loopback that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub struct Cluster {
    name: String,
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// So many nodes, which are up with each other.
    pub fn start(name: &str, count: usize) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        for place in 0..count {
            let seeds: Vec<_> = nodes.first().map(|node| node.port).into_iter().collect();
            nodes.push(Node::start(name, &format!("node-{place}"), &seeds));
            // One after the other: each says so once, and the lines of others are not passed over.
            for other in nodes.iter().take(place) {
                other.hear(&format!("up node-{place}"), Duration::from_secs(60));
            }
        }
        let name = name.to_owned();
        Self { name, nodes }
    }

    /// Another node, which reaches the first one only through a proxy.
    pub fn join_through(&mut self, proxy: &Proxy) {
        let place = self.nodes.len();
        let node = Node::start(&self.name, &format!("node-{place}"), &[proxy.port]);
        self.nodes[0].hear(&format!("up node-{place}"), Duration::from_secs(60));
        self.nodes.push(node);
    }
}

/// Passes bytes between a port of its own and another, until it is silenced: then it takes what comes and passes nothing on, and nobody
/// sees the connection end.
pub struct Proxy {
    pub port: u16,
    is_silent: Arc<AtomicBool>,
}

impl Proxy {
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_silent = Arc::<AtomicBool>::default();
        let silent = is_silent.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // New connections are not answered, either.
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let silent = silent.clone();
                    std::thread::spawn(move || pass(from, to, &silent));
                }
            }
        });
        Self { port, is_silent }
    }

    pub fn silence(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut bytes) {
        if !is_silent.load(Ordering::SeqCst) && to.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    if !is_silent.load(Ordering::SeqCst) {
        _ = to.shutdown(Shutdown::Both);
    }
}
