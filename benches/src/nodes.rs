//! Works on several nodes: `bench-nodes lunatic HOST GUEST WORK N` and `bench-nodes erlang FOLDER WORK N` start the nodes of a work,
//! wait until the program on the node `a` has ended, and print its line of JSON. `bench-nodes tcp WORK N` is a round trip
//! between two threads by TCP, for comparison.
//!
//! When the program prints `stop b` or `go on b`, the node `b` is stopped or continued. Lines that begin with `event` are
//! printed as they are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

const USAGE: &str = "usage: bench-nodes lunatic HOST GUEST|erlang FOLDER|tcp WORK N";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [system @ .., work, n] = &args[..] else {
        bail!(USAGE)
    };
    let count: u64 = n.parse().context("N must be a positive whole number")?;
    let system: Vec<&str> = system.iter().map(String::as_str).collect();
    match system[..] {
        ["lunatic", host, guest] => Lunatic { host, guest }.run(work, count),
        ["erlang", folder] => Erlang::start(Path::new(folder))?.run(work, count),
        ["tcp"] if work == "node-call" => tcp(count),
        _ => bail!(USAGE),
    }
}

/// The nodes of a work besides `a`.
fn others(work: &str, n: u64) -> Vec<String> {
    match work {
        "node-frozen" => vec!["b".into(), "c".into()],
        "node-join" => (0..n.saturating_sub(1)).map(|number| other(number as usize)).collect(),
        _ => vec!["b".into()],
    }
}

fn other(number: usize) -> String {
    match number {
        0 => "b".into(),
        number => format!("b{number}"),
    }
}

/// A program that is killed in the end.
struct Node(Child);

impl Node {
    fn signal(&self, signal: libc::c_int) -> Result<()> {
        // SAFETY: it only sends a signal, to a child that has not been waited for.
        match unsafe { libc::kill(self.0.id() as libc::pid_t, signal) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()).context("cannot stop a node"),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a line with this beginning; the rest of the line. What follows is read and dropped.
fn wait_for(output: impl Read + Send + 'static, start: &str) -> Result<String> {
    let (mut output, mut all) = (BufReader::new(output), String::new());
    loop {
        let mut line = String::new();
        if output.read_line(&mut line)? == 0 {
            bail!("a node has not started: {all}");
        }
        if let Some(rest) = line.strip_prefix(start) {
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            return Ok(rest.trim().to_owned());
        }
        all.push_str(&line);
    }
}

/// Runs the program on `a` to its end, with `b` beside it.
fn play(a: &mut Command, b: Option<&Node>, work: &str, start: Instant) -> Result<()> {
    let mut a = Node(a.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let mut result = None;
    for line in BufReader::new(a.0.stdout.take().context("standard output is a pipe")?).lines() {
        let line = line?;
        match (&*line, b) {
            ("stop b", Some(b)) => b.signal(libc::SIGSTOP)?,
            ("go on b", Some(b)) => b.signal(libc::SIGCONT)?,
            _ if line.starts_with("event ") => println!("{line}"),
            _ => result = Some(line),
        }
    }
    let status = a.0.wait()?;
    let result = result.filter(|_| status.success());
    let result = result.with_context(|| format!("the program on `a` ended with {status}"))?;
    let mut result: Value = serde_json::from_str(&result).with_context(|| format!("it printed {result}"))?;
    if work == "node-join" {
        // From the start of the first program.
        result["ns_per_op"] = (start.elapsed().as_nanos() as u64).into();
    }
    result["peak_kb"] = peak_kb()?.into();
    println!("{result}");
    Ok(())
}

/// The largest resident memory that a program has had that has ended.
fn peak_kb() -> Result<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it writes a `rusage`, and all zeros is a valid one.
    let (got, usage) = unsafe {
        (
            libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()),
            usage.assume_init(),
        )
    };
    match got {
        0 => Ok(usage.ru_maxrss as u64),
        _ => Err(std::io::Error::last_os_error()).context("cannot ask for the memory of a node"),
    }
}

/// Nodes of Lunatic: `lunatic node --dev` on loopback.
struct Lunatic<'a> {
    host: &'a str,
    guest: &'a str,
}

impl Lunatic<'_> {
    fn run(&self, work: &str, n: u64) -> Result<()> {
        let (start, mut nodes, mut join) = (Instant::now(), Vec::new(), None);
        for name in others(work, n) {
            let (node, address) = self.start(&name, join.as_deref())?;
            nodes.push(node);
            // All join the first one.
            join.get_or_insert(address);
        }
        let mut a = self.command("a", join.as_deref());
        a.args([self.guest, work, &n.to_string()]).stderr(Stdio::inherit());
        play(&mut a, nodes.first(), work, start)
    }

    fn command(&self, name: &str, join: Option<&str>) -> Command {
        let mut command = Command::new(self.host);
        command.args(["node", "--dev", "--name", name, "--cluster"]);
        command.arg(format!("bench-{}", std::process::id()));
        command.args(join.into_iter().flat_map(|join| ["--join", join]));
        command.stdin(Stdio::null());
        command
    }

    /// Starts a node without a program; its address.
    fn start(&self, name: &str, join: Option<&str>) -> Result<(Node, String)> {
        let mut command = self.command(name, join);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut node = Node(child.with_context(|| format!("could not start `{}`", self.host))?);
        let said = node.0.stderr.take().context("standard error is a pipe")?;
        let address = wait_for(said, &format!("node {name} listens on "))?;
        Ok((node, address))
    }
}

/// Nodes of Erlang on loopback, which find each other by a port mapper of their own.
struct Erlang<'a> {
    folder: &'a Path,
    mapper: Node,
    port: u16,
}

impl<'a> Erlang<'a> {
    fn start(folder: &'a Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new("epmd");
        command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mapper = Node(child.context("could not start `epmd`, which comes with Erlang")?);
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                bail!("`epmd` does not listen");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { folder, mapper, port })
    }

    fn run(&self, work: &str, n: u64) -> Result<()> {
        let (start, mut nodes) = (Instant::now(), Vec::new());
        for name in others(work, n) {
            let mut command = self.command(&name);
            command.args(["-run", "peer_nodes", "wait"]);
            command.args((!nodes.is_empty()).then_some("b@127.0.0.1"));
            let mut node = Node(
                command
                    .stdout(Stdio::piped())
                    .spawn()
                    .context("could not start `erl`")?,
            );
            wait_for(node.0.stdout.take().context("standard output is a pipe")?, "ready")?;
            nodes.push(node);
        }
        let mut a = self.command("a");
        a.args(["-run", "peer_nodes", "main", work, &n.to_string()]);
        play(&mut a, nodes.first(), work, start)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("erl");
        command
            .env("ERL_EPMD_PORT", self.port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        // A crash would write a large file.
        command.env("ERL_CRASH_DUMP_BYTES", "0");
        command
            .arg("-noshell")
            .arg("-name")
            .arg(format!("{name}@127.0.0.1"))
            .arg("-pa")
            .arg(self.folder);
        command.arg("-setcookie").arg(format!("bench{}", self.mapper.0.id()));
        // A node that is silent is lost after six to ten seconds.
        let settings = [
            ["net_ticktime", "8"],
            ["logger_level", "none"],
            ["inet_dist_use_interface", "{127,0,0,1}"],
        ];
        command.args(settings.iter().flat_map(|[key, value]| ["-kernel", *key, *value]));
        command.stdin(Stdio::null());
        command
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Round trips of eight bytes between two threads.
fn tcp(n: u64) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut number = [0; 8];
        for _ in 0..n {
            stream.read_exact(&mut number)?;
            stream.write_all(&(u64::from_le_bytes(number) + 1).to_le_bytes())?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (start, mut number) = (Instant::now(), [0; 8]);
    for _ in 0..n {
        stream.write_all(&number)?;
        stream.read_exact(&mut number)?;
    }
    let ns = start.elapsed().as_nanos() as f64 / n as f64;
    if u64::from_le_bytes(number) != n {
        bail!("the server has answered with {number:?}");
    }
    if let Ok(served) = server.join() {
        served?;
    }
    println!(r#"{{"system":"tcp","work":"node-call","n":{n},"ns_per_op":{ns:.1}}}"#);
    Ok(())
}
