//! The load for servers: `load SERVER… WORK N` starts a server, which prints `listening at ADDRESS` first, puts a load on it
//! from this process, and prints a line of JSON.
//!
//! | work | what it does | an operation |
//! |---|---|---|
//! | `tcp-echo` | 64 connections, each with one message of 64 bytes on its way | a message and its answer |
//! | `tcp-churn` | connects, sends 64 bytes, reads them back and the end after them; 64 at a time | a connection |
//! | `tcp-connections` | opens all, a message on each, and leaves them idle for 15 s; then a message on each again | opening one |
//! | `tcp-broadcast` | opens all; then 20 of them say a line of 64 bytes each, which a chat server sends to all | a line that a client receives |

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Connections with something on its way.
const ACTIVE: usize = 64;
const MESSAGE: [u8; 64] = [b'x'; 64];
/// If nothing comes for so long, the server is taken to hang.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server @ .., work, n] = &args[..] else {
        bail!("usage: load SERVER… tcp-echo|tcp-churn|tcp-connections|tcp-broadcast N");
    };
    let n: usize = n.parse().context("N must be a positive whole number")?;
    let mode = match &**work {
        "tcp-churn" => "once",
        "tcp-broadcast" => "chat",
        _ => "echo",
    };
    let mut server = Server::start(server, mode)?;
    let mut extra = String::new();
    let (mut start, mut cpu) = (Instant::now(), server.cpu_ns()?);
    let mut operations = n;
    let ns = match &**work {
        "tcp-echo" => Load::new(server.address)?.echo(n)?,
        "tcp-churn" => {
            Load::new(server.address)?.churn(n / 10)?;
            let before = server.memory("VmRSS")?;
            let ns = Load::new(server.address)?.churn(n)?;
            extra = format!(r#","grown_kb":{}"#, server.memory("VmRSS")? as i64 - before as i64);
            ns
        }
        "tcp-connections" => {
            let before = server.memory("VmRSS")?;
            let mut load = Load::new(server.address)?;
            let ns = load.connect_all(n)?;
            let mut each = || Ok::<_, anyhow::Error>((server.memory("VmRSS")? - before) as f64 / n as f64);
            let at_once = each()?;
            // Nothing is waited for here: this is how long they are left alone.
            std::thread::sleep(IDLE);
            let idle = each()?;
            load.message_on_each(n)?;
            extra = format!(r#","kb_each":{idle:.1},"kb_each_at_once":{at_once:.1}"#);
            ns
        }
        "tcp-broadcast" => {
            let mut load = Load::new(server.address)?;
            load.connect_all(n)?;
            (start, cpu) = (Instant::now(), server.cpu_ns()?);
            operations = n * LINES;
            load.broadcast(n)?
        }
        other => bail!("there is no work `{other}`"),
    };
    let seconds = start.elapsed().as_secs_f64();
    let peak = server.memory("VmHWM")?;
    // On a machine with other things to do, this is what can be compared.
    let cpu = (server.cpu_ns()? - cpu) as f64 / operations as f64;
    println!(
        r#"{{"work":"{work}","n":{n},"ns_per_op":{:.1},"cpu_ns_per_op":{cpu:.0},"peak_kb":{peak},"seconds":{seconds:.1}{extra}}}"#,
        ns / operations as f64
    );
    Ok(())
}

/// How many lines are said in a chat.
const LINES: usize = 20;

/// How long connections are idle before the server's memory is looked at.
const IDLE: Duration = Duration::from_secs(15);

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(command: &[String], mode: &str) -> Result<Self> {
        let Some((program, args)) = command.split_first() else {
            bail!("no server is given");
        };
        let mut child = Command::new(program)
            .args(args)
            .args(["127.0.0.1:0", mode])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start `{program}`"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().context("standard output is a pipe")?).read_line(&mut line)?;
        let address = line
            .trim()
            .strip_prefix("listening at ")
            .and_then(|text| text.parse().ok());
        let address = address.with_context(|| format!("the server printed {line:?}"))?;
        Ok(Self { child, address })
    }

    /// How long its threads have computed, in nanoseconds.
    fn cpu_ns(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // One that has just ended is not there any more.
            let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            sum += text
                .split_whitespace()
                .next()
                .and_then(|ns| ns.parse().ok())
                .unwrap_or(0);
        }
        Ok(sum)
    }

    /// A line of its status, in KiB.
    fn memory(&mut self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("the server has no {name}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection, and how many bytes of an answer are still to come.
struct Connection {
    stream: TcpStream,
    missing: usize,
    /// Its message has not been sent yet.
    fresh: bool,
}

struct Load {
    server: SocketAddr,
    poll: Poll,
    events: Events,
    connections: Vec<Option<Connection>>,
}

/// What has become of a connection after an event.
enum Step {
    Waits,
    Answered,
    Ended,
}

impl Load {
    fn new(server: SocketAddr) -> Result<Self> {
        Ok(Self {
            server,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
        })
    }

    fn connect(&mut self, at: usize) -> Result<()> {
        let mut stream = TcpStream::connect(self.server)?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(at), interest)?;
        let connection = Connection {
            stream,
            missing: MESSAGE.len(),
            fresh: true,
        };
        match self.connections.get_mut(at) {
            Some(place) => *place = Some(connection),
            None => self.connections.push(Some(connection)),
        }
        Ok(())
    }

    /// Waits for events and has each connection that they are about take its step; `done` says what comes of one that was
    /// answered or has ended.
    fn turn(&mut self, done: &mut impl FnMut(&mut Self, usize, Step) -> Result<()>) -> Result<()> {
        self.poll.poll(&mut self.events, Some(PATIENCE))?;
        if self.events.is_empty() {
            bail!("the server has not answered for {} s", PATIENCE.as_secs());
        }
        let places: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for at in places {
            loop {
                let step = match &mut self.connections[at] {
                    Some(connection) => connection.step().context("a connection failed")?,
                    None => Step::Waits,
                };
                if matches!(step, Step::Waits) {
                    break;
                }
                done(self, at, step)?;
            }
        }
        Ok(())
    }

    fn echo(&mut self, n: usize) -> Result<f64> {
        for at in 0..ACTIVE {
            self.connect(at)?;
        }
        // The first answers of all are no part of it: then all connections are there.
        let (mut answered, mut start) = (0, Instant::now());
        while answered < n + ACTIVE {
            self.turn(&mut |load, at, step| {
                let Step::Answered = step else {
                    bail!("the server has closed a connection")
                };
                answered += 1;
                if answered == ACTIVE {
                    start = Instant::now();
                }
                load.again(at)
            })?;
        }
        Ok(start.elapsed().as_nanos() as f64 * n as f64 / (answered - ACTIVE) as f64)
    }

    /// Sends the next message.
    fn again(&mut self, at: usize) -> Result<()> {
        if let Some(connection) = &mut self.connections[at] {
            connection.send()?;
        }
        Ok(())
    }

    fn churn(&mut self, n: usize) -> Result<f64> {
        let start = Instant::now();
        let (mut begun, mut ended) = (ACTIVE.min(n), 0);
        for at in 0..begun {
            self.connect(at)?;
        }
        while ended < n {
            self.turn(&mut |load, at, step| {
                if let Step::Ended = step {
                    ended += 1;
                    load.connections[at] = None;
                    if begun < n {
                        begun += 1;
                        load.connect(at)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(start.elapsed().as_nanos() as f64)
    }

    fn connect_all(&mut self, n: usize) -> Result<f64> {
        let start = Instant::now();
        let (mut begun, mut answered) = (0, 0);
        while answered < n {
            while begun < n && begun < answered + ACTIVE {
                self.connect(begun)?;
                begun += 1;
            }
            answered += self.answers()?;
        }
        Ok(start.elapsed().as_nanos() as f64)
    }

    /// Lets some clients say a line each, and waits until all clients have all lines.
    fn broadcast(&mut self, n: usize) -> Result<f64> {
        for connection in self.connections.iter_mut().flatten() {
            connection.missing = LINES * MESSAGE.len();
        }
        let start = Instant::now();
        for line in 0..LINES {
            if let Some(connection) = &mut self.connections[line * n / LINES] {
                connection.write()?;
            }
        }
        let mut answered = 0;
        while answered < n {
            answered += self.answers()?;
        }
        Ok(start.elapsed().as_nanos() as f64)
    }

    fn message_on_each(&mut self, n: usize) -> Result<()> {
        for at in 0..n {
            self.again(at)?;
        }
        let mut answered = 0;
        while answered < n {
            answered += self.answers()?;
        }
        Ok(())
    }

    /// Waits for something to happen: how many answers that were.
    fn answers(&mut self) -> Result<usize> {
        let mut answered = 0;
        self.turn(&mut |_, _, step| {
            let Step::Answered = step else {
                bail!("the server has closed a connection")
            };
            answered += 1;
            Ok(())
        })?;
        Ok(answered)
    }
}

impl Connection {
    fn send(&mut self) -> Result<()> {
        self.missing = MESSAGE.len();
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        if self.stream.write(&MESSAGE)? != MESSAGE.len() {
            bail!("a message had no room");
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        if self.fresh {
            if let Some(error) = self.stream.take_error()? {
                return Err(error.into());
            }
            match self.stream.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(Step::Waits),
                connected => drop(connected?),
            }
            self.fresh = false;
            self.send()?;
        }
        let mut bytes = [0; 256];
        match self.stream.read(&mut bytes) {
            Ok(0) if self.missing == 0 => Ok(Step::Ended),
            Ok(0) => bail!("the server has closed a connection without an answer"),
            Ok(len) => {
                self.missing = self.missing.checked_sub(len).context("the server answers too much")?;
                Ok(if self.missing == 0 { Step::Answered } else { Step::Waits })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Waits),
            Err(error) => Err(error.into()),
        }
    }
}
