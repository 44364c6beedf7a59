//! Programs that serve until the test ends them.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::guests::{Profile, path};
use crate::host::PATIENCE;
use crate::programs::{Call, lunatic};

/// A program that has said where it listens. It is killed when this is dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    address: SocketAddr,
    stdout: BufReader<ChildStdout>,
    stderr: Receiver<String>,
}

/// Starts a guest that listens on the address of its first argument, on a free port of the loopback interface.
pub fn guest(name: &str, profile: Profile, host_flags: &[&str], args: &[&str]) -> Serving {
    let module = path(name, profile).to_string_lossy().into_owned();
    let before = ["run", "--allow-net", "bind:127.0.0.1"];
    let all = [&before[..], host_flags, &[&module, "127.0.0.1:0"], args].concat();
    Serving::start(lunatic(all))
}

impl Serving {
    /// Starts a program that prints `listening on http://ADDRESS`, or with another scheme, when it does.
    ///
    /// # Panics
    ///
    /// If it does not start, or ends without having said so.
    pub fn start(call: Call) -> Self {
        Self::start_command(call.into_command())
    }

    /// As [`start`](Self::start), for a call with variables of its own.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_command(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let mut stdout = BufReader::new(child.stdout.take().expect("it was to be a pipe"));
        let mut pipe = child.stderr.take().expect("it was to be a pipe");
        let (send, stderr) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        let mut line = String::new();
        let address = loop {
            line.clear();
            if stdout.read_line(&mut line).is_ok_and(|read| read == 0) {
                let stderr = stderr.recv_timeout(PATIENCE).unwrap_or_default();
                panic!("{command:?} ended without having listened:\n{stderr}");
            }
            let url = line.trim().strip_prefix("listening on ");
            if let Some((_, address)) = url.and_then(|url| url.split_once("://")) {
                break address
                    .parse()
                    .unwrap_or_else(|_| panic!("this is no address: {address}"));
            }
        };
        Self {
            child,
            address,
            stdout,
            stderr,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS` and then `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A connection to it.
    ///
    /// # Panics
    ///
    /// If there is none to be had.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        // So that a hang ends as a failure.
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        let _ = stream.set_nodelay(true);
        stream
    }

    /// The number of the program's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself: its exit code, and what it has printed since it listened.
    ///
    /// # Panics
    ///
    /// If it does not end within [`PATIENCE`].
    pub fn wait(mut self) -> (Option<i32>, String, String) {
        let start = Instant::now();
        // Its standard error closes when it ends; nobody has to look again and again.
        let stderr = self
            .stderr
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("it does not end"));
        assert!(start.elapsed() < PATIENCE + Duration::from_secs(60));
        let mut stdout = String::new();
        let _ = self.stdout.read_to_string(&mut stdout);
        let status = self.child.wait().expect("it was started here");
        (status.code(), stdout, stderr)
    }

    /// Ends it: what it has printed on standard error.
    pub fn end(mut self) -> String {
        let _ = self.child.kill();
        self.stderr.recv_timeout(PATIENCE).unwrap_or_default()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
