//! The line to one node: dials it, and sends it frames.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::accept::GREETING_TIMEOUT;
use super::greeting::{Greeting, write_frames};
use super::{QUEUED_MAX, Shared};
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

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    is_over: bool,
    stream: Option<TcpStream>,
}

/// The line to one node, with a thread of its own.
pub(super) struct Line {
    address: SocketAddr,
    queue: Mutex<Queue>,
    some: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Line {
    /// Starts the thread. Without a `node`, it only asks who answers under the address, until somebody does.
    pub(super) fn start(shared: &Arc<Shared>, node: Option<Identity>, address: SocketAddr) -> io::Result<Arc<Self>> {
        let line = Arc::new(Self {
            address,
            queue: Mutex::default(),
            some: Condvar::new(),
            thread: Mutex::new(None),
        });
        let (own, shared) = (line.clone(), Arc::downgrade(shared));
        let thread = std::thread::Builder::new().name("lunatic-dial".into());
        *line.thread.lock() = Some(thread.spawn(move || own.run(&shared, node))?);
        Ok(line)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
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

    /// Sends what is queued, and no more.
    pub(super) fn end(&self) {
        let mut queue = self.queue.lock();
        queue.is_over = true;
        if let Some(stream) = &queue.stream {
            _ = stream.set_write_timeout(Some(LAST_WRITE));
        }
        self.some.notify_one();
    }

    /// Waits until the thread has ended.
    pub(super) fn join(&self) {
        if let Some(thread) = self.thread.lock().take() {
            _ = thread.join();
        }
    }

    fn run(&self, shared: &Weak<Shared>, node: Option<Identity>) {
        let (mut pause, mut since) = (PAUSES.0, Instant::now());
        while !self.queue.lock().is_over {
            let Some(shared) = shared.upgrade() else { return };
            let greeted = self.dial(&shared);
            if let Ok((stream, greeting)) = greeted {
                for (other, address) in &greeting.known {
                    shared.learn(other, *address);
                }
                let is_right = node.as_ref() == Some(&greeting.identity);
                if !is_right {
                    // The node that is there now gets a line of its own.
                    shared.learn(&greeting.identity, self.address);
                    if let Some(node) = &node {
                        shared.forget(node);
                    }
                    return;
                }
                shared.inlet.bring(Brought::Seen(greeting.identity.clone()));
                drop(shared);
                // Whatever ends this connection, another one is dialled.
                _ = self.send_all(stream);
                (pause, since) = (PAUSES.0, Instant::now());
            } else if let Some(node) = &node
                && since.elapsed() > PATIENCE
            {
                return shared.forget(node);
            }
            self.wait(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn dial(&self, shared: &Shared) -> io::Result<(TcpStream, Greeting)> {
        let mut stream = TcpStream::connect_timeout(&self.address, GREETING_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GREETING_TIMEOUT))?;
        shared.greeting(false).write(&mut stream)?;
        let greeting = Greeting::read(&mut stream)?;
        match greeting.cluster == shared.settings.cluster {
            true => Ok((stream, greeting)),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Waits for the next attempt, or until the line ends.
    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut queue = self.queue.lock();
        while !queue.is_over && !self.some.wait_until(&mut queue, until).timed_out() {}
    }

    /// Sends frames until the connection or the line ends.
    fn send_all(&self, mut stream: TcpStream) -> io::Result<()> {
        self.queue.lock().stream = Some(stream.try_clone()?);
        let (mut taken, mut buffer) = (Vec::new(), Vec::new());
        let sent = loop {
            if !self.take(&mut taken) {
                break Ok(());
            }
            if let Err(error) = write_frames(&mut stream, &taken, &mut buffer) {
                break Err(error);
            }
        };
        let mut queue = self.queue.lock();
        queue.stream = None;
        // What was queued belongs to an epoch that has lost a frame by now.
        (queue.frames, queue.bytes) = (VecDeque::new(), 0);
        sent
    }

    /// Takes some frames, for which it waits; false if the line ends and nothing is left.
    fn take(&self, taken: &mut Vec<Vec<u8>>) -> bool {
        taken.clear();
        let mut queue = self.queue.lock();
        while queue.frames.is_empty() && !queue.is_over {
            self.some.wait(&mut queue);
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
