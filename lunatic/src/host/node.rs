//! The imports for the nodes of a cluster.

use std::mem::MaybeUninit;

use lunatic_sys::layout::{RawHandle, SpawnOptions, Spawned};
use lunatic_sys::{codes, node};

use super::{Refused, check, spawn_refused, woke};

/// The number of this node, or 0.
pub(crate) fn this() -> u64 {
    let mut number = 0;
    // SAFETY: `number` is writable.
    unsafe { node::this(&raw mut number) };
    number
}

/// The number of the node of a process, or 0 without a cluster; `None` if the node is not connected any more.
pub(crate) fn of(process: RawHandle) -> Result<u64, Refused> {
    let mut number = 0;
    // SAFETY: `number` is writable.
    check(unsafe { node::of(process.id, process.key, &raw mut number) })?;
    Ok(number)
}

/// Whether a process of another node has not exited yet, as that node answers.
#[cold]
pub(crate) fn is_alive(process: RawHandle) -> Result<bool, Refused> {
    // SAFETY: the import takes numbers only.
    let code = unsafe { node::is_alive(process.id, process.key) };
    woke();
    check(code).map(|alive| alive != 0)
}

/// The encoded list of nodes.
pub(crate) fn list() -> Result<Vec<u8>, Refused> {
    // SAFETY: the import takes nothing.
    check(unsafe { node::list() })?;
    Ok(super::buffer())
}

/// The encoded list of the attributes of a node.
pub(crate) fn attributes(node: u64) -> Result<Vec<u8>, Refused> {
    // SAFETY: the import takes a number only.
    check(unsafe { node::attributes(node) })?;
    Ok(super::buffer())
}

/// Asks for messages about nodes under this tag.
pub(crate) fn monitor(tag: u64) -> Result<(), Refused> {
    // SAFETY: the import takes a number only.
    check(unsafe { node::monitor(tag) }).map(drop)
}

/// Ends the messages about nodes under this tag.
pub(crate) fn demonitor(tag: u64) {
    // SAFETY: the import takes a number only.
    unsafe { node::demonitor(tag) };
}

/// Waits until something can be sent to the node of a process; false if the process is on this node.
#[cold]
pub(crate) fn room(process: RawHandle) -> bool {
    // SAFETY: the import takes numbers only.
    let code = unsafe { node::room(process.id, process.key, codes::NO_TIMEOUT) };
    woke();
    code == codes::OK
}

/// Sends something to a process; if too much waits for its node, when there is room.
#[inline]
pub(crate) fn with_room<T>(to: RawHandle, mut send: impl FnMut() -> Result<T, Refused>) -> Result<T, Refused> {
    loop {
        match send() {
            Err(Refused::Full) if room(to) => {}
            sent => return sent,
        }
    }
}

/// Spawns a process on a node.
pub(crate) fn spawn(
    node: u64,
    entry: extern "C" fn(),
    captured: &[MaybeUninit<u8>],
    options: &SpawnOptions,
) -> Result<Spawned, Refused> {
    let mut spawned = Spawned::default();
    // SAFETY: `captured` is readable for its length, `options` for its type and what it points to, and `spawned` is
    // writable. On wasm32 a function pointer is its index in the function table.
    let code = unsafe {
        node::spawn(
            node,
            entry as *const () as usize,
            captured.as_ptr().cast(),
            captured.len(),
            options,
            &raw mut spawned,
        )
    };
    woke();
    match code {
        codes::OK => Ok(spawned),
        code => Err(spawn_refused(code)),
    }
}

/// Registers a global name. False if another process has it.
pub(crate) fn register(name: &str, process: RawHandle, priority: u8, tag: u64) -> Result<bool, Refused> {
    // SAFETY: `name` is readable for its length.
    match unsafe { node::register(name.as_ptr(), name.len(), process.id, process.key, priority.into(), tag) } {
        codes::NAME_TAKEN => Ok(false),
        code => check(code).map(|_| true),
    }
}

/// Frees a global name; false if no process of this node has it.
pub(crate) fn unregister(name: &str) -> bool {
    // SAFETY: `name` is readable for its length.
    unsafe { node::unregister(name.as_ptr(), name.len()) == codes::OK }
}

/// The process that has a global name.
pub(crate) fn lookup(name: &str) -> Option<RawHandle> {
    let mut handle = RawHandle::default();
    // SAFETY: `name` is readable for its length and `handle` writable.
    (unsafe { node::lookup(name.as_ptr(), name.len(), &raw mut handle) } == codes::OK).then_some(handle)
}

/// Adds a process to a global group.
pub(crate) fn join_group(name: &str, process: RawHandle) -> Result<(), Refused> {
    // SAFETY: `name` is readable for its length.
    check(unsafe { node::join_group(name.as_ptr(), name.len(), process.id, process.key) }).map(drop)
}

/// Removes a process from a global group.
pub(crate) fn leave_group(name: &str, process: RawHandle) -> Result<(), Refused> {
    // SAFETY: `name` is readable for its length.
    check(unsafe { node::leave_group(name.as_ptr(), name.len(), process.id, process.key) }).map(drop)
}

/// The members of a global group.
pub(crate) fn members(name: &str) -> Vec<RawHandle> {
    // SAFETY: `name` is readable for its length.
    unsafe { node::members(name.as_ptr(), name.len()) };
    RawHandle::decode_all(&super::buffer()).collect()
}
