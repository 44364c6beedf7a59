//! Sockets in messages: they are handed over when the message is sent, and come back if it cannot be sent.

use std::cell::RefCell;

use lunatic_sys::layout::RawHandle;

use crate::host::net::{Receiver, claim, hand_over};
use crate::host::{Refused, Scratch};

thread_local! {
    /// The sockets that were serialized since [`forget`]. Nearly always empty; then this is not written either.
    static NOTED: RefCell<Vec<RawHandle>> = const { RefCell::new(Vec::new()) };
}

/// Notes that a socket is being serialized.
#[cold]
pub(super) fn note(socket: RawHandle) {
    NOTED.with_borrow_mut(|noted| noted.push(socket));
}

/// Called before a message is encoded: sockets noted before were not serialized as parts of a message.
#[inline]
pub(crate) fn forget() {
    NOTED.with(|noted| {
        if !noted.borrow().is_empty() {
            noted.borrow_mut().clear();
        }
    });
}

/// Takes the sockets in the message that was just encoded.
#[inline]
pub(crate) fn noted() -> Vec<RawHandle> {
    NOTED.with(|noted| {
        if noted.borrow().is_empty() {
            return Vec::new();
        }
        noted.take()
    })
}

/// Sends a message, and hands over the sockets in it.
#[inline]
pub(crate) fn deliver<T>(
    message: &Scratch,
    to: Receiver,
    send: impl FnOnce(&[u8]) -> Result<T, Refused>,
) -> Result<T, Refused> {
    if message.sockets.is_empty() {
        return send(message.as_slice());
    }
    deliver_with(message, to, send)
}

#[cold]
fn deliver_with<T>(
    message: &Scratch,
    to: Receiver,
    send: impl FnOnce(&[u8]) -> Result<T, Refused>,
) -> Result<T, Refused> {
    let sockets = &message.sockets;
    for (at, socket) in sockets.iter().enumerate() {
        if let Err(refused) = hand_over(*socket, to) {
            take_back(&sockets[..at]);
            return Err(refused);
        }
    }
    let sent = send(message.as_slice());
    if sent.is_err() {
        take_back(sockets);
    }
    sent
}

/// Takes sockets back that no process has received.
fn take_back(sockets: &[RawHandle]) {
    for socket in sockets {
        // This fails only if the receiver has exited meanwhile, and the socket with it.
        let _ = claim(*socket);
    }
}

/// Spawns a process that gets a message as its argument. Which process receives the sockets is known only after the
/// spawn.
pub(crate) fn deliver_to_child<T, E>(
    sockets: &[RawHandle],
    spawn: impl FnOnce() -> Result<T, E>,
    handle: impl Fn(&T) -> RawHandle,
) -> Result<T, E> {
    for socket in sockets {
        // A socket that is not the caller's any more cannot be claimed by the child either, which gets the error.
        let _ = hand_over(*socket, Receiver::Anybody);
    }
    let spawned = spawn();
    match &spawned {
        Ok(child) => {
            for socket in sockets {
                if hand_over(*socket, Receiver::Process(handle(child))).is_err() {
                    // The child has claimed it already; or it has exited, and the socket must be closed.
                    let is_back = claim(*socket).is_ok();
                    if is_back {
                        crate::host::net::close(*socket);
                    }
                }
            }
        }
        Err(_) => take_back(sockets),
    }
    spawned
}
