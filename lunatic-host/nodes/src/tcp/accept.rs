//! Accepts connections, and reads frames from them.

use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::greeting::{Greeting, read_frame};
use super::{ACCEPTED_MAX, Shared};
use crate::fabric::Brought;

/// How long a side may take to introduce itself.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait if no connection can be accepted, such as for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The work of the thread that accepts.
pub(super) fn run(shared: &Arc<Shared>, listener: &TcpListener) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    while !shared.is_over() {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if shared.is_over() || shared.accepted.lock().len() >= ACCEPTED_MAX {
            continue;
        }
        // The fabric closes it when it ends.
        let Ok(copy) = stream.try_clone() else { continue };
        shared.accepted.lock().insert(number, copy);
        let taken = shared.clone();
        let thread = std::thread::Builder::new().name("lunatic-frames".into());
        let started = thread.spawn(move || {
            // Whatever is wrong with the connection: it is over.
            _ = receive(&taken, stream);
            taken.accepted.lock().remove(&number);
        });
        if started.is_err() {
            shared.accepted.lock().remove(&number);
        }
    }
}

fn receive(shared: &Arc<Shared>, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(GREETING_TIMEOUT))?;
    stream.set_write_timeout(Some(GREETING_TIMEOUT))?;
    let greeting = Greeting::read(&mut stream)?;
    if greeting.cluster != shared.settings.cluster {
        return Ok(());
    }
    shared.greeting(true).write(&mut stream)?;
    if !shared.learn(&greeting.identity, greeting.address) {
        return Ok(());
    }
    shared.inlet.bring(Brought::Seen(greeting.identity.clone()));
    // Silence is noticed by the nodes.
    stream.set_read_timeout(None)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let ended = loop {
        match read_frame(&mut reader) {
            Ok(frame) => shared.inlet.bring(Brought::Frame(frame)),
            Err(error) => break error,
        }
    };
    shared.inlet.bring(Brought::Lost(greeting.identity));
    Err(ended)
}
