//! The imports for mailboxes, names and timers.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use lunatic_sys::layout::{Header, RawHandle, Source};
use lunatic_sys::{codes, mailbox, registry, timer};

use super::{INLINE_RECEIVE_LEN, Refused, buffer, check, put_if_long, read_message, woke};

/// Sends a message to the mailbox of a process.
#[inline]
pub(crate) fn send(to: RawHandle, tag: u64, message: &[u8]) -> Result<(), Refused> {
    super::node::with_room(to, || {
        put_if_long(message)?;
        // SAFETY: `message` is readable for its length.
        check(unsafe { mailbox::send(to.id, to.key, tag, message.as_ptr(), message.len()) }).map(drop)
    })
}

/// The reference that the last call opened for the next call, or 0.
static NEXT_REFERENCE: AtomicU64 = AtomicU64::new(0);

/// Returns a reference for a call.
#[inline]
pub(crate) fn reference_for_call() -> u64 {
    match NEXT_REFERENCE.swap(0, Ordering::Relaxed) {
        0 => reference(),
        next => next,
    }
}

/// Closes the reference that the last call opened for the next call, because this instance makes no more calls.
pub(crate) fn forget_reference() {
    match NEXT_REFERENCE.swap(0, Ordering::Relaxed) {
        0 => {}
        unused => close(unused),
    }
}

/// Opens a reference.
pub(crate) fn reference() -> u64 {
    let mut reference = 0;
    // SAFETY: `reference` is writable.
    match check(unsafe { mailbox::reference(&raw mut reference) }) {
        Ok(_) => reference,
        Err(refused) => panic!("the host refused a reference: {refused:?}"),
    }
}

/// Closes a reference.
pub(crate) fn close(reference: u64) {
    // SAFETY: the import takes a number only.
    unsafe { mailbox::close(reference) }
}

/// Receives the oldest mail with one of these tags, and passes it to `read`.
#[inline]
pub(crate) fn receive<R>(tags: &[u64], timeout_ns: u64, read: impl FnOnce(&Header, &[u8]) -> R) -> Result<R, Refused> {
    let mut inline = [const { MaybeUninit::<u8>::uninit() }; INLINE_RECEIVE_LEN];
    let mut header = Header::default();
    // SAFETY: `tags` is readable and `header` and `inline` are writable for their sizes.
    let code = unsafe {
        mailbox::receive(
            tags.as_ptr(),
            tags.len(),
            &raw mut header,
            inline.as_mut_ptr().cast(),
            inline.len(),
            timeout_ns,
        )
    };
    woke();
    let len = check(code)?;
    Ok(read_message(&inline, len, |bytes| read(&header, bytes)))
}

/// The outcome of a call.
pub(crate) enum Called<R> {
    Answered(R),
    /// The callee has exited, with this encoded reason.
    Gone(Vec<u8>),
}

/// Sends a request and waits for mail under the reference, which is closed then.
#[inline]
pub(crate) fn call<R>(
    to: RawHandle,
    tag: u64,
    request: &[u8],
    mut reference: u64,
    timeout_ns: u64,
    read: impl FnOnce(&[u8]) -> R,
) -> Result<Called<R>, Refused> {
    if let Err(refused) = put_if_long(request) {
        // This counts as a call that was refused: the reference is used up.
        close(reference);
        return Err(refused);
    }
    let mut inline = [const { MaybeUninit::<u8>::uninit() }; INLINE_RECEIVE_LEN];
    // SAFETY: `request` is readable, `reference` writable, and `inline` writable for its length.
    let code = unsafe {
        mailbox::call(
            to.id,
            to.key,
            tag,
            request.as_ptr(),
            request.len(),
            &raw mut reference,
            inline.as_mut_ptr().cast(),
            inline.len(),
            timeout_ns,
        )
    };
    woke();
    let unused = NEXT_REFERENCE.swap(reference, Ordering::Relaxed);
    if unused != 0 {
        // Another call was made while the request of this call was being made.
        close(unused);
    }
    if code == codes::GONE {
        return Ok(Called::Gone(buffer()));
    }
    let len = check(code)?;
    Ok(Called::Answered(read_message(&inline, len, read)))
}

/// Waits until one of the sources is ready, and returns its index.
pub(crate) fn select(sources: &[Source], timeout_ns: u64) -> Result<usize, Refused> {
    // SAFETY: `sources` is readable for its length, and the tags in it for theirs, see `Select`.
    let code = unsafe { mailbox::select(sources.as_ptr(), sources.len(), timeout_ns) };
    woke();
    check(code)
}

/// Registers a name. False if another process has it.
pub(crate) fn register(name: &str, process: RawHandle) -> Result<bool, Refused> {
    // SAFETY: `name` is readable for its length.
    match unsafe { registry::register(name.as_ptr(), name.len(), process.id, process.key) } {
        codes::NAME_TAKEN => Ok(false),
        code => check(code).map(|_| true),
    }
}

/// Frees a name; false if no process has it.
pub(crate) fn unregister(name: &str) -> bool {
    // SAFETY: `name` is readable for its length.
    unsafe { registry::unregister(name.as_ptr(), name.len()) == codes::OK }
}

/// The process that has a name.
pub(crate) fn lookup(name: &str) -> Option<RawHandle> {
    let mut handle = RawHandle::default();
    // SAFETY: `name` is readable for its length and `handle` writable.
    (unsafe { registry::lookup(name.as_ptr(), name.len(), &raw mut handle) } == codes::OK).then_some(handle)
}

/// Adds a process to a group.
pub(crate) fn join_group(name: &str, process: RawHandle) -> Result<(), Refused> {
    // SAFETY: `name` is readable for its length.
    check(unsafe { registry::join_group(name.as_ptr(), name.len(), process.id, process.key) }).map(drop)
}

/// Removes a process from a group.
pub(crate) fn leave_group(name: &str, process: RawHandle) -> Result<(), Refused> {
    // SAFETY: `name` is readable for its length.
    check(unsafe { registry::leave_group(name.as_ptr(), name.len(), process.id, process.key) }).map(drop)
}

/// The members of a group.
pub(crate) fn members(name: &str) -> Vec<RawHandle> {
    // SAFETY: `name` is readable for its length.
    unsafe { registry::members(name.as_ptr(), name.len()) };
    RawHandle::decode_all(&buffer()).collect()
}

/// Sends a message to all members of a group, and returns how many got it.
pub(crate) fn broadcast(name: &str, tag: u64, message: &[u8]) -> Result<usize, Refused> {
    put_if_long(message)?;
    // SAFETY: `name` and `message` are readable for their lengths.
    check(unsafe { registry::broadcast(name.as_ptr(), name.len(), tag, message.as_ptr(), message.len()) })
}

/// Sets a timer, which repeats if `interval_ns` is not 0.
pub(crate) fn send_after(
    to: RawHandle,
    tag: u64,
    message: &[u8],
    delay_ns: u64,
    interval_ns: u64,
) -> Result<u64, Refused> {
    put_if_long(message)?;
    let mut timer = 0;
    // SAFETY: `message` is readable for its length and `timer` writable.
    check(unsafe {
        timer::send_after(
            to.id,
            to.key,
            tag,
            message.as_ptr(),
            message.len(),
            delay_ns,
            interval_ns,
            &raw mut timer,
        )
    })?;
    Ok(timer)
}

/// Cancels a timer; true if it had not fired yet.
pub(crate) fn cancel(timer: u64) -> bool {
    // SAFETY: the import takes a number only.
    unsafe { timer::cancel(timer) == 1 }
}

/// Stops the clock of the system; false if the caller is not its main process.
pub(crate) fn pause() -> bool {
    // SAFETY: the import takes nothing.
    unsafe { timer::pause() == codes::OK }
}
