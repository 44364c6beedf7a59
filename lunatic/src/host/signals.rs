//! The imports for exits, links, monitors, rights and modules, and spawns with options.

use std::mem::MaybeUninit;

use lunatic_sys::layout::{RawHandle, SpawnOptions, Spawned, Usage};
use lunatic_sys::{codes, module, process, rights};

use super::node::with_room;
use super::{Refused, check, spawn_refused};

/// Spawns a process with options. The inner error is the process that has the name already.
#[inline]
pub(crate) fn spawn_with(
    entry: extern "C" fn(),
    captured: &[MaybeUninit<u8>],
    options: &SpawnOptions,
) -> Result<Result<Spawned, RawHandle>, Refused> {
    let mut spawned = Spawned::default();
    // SAFETY: `captured` is readable for its length, `options` for its type (and the name in it for its length, see
    // `Builder`), and `spawned` is writable. On wasm32 a function pointer is its index in the function table.
    let code = unsafe {
        process::spawn(
            entry as *const () as usize,
            captured.as_ptr().cast(),
            captured.len(),
            options,
            &raw mut spawned,
        )
    };
    match code {
        codes::OK => Ok(Ok(spawned)),
        codes::NAME_TAKEN => Ok(Err(spawned.process)),
        code => Err(spawn_refused(code)),
    }
}

/// Takes what a child has written to standard output (0) or standard error (1), if it is captured.
pub(crate) fn take_output(handle: RawHandle, stream: i32) -> Result<Vec<u8>, Refused> {
    // SAFETY: the import takes numbers only.
    check(unsafe { rights::take_output(handle.id, handle.key, stream) })?;
    Ok(super::buffer())
}

/// Compiles a module.
pub(crate) fn compile(wasm: &[u8]) -> Result<RawHandle, Refused> {
    let mut handle = RawHandle::default();
    // SAFETY: `wasm` is readable for its length, and `handle` is writable.
    check(unsafe { module::compile(wasm.as_ptr(), wasm.len(), &raw mut handle) })?;
    Ok(handle)
}

/// Spawns a process that calls an exported function of a module.
pub(crate) fn spawn_export(
    module: RawHandle,
    export: &str,
    options: &SpawnOptions,
) -> Result<Result<Spawned, RawHandle>, Refused> {
    let mut spawned = Spawned::default();
    // SAFETY: `export` is readable for its length, `options` for its type and what it points to, `spawned` is writable.
    let code = unsafe {
        module::spawn_export(
            module.id,
            module.key,
            export.as_ptr(),
            export.len(),
            options,
            &raw mut spawned,
        )
    };
    match code {
        codes::OK => Ok(Ok(spawned)),
        codes::NAME_TAKEN => Ok(Err(spawned.process)),
        code => Err(Refused::from_code(code)),
    }
}

/// Whether the calling process has the right that `question` describes; `None` if the host does not know such a right.
pub(crate) fn allows(question: &str) -> Option<bool> {
    // SAFETY: `question` is readable for its length.
    match unsafe { rights::allows(question.as_ptr(), question.len()) } {
        codes::INVALID => None,
        code => Some(code == 1),
    }
}

/// The usage of the nearest budget of a process.
pub(crate) fn usage(handle: RawHandle) -> Result<Usage, Refused> {
    let mut usage = Usage::default();
    // SAFETY: `usage` is writable.
    check(unsafe { rights::usage(handle.id, handle.key, &raw mut usage) })?;
    Ok(usage)
}

/// Exits the calling process.
pub(crate) fn exit(reason: &[u8]) -> ! {
    // SAFETY: `reason` is readable for its length.
    unsafe { process::exit(reason.as_ptr(), reason.len()) };
    unreachable!("the host lets nobody return from `exit`")
}

/// Sends an exit signal.
pub(crate) fn exit_signal(handle: RawHandle, reason: &[u8]) -> Result<(), Refused> {
    with_room(handle, || {
        // SAFETY: `reason` is readable for its length.
        check(unsafe { process::exit_signal(handle.id, handle.key, reason.as_ptr(), reason.len()) }).map(drop)
    })
}

/// Links the calling process to another.
pub(crate) fn link(handle: RawHandle) -> Result<(), Refused> {
    with_room(handle, || {
        // SAFETY: the import takes numbers only.
        check(unsafe { process::link(handle.id, handle.key) }).map(drop)
    })
}

/// Removes a link.
pub(crate) fn unlink(handle: RawHandle) -> Result<(), Refused> {
    // SAFETY: the import takes numbers only.
    check(unsafe { process::unlink(handle.id, handle.key) }).map(drop)
}

/// Monitors a process, and returns the reference of the monitor.
pub(crate) fn monitor(handle: RawHandle, tag: u64) -> Result<u64, Refused> {
    let mut reference = 0;
    with_room(handle, || {
        // SAFETY: `reference` is writable.
        check(unsafe { process::monitor(handle.id, handle.key, tag, &raw mut reference) })
    })?;
    Ok(reference)
}

/// Removes a monitor and its message; true if it was active.
pub(crate) fn demonitor(reference: u64) -> bool {
    // SAFETY: the import takes numbers only.
    unsafe { process::demonitor(reference, 1) == 1 }
}

/// Sets whether exit signals become mail; returns the previous setting.
pub(crate) fn trap_exit(on: bool) -> bool {
    // SAFETY: the import takes numbers only.
    unsafe { process::trap_exit(i32::from(on)) != 0 }
}

/// The process that spawned the calling one.
pub(crate) fn parent() -> Option<RawHandle> {
    let mut handle = RawHandle::default();
    // SAFETY: `handle` is writable for the size of a handle.
    (unsafe { process::parent(&raw mut handle) } == codes::OK).then_some(handle)
}
