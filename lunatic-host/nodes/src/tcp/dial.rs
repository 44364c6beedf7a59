//! The line to one node: dials it, and sends it frames.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::greeting::{Greeting, write_frames, wrong};
use super::guard::{Guard, Peer, Stream, Timed};
use super::{GREETING_TIMEOUT, QUEUED_MAX, Shared};
use crate::fabric::Brought;
use crate::identity::Identity;

/// The first and the longest pause between two attempts to dial.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a node that does not answer is dialled. One that was given by the user is dialled for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a write may take when the line ends.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// How many bytes are written at a time, approximately.
const WRITTEN_MAX: usize = 256 << 10;
/// How long the other end may take to read everything before a connection is replaced.
const LAST_READ: Duration = Duration::from_secs(5);
/// A connection is replaced this long before its peer is no longer admitted, in case the peer has a new proof by then,
/// and not more often than this.
const RENEWED_AHEAD: Duration = Duration::from_secs(60);
const RENEWED_EVERY: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    is_over: bool,
    /// The connection is to be replaced.
    renews: bool,
    live: Option<Live>,
}

/// A connection that sends.
struct Live {
    stream: TcpStream,
    peer: Option<Peer>,
    since: Instant,
}

/// Where a line leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An address that a node has announced.
    Address(SocketAddr),
    /// `HOST:PORT`, as the user has given it. The host is looked up each time.
    Place(Box<str>),
}

impl Target {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Address(address) => Ok(vec![*address]),
            Self::Place(place) => Ok(place.to_socket_addrs()?.collect()),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Place(place) => f.write_str(place),
        }
    }
}

/// A connection after the greetings.
struct Dialled {
    stream: Box<dyn Stream>,
    live: Live,
    address: SocketAddr,
    greeting: Greeting,
}

/// How sending ended.
enum Sent {
    /// The line ends.
    Over,
    /// The connection is replaced; everything that was sent has arrived.
    Renewed,
}

/// The line to one node, with a thread of its own.
pub(super) struct Line {
    target: Target,
    queue: Mutex<Queue>,
    some: Condvar,
    /// A connection has ended.
    ended: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Line {
    /// Starts the thread. Without a `node`, it only asks who answers under the address, until somebody does.
    pub(super) fn start(shared: &Arc<Shared>, node: Option<Identity>, target: Target) -> io::Result<Arc<Self>> {
        let line = Arc::new(Self {
            target,
            queue: Mutex::default(),
            some: Condvar::new(),
            ended: Condvar::new(),
            thread: Mutex::new(None),
        });
        let (own, shared) = (line.clone(), Arc::downgrade(shared));
        let thread = std::thread::Builder::new().name("lunatic-dial".into());
        *line.thread.lock() = Some(thread.spawn(move || own.run(&shared, node))?);
        Ok(line)
    }

    /// The address of a node that has announced it.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.target {
            Target::Address(address) => Some(address),
            Target::Place(_) => None,
        }
    }

    /// Queues a frame. If too much waits, the frame is dropped.
    pub(super) fn push(&self, frame: Vec<u8>) {
        let mut queue = self.queue.lock();
        if queue.bytes + frame.len() <= QUEUED_MAX {
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
            self.some.notify_one();
        }
    }

    /// Sends what is queued, and no more. False if there is no connection.
    pub(super) fn end(&self) -> bool {
        let mut queue = self.queue.lock();
        queue.is_over = true;
        if let Some(live) = &queue.live {
            _ = live.stream.set_write_timeout(Some(LAST_WRITE));
        }
        self.some.notify_one();
        queue.live.is_some()
    }

    /// Waits until the thread has ended, which [`end`](Self::end) has told it to do. If it takes longer than this, closes
    /// the connection: a peer that reads nothing could hold up a write for ever that began before the end.
    pub(super) fn join(&self, until: Instant) {
        let mut queue = self.queue.lock();
        while queue.live.is_some() && !self.ended.wait_until(&mut queue, until).timed_out() {}
        if let Some(live) = &queue.live {
            _ = live.stream.shutdown(Shutdown::Both);
        }
        drop(queue);
        if let Some(thread) = self.thread.lock().take() {
            _ = thread.join();
        }
    }

    /// Closes the connection if its peer is not admitted any more, and has it replaced if this node has a new proof of
    /// its name (`is_renewed`) or the peer should have one soon.
    pub(super) fn check(&self, guard: &dyn Guard, is_renewed: bool) {
        let mut queue = self.queue.lock();
        let Some(Live {
            stream,
            peer: Some(peer),
            since,
        }) = &queue.live
        else {
            return;
        };
        if !guard.admits(peer, Duration::ZERO) {
            _ = stream.shutdown(Shutdown::Both);
        } else if is_renewed || (!guard.admits(peer, RENEWED_AHEAD) && since.elapsed() > RENEWED_EVERY) {
            queue.renews = true;
            self.some.notify_one();
        }
    }

    fn run(&self, shared: &Weak<Shared>, node: Option<Identity>) {
        let (mut pause, mut since, mut reported) = (PAUSES.0, Instant::now(), String::new());
        while !self.queue.lock().is_over {
            let Some(shared) = shared.upgrade() else { return };
            match self.dial(&shared) {
                Ok(dialled) => {
                    reported.clear();
                    let greeting = &dialled.greeting;
                    for (other, address) in &greeting.known {
                        shared.learn(other, *address, false);
                    }
                    let is_right = node.as_ref() == Some(&greeting.identity);
                    if !is_right {
                        // The node that is there now gets a line of its own.
                        shared.learn(&greeting.identity, dialled.address, dialled.live.peer.is_some());
                        if let Some(node) = &node {
                            shared.forget(node);
                        }
                        return;
                    }
                    shared.inlet.bring(Brought::Seen(greeting.identity.clone()));
                    drop(shared);
                    // Whatever ends this connection, another one is dialled.
                    let sent = self.send_all(dialled);
                    (pause, since) = (PAUSES.0, Instant::now());
                    if let Ok(Sent::Renewed) = sent {
                        continue;
                    }
                }
                Err(error) => {
                    let text = format!("cannot connect to {}: {error}", self.target);
                    if text != reported {
                        match self.target {
                            Target::Place(_) => shared.report(&text),
                            // Others have told of it, perhaps of many.
                            Target::Address(_) => shared.report_seldom(&text),
                        }
                        reported = text;
                    }
                    if let Some(node) = &node
                        && since.elapsed() > PATIENCE
                    {
                        return shared.forget(node);
                    }
                }
            }
            self.wait(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn dial(&self, shared: &Shared) -> io::Result<Dialled> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in self.target.addresses()? {
            let dialled = shared.check(address).and_then(|()| dial(shared, address));
            match dialled {
                Ok(dialled) => return Ok(dialled),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits for the next attempt, or until the line ends.
    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut queue = self.queue.lock();
        while !queue.is_over && !self.some.wait_until(&mut queue, until).timed_out() {}
    }

    /// Sends frames until the connection or the line ends, or the connection is to be replaced.
    fn send_all(&self, dialled: Dialled) -> io::Result<Sent> {
        let Dialled { mut stream, live, .. } = dialled;
        let raw = live.stream.try_clone()?;
        let mut queue = self.queue.lock();
        (queue.live, queue.renews) = (Some(live), false);
        drop(queue);
        let sent = self.send(&mut stream, &raw);
        let mut queue = self.queue.lock();
        queue.live = None;
        self.ended.notify_all();
        if !matches!(sent, Ok(Sent::Renewed)) {
            // What was queued belongs to an epoch that has lost a frame by now.
            (queue.frames, queue.bytes) = (VecDeque::new(), 0);
        }
        sent
    }

    fn send(&self, mut stream: &mut dyn Stream, raw: &TcpStream) -> io::Result<Sent> {
        let (mut taken, mut buffer) = (Vec::new(), Vec::new());
        while self.take(&mut taken) {
            if taken.is_empty() {
                wait_until_read(raw)?;
                return Ok(Sent::Renewed);
            }
            write_frames(&mut stream, &taken, &mut buffer)?;
            stream.flush()?;
        }
        Ok(Sent::Over)
    }

    /// Takes some frames, for which it waits; none if the connection is to be replaced. False if the line ends and nothing
    /// is left.
    fn take(&self, taken: &mut Vec<Vec<u8>>) -> bool {
        taken.clear();
        let mut queue = self.queue.lock();
        while queue.frames.is_empty() && !queue.is_over && !queue.renews {
            self.some.wait(&mut queue);
        }
        if queue.renews && !queue.is_over {
            return true;
        }
        let mut bytes = 0;
        while bytes < WRITTEN_MAX
            && let Some(frame) = queue.frames.pop_front()
        {
            bytes += frame.len();
            taken.push(frame);
        }
        queue.bytes -= bytes;
        !taken.is_empty()
    }
}

fn dial(shared: &Shared, address: SocketAddr) -> io::Result<Dialled> {
    let raw = TcpStream::connect_timeout(&address, GREETING_TIMEOUT)?;
    raw.set_nodelay(true)?;
    let (timed, deadline) = Timed::new(raw.try_clone()?, GREETING_TIMEOUT);
    let (mut stream, peer): (Box<dyn Stream>, _) = match &shared.settings.guard {
        Some(guard) => guard.dial(timed).map(|(stream, peer)| (stream, Some(peer)))?,
        None => (Box::new(timed), None),
    };
    shared.greeting(false).write(&mut stream)?;
    stream.flush()?;
    let greeting = Greeting::read(&mut stream)?;
    if greeting.cluster != shared.settings.cluster || greeting.is_of_another(peer.as_ref()) {
        return Err(wrong());
    }
    deadline.lift(&raw)?;
    let live = Live {
        stream: raw,
        peer,
        since: Instant::now(),
    };
    Ok(Dialled {
        stream,
        live,
        address,
        greeting,
    })
}

/// Ends this side of a connection, and waits until the other end has read everything and closes it: frames on the next
/// connection must not overtake those on this one.
fn wait_until_read(mut raw: &TcpStream) -> io::Result<()> {
    raw.shutdown(Shutdown::Write)?;
    let until = Instant::now() + LAST_READ;
    let mut buffer = [0; 4096];
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        raw.set_read_timeout(Some(rest))?;
        // What comes is the end of the security below.
        if raw.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
}
