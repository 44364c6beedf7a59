//! Servers that run until the test stops them.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use lunatic_http::client::{ClientLimits, Target};
use lunatic_http::{Client, Transport};

use crate::guests::{Profile, path};
use crate::host::PATIENCE;
use crate::programs::{Call, lunatic};

/// A program that has reported its address. It is killed when this is dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    address: SocketAddr,
    stdout: BufReader<ChildStdout>,
    stderr: Lines,
}

/// The standard error of a program, as it comes.
#[derive(Debug)]
struct Lines {
    lines: Receiver<String>,
    /// The lines received so far.
    text: String,
}

/// Starts a guest that listens on the address in its first argument, on a free port of the loopback interface.
pub fn guest(name: &str, profile: Profile, host_flags: &[&str], args: &[&str]) -> Serving {
    let module = path(name, profile).to_string_lossy().into_owned();
    let before = ["run", "--allow-net", "bind:127.0.0.1"];
    let all = [&before[..], host_flags, &[&module, "127.0.0.1:0"], args].concat();
    Serving::start(lunatic(all))
}

/// An HTTP client for a test, which is no process, and so connects by the standard library.
pub fn client() -> Client {
    let connect = |target: &Target, _| {
        let stream = TcpStream::connect((target.host(), target.port()))?;
        Ok(Box::new(stream) as Box<dyn Transport>)
    };
    Client::with_connector(connect).with_limits(ClientLimits {
        timeout: PATIENCE,
        ..Default::default()
    })
}

impl Serving {
    /// Starts a program that prints `listening on http://ADDRESS`, or another scheme, when it is ready.
    ///
    /// # Panics
    ///
    /// If it does not start, or ends without printing that.
    pub fn start(call: Call) -> Self {
        Self::start_command(call.into_command())
    }

    /// Starts a program as [`start`](Self::start) does, for a call with its own environment variables.
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start).
    pub fn start_command(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let mut stdout = BufReader::new(child.stdout.take().expect("it was to be a pipe"));
        let mut stderr = Lines::of(child.stderr.take().expect("it was to be a pipe"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            if stdout.read_line(&mut line).is_ok_and(|read| read == 0) {
                stderr.wait_until(|_| false);
                panic!("{command:?} ended without having listened:\n{}", stderr.text);
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

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, followed by `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connects to it.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        // With a timeout, a hang becomes a failure.
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        let _ = stream.set_nodelay(true);
        stream
    }

    /// The process id of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself. Returns its exit code, and the output since it reported its address.
    ///
    /// # Panics
    ///
    /// If it does not end within [`PATIENCE`].
    pub fn wait(mut self) -> (Option<i32>, String, String) {
        // Its standard error closes when it ends.
        self.stderr.wait_until(|_| false);
        let mut stdout = String::new();
        let _ = self.stdout.read_to_string(&mut stdout);
        let status = self.child.wait().expect("it was started here");
        (status.code(), stdout, std::mem::take(&mut self.stderr.text))
    }

    /// Waits until its standard error contains `text`. A crash report may appear some time after the crash.
    ///
    /// # Panics
    ///
    /// If it ends without that, or does not report it within [`PATIENCE`].
    #[track_caller]
    pub fn reports(&mut self, text: &str) {
        let stderr = &mut self.stderr;
        assert!(
            stderr.wait_until(|said| said.contains(text)),
            "expected {text:?} on standard error: {}",
            stderr.text
        );
    }
}

impl Lines {
    fn of(pipe: ChildStderr) -> Self {
        let (send, lines) = channel();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let _ = send.send(String::from_utf8_lossy(&line).into_owned());
                line.clear();
            }
        });
        let text = String::new();
        Self { lines, text }
    }

    /// Waits until `is_enough` of the text that has come. Returns false if the text ends before.
    ///
    /// # Panics
    ///
    /// If neither happens within [`PATIENCE`].
    fn wait_until(&mut self, is_enough: impl Fn(&str) -> bool) -> bool {
        let start = Instant::now();
        while !is_enough(&self.text) {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(line) => self.text += &line,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("nothing more comes after {:?}", self.text),
            }
        }
        true
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
