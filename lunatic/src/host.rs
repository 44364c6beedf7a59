//! The only module that calls `lunatic-sys`: one safe wrapper for each import, and the scratch memory that they need.
//!
//! The safety argument is the same for all wrappers: a pointer is passed together with the length of the memory that it
//! points to, and the host reads or writes no more than that. Results are translated into [`Refused`] or plain values
//! here; the modules above (process, channel, …) turn them into their own errors.

pub(crate) mod code;
mod heap;
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) mod log;
pub(crate) mod looks;
pub(crate) mod mail;
pub(crate) mod metrics;
pub(crate) mod net;
pub(crate) mod node;
mod scratch;
mod signals;
pub(crate) mod trace;

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use heap::heap_used;
#[cfg(debug_assertions)]
pub(crate) use heap::{heap_bounds, starts_allocation};
use lunatic_sys::layout::RawHandle;
#[cfg(debug_assertions)]
use lunatic_sys::layout::Source;
use lunatic_sys::{buffer, channel, codes, process};
pub use scratch::{Scratch, TooLarge};
pub(crate) use signals::{
    allows, compile, demonitor, exit, exit_signal, link, monitor, parent, spawn_export, spawn_with, take_output,
    trap_exit, unlink, usage,
};

/// How many bytes of a message are received without using the heap.
///
/// A larger message costs one allocation and one more host call. The bytes lie on the shadow stack, which a process
/// that receives has touched anyway.
const INLINE_RECEIVE_LEN: usize = 512;

/// Why the host did not carry out a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The host never gave out the handle.
    Invalid,
    /// The owner of the channel has exited.
    Closed,
    /// The channel holds as many messages as its bound allows.
    Full,
    /// There is no message.
    Empty,
    /// The timeout passed.
    TimedOut,
    /// A limit was reached; [`limit`] names it.
    Limit,
    /// The process does not have the right; [`text`] explains it.
    Denied,
    /// The configuration is invalid; [`text`] gives the reason.
    BadConfig,
    /// The module is invalid or lacks something; [`text`] gives the reason.
    BadModule,
    /// Another node refused a spawn, or what was sent cannot travel there; [`text`] gives the reason.
    ByNode,
    /// A node is lost, or was not connected; the buffer holds the exit reason.
    Gone,
    /// The channel is on another node, so the call must be one that waits for the answer.
    Elsewhere,
}

impl Refused {
    /// Translates a negative result.
    #[cold]
    fn from_code(code: i32) -> Self {
        match code {
            codes::INVALID => Self::Invalid,
            codes::CLOSED => Self::Closed,
            codes::FULL => Self::Full,
            codes::EMPTY => Self::Empty,
            codes::TIMED_OUT => Self::TimedOut,
            codes::LIMIT => Self::Limit,
            codes::DENIED => Self::Denied,
            codes::BAD_CONFIG => Self::BadConfig,
            codes::BAD_MODULE => Self::BadModule,
            codes::REFUSED => Self::ByNode,
            codes::GONE => Self::Gone,
            codes::ELSEWHERE => Self::Elsewhere,
            _ => unknown_code(code),
        }
    }
}

/// Separates results from error codes: zero or more is a result.
#[inline]
fn check(code: i32) -> Result<usize, Refused> {
    if code >= 0 {
        Ok(code as usize)
    } else {
        Err(Refused::from_code(code))
    }
}

#[cold]
pub(crate) fn unknown_code(code: i32) -> ! {
    // This function is linked wherever the host is called.
    #[cfg(any(feature = "log", feature = "tracing"))]
    log::keep();
    panic!("the host answered with the unknown code {code}: build this program with the host's version of lunatic")
}

/// Called when the process goes on after a wait.
#[inline]
pub(crate) fn woke() {
    #[cfg(any(feature = "log", feature = "tracing"))]
    crate::log::woke();
}

/// The timeout in the host's unit, nanoseconds. A timeout that does not fit (584 years or more) never passes.
pub(crate) fn timeout_ns(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(codes::NO_TIMEOUT)
}

/// The bytes that the last call left in the buffer.
#[cold]
pub(crate) fn buffer() -> Vec<u8> {
    // SAFETY: the import takes nothing and touches no memory of ours.
    let len = unsafe { buffer::len() };
    take(len)
}

/// The text that the last call left in the buffer.
#[cold]
pub(crate) fn text() -> String {
    match String::from_utf8(buffer()) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// The limit that the last call reached.
#[cold]
pub(crate) fn limit() -> String {
    text()
}

/// The `len` bytes that the last call left in the buffer.
#[cold]
fn take(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    // SAFETY: `bytes` has room for `len` bytes, and the host writes exactly `len` or traps.
    unsafe {
        buffer::take(bytes.as_mut_ptr(), len);
        bytes.set_len(len);
    }
    bytes
}

/// Puts a message that is about to be sent into the buffer, if it is too long for a host call to copy it in one step.
///
/// Must be called before each import that sends.
#[inline]
fn put_if_long(message: &[u8]) -> Result<(), Refused> {
    match message.len() > codes::IN_PLACE_LEN_MAX {
        true => put(message),
        false => Ok(()),
    }
}

#[cold]
fn put(message: &[u8]) -> Result<(), Refused> {
    // SAFETY: `message` is readable for its length.
    check(unsafe { buffer::put(message.as_ptr(), message.len()) }).map(drop)
}

/// Spawns a process that calls `entry`, which can fetch `captured` with [`captured_into`].
#[inline]
pub(crate) fn spawn(entry: extern "C" fn(), captured: &[MaybeUninit<u8>]) -> Result<RawHandle, Refused> {
    let mut handle = RawHandle::default();
    // SAFETY: `captured` is readable for its length (the host does not interpret it, so padding is harmless), and
    // `handle` is writable for the size of a handle. On wasm32 a function pointer is its index in the function table.
    let code = unsafe {
        process::spawn_closure(
            entry as *const () as usize,
            captured.as_ptr().cast(),
            captured.len(),
            &raw mut handle,
        )
    };
    if code == codes::OK {
        Ok(handle)
    } else {
        Err(spawn_refused(code))
    }
}

/// Handles a failed spawn; and keeps `process::next` among the imports of the module.
///
/// The host adds a loop to the module that runs spawned entries one after the other in one instance, and that calls
/// `process::next` to find out what to run. An import cannot be added to a finished module without renumbering all its
/// functions, so the module must import it, although no code of the guest calls it. A static that is read as volatile
/// is not optimised away, and this function is linked exactly if spawning is.
#[cold]
fn spawn_refused(code: i32) -> Refused {
    static NEXT: Next = process::next;
    // SAFETY: `NEXT` is a static: initialised, aligned and never written.
    unsafe { (&raw const NEXT).read_volatile() };
    Refused::from_code(code)
}

/// The type of `process::next`; only its calling convention differs between targets.
#[cfg(target_arch = "wasm32")]
type Next = unsafe extern "C" fn() -> i32;
/// The type of `process::next`; only its calling convention differs between targets.
#[cfg(not(target_arch = "wasm32"))]
type Next = unsafe fn() -> i32;

/// Copies the values that this process was spawned with to `to`. If `to` does not have exactly their size, the process
/// traps.
#[inline]
pub(crate) fn captured_into(to: &mut [MaybeUninit<u8>]) {
    // SAFETY: `to` is writable for its length.
    unsafe { process::captured(to.as_mut_ptr().cast(), to.len()) }
}

/// The size of the values that this process was spawned with, in bytes.
pub(crate) fn captured_len() -> usize {
    // SAFETY: the import takes nothing and touches no memory of ours.
    unsafe { process::captured_len() }
}

/// The calling process.
pub(crate) fn this() -> RawHandle {
    // Each process has its own memory and in it its own copy of this static, which is zero until the process first
    // asks.
    static THIS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    let [id, key] = [0, 1].map(|part| THIS[part].load(Ordering::Relaxed));
    if id != 0 {
        return RawHandle { id, key };
    }
    let handle = ask_who_this_is();
    THIS[1].store(handle.key, Ordering::Relaxed);
    THIS[0].store(handle.id, Ordering::Relaxed);
    handle
}

#[cold]
fn ask_who_this_is() -> RawHandle {
    let mut handle = RawHandle::default();
    // SAFETY: `handle` is writable for the size of a handle.
    unsafe { process::this(&raw mut handle) };
    handle
}

/// Whether a process has not exited yet.
pub(crate) fn is_alive(handle: RawHandle) -> Result<bool, Refused> {
    if !handle.is_of_node_of(this()) {
        return node::is_alive(handle);
    }
    // SAFETY: the import takes numbers only.
    check(unsafe { process::is_alive(handle.id, handle.key) }).map(|alive| alive != 0)
}

/// Whether this is a handle of a process or of a channel.
#[cfg(debug_assertions)]
pub(crate) fn is_handle(handle: RawHandle) -> bool {
    let as_channel = Source {
        kind: codes::source::CHANNEL,
        tags_len: 0,
        a: handle.id,
        b: handle.key,
    };
    // The other node need not be asked.
    // SAFETY: the import takes numbers only.
    let is_process = unsafe { process::is_alive(handle.id, handle.key) } != codes::INVALID;
    is_process || mail::select(&[as_channel], 0) != Err(Refused::Invalid)
}

/// Kills a process.
pub(crate) fn kill(handle: RawHandle) -> Result<(), Refused> {
    node::with_room(handle, || {
        // SAFETY: the import takes numbers only.
        check(unsafe { process::kill_handle(handle.id, handle.key) }).map(drop)
    })
}

/// Waits for a process to exit. Returns one of `codes::exit`, and leaves the reason in the buffer.
pub(crate) fn join(handle: RawHandle, timeout_ns: u64) -> Result<i32, Refused> {
    // SAFETY: the import takes numbers only.
    let code = unsafe { process::join(handle.id, handle.key, timeout_ns) };
    woke();
    check(code).map(|_| code)
}

/// Blocks the calling process.
pub(crate) fn sleep_ns(ns: u64) {
    // SAFETY: the import takes numbers only.
    unsafe { process::sleep_ns(ns) }
    woke();
}

/// Lets other processes run first.
pub(crate) fn yield_now() {
    // SAFETY: the import takes nothing.
    unsafe { process::yield_now() }
    woke();
}

/// Makes a channel that the calling process owns.
pub(crate) fn channel_new(bound: u64) -> Result<RawHandle, Refused> {
    let mut handle = RawHandle::default();
    // SAFETY: `handle` is writable for the size of a handle.
    check(unsafe { channel::new(bound, &raw mut handle) })?;
    Ok(handle)
}

/// Sends a message without waiting.
#[inline]
pub(crate) fn try_send(channel: RawHandle, message: &[u8]) -> Result<(), Refused> {
    put_if_long(message)?;
    // SAFETY: `message` is readable for its length.
    let code = unsafe { channel::try_send(channel.id, channel.key, message.as_ptr(), message.len()) };
    match code {
        codes::OK => Ok(()),
        codes::ELSEWHERE => try_send_elsewhere(channel, message),
        code => Err(Refused::from_code(code)),
    }
}

/// Sends a message to a channel of another node, and waits only for the answer. A long message is in the buffer already.
#[cold]
fn try_send_elsewhere(channel: RawHandle, message: &[u8]) -> Result<(), Refused> {
    // SAFETY: `message` is readable for its length.
    match unsafe { channel::send(channel.id, channel.key, message.as_ptr(), message.len(), 0) } {
        codes::OK => Ok(()),
        codes::TIMED_OUT => Err(Refused::Full),
        code => Err(Refused::from_code(code)),
    }
}

/// Sends a message; waits while the channel is full.
#[inline]
pub(crate) fn send(channel: RawHandle, message: &[u8], timeout_ns: u64) -> Result<(), Refused> {
    put_if_long(message)?;
    // SAFETY: `message` is readable for its length.
    let code = unsafe { channel::send(channel.id, channel.key, message.as_ptr(), message.len(), timeout_ns) };
    if code == codes::OK {
        Ok(())
    } else {
        Err(Refused::from_code(code))
    }
}

/// Receives the oldest message without waiting, and passes its bytes to `read`.
#[inline]
pub(crate) fn try_receive<R>(channel: RawHandle, read: impl FnOnce(&[u8]) -> R) -> Result<R, Refused> {
    let mut inline = [const { MaybeUninit::<u8>::uninit() }; INLINE_RECEIVE_LEN];
    let len = match try_receive_into(channel, &mut inline) {
        Err(Refused::Elsewhere) => match receive_into(channel, &mut inline, 0) {
            Err(Refused::TimedOut) => Err(Refused::Empty),
            other => other,
        },
        other => other,
    }?;
    Ok(read_message(&inline, len, read))
}

/// Receives the oldest message, waiting for one, and passes its bytes to `read`.
///
/// It first tries the call that never waits, because that costs the host less, and when messages come fast there
/// usually is one.
#[inline]
pub(crate) fn receive<R>(channel: RawHandle, timeout_ns: u64, read: impl FnOnce(&[u8]) -> R) -> Result<R, Refused> {
    let mut inline = [const { MaybeUninit::<u8>::uninit() }; INLINE_RECEIVE_LEN];
    let len = match try_receive_into(channel, &mut inline) {
        Err(Refused::Empty | Refused::Elsewhere) => receive_into(channel, &mut inline, timeout_ns)?,
        other => other?,
    };
    Ok(read_message(&inline, len, read))
}

#[inline]
fn try_receive_into(channel: RawHandle, to: &mut [MaybeUninit<u8>]) -> Result<usize, Refused> {
    // SAFETY: `to` is writable for its length.
    let code = unsafe { channel::try_receive(channel.id, channel.key, to.as_mut_ptr().cast(), to.len()) };
    // The common error does not go through the cold function.
    if code == codes::EMPTY {
        Err(Refused::Empty)
    } else {
        check(code)
    }
}

#[inline]
fn receive_into(channel: RawHandle, to: &mut [MaybeUninit<u8>], timeout_ns: u64) -> Result<usize, Refused> {
    // SAFETY: `to` is writable for its length.
    let code = unsafe { channel::receive(channel.id, channel.key, to.as_mut_ptr().cast(), to.len(), timeout_ns) };
    woke();
    check(code)
}

/// Passes the message of `len` bytes to `read`. A receive has put it into `inline`, or left it in the buffer if it is
/// longer.
#[inline]
fn read_message<R>(inline: &[MaybeUninit<u8>], len: usize, read: impl FnOnce(&[u8]) -> R) -> R {
    match inline.get(..len) {
        // SAFETY: a receive that returns a length within the capacity has written that many bytes.
        Some(message) => read(unsafe { message.assume_init_ref() }),
        None => read(&take(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_meanings() {
        for (code, meaning) in [
            (codes::INVALID, Refused::Invalid),
            (codes::CLOSED, Refused::Closed),
            (codes::FULL, Refused::Full),
            (codes::EMPTY, Refused::Empty),
            (codes::TIMED_OUT, Refused::TimedOut),
            (codes::LIMIT, Refused::Limit),
            (codes::DENIED, Refused::Denied),
            (codes::BAD_CONFIG, Refused::BadConfig),
            (codes::BAD_MODULE, Refused::BadModule),
            (codes::REFUSED, Refused::ByNode),
            (codes::ELSEWHERE, Refused::Elsewhere),
            (codes::GONE, Refused::Gone),
        ] {
            assert_eq!(check(code), Err(meaning));
        }
        assert_eq!(check(0), Ok(0));
        assert_eq!(check(i32::MAX), Ok(i32::MAX as usize));
    }

    #[test]
    #[should_panic(expected = "unknown code -99")]
    fn unknown_codes_say_so() {
        let _ = check(-99);
    }

    #[test]
    fn timeouts_saturate() {
        assert_eq!(timeout_ns(Duration::ZERO), 0);
        assert_eq!(timeout_ns(Duration::from_nanos(7)), 7);
        assert_eq!(timeout_ns(Duration::from_secs(1)), 1_000_000_000);
        assert_eq!(timeout_ns(Duration::MAX), codes::NO_TIMEOUT);
    }

    #[test]
    fn short_messages_are_read_in_place() {
        let mut inline = [MaybeUninit::uninit(); 8];
        inline[..3].write_copy_of_slice(b"abc");
        assert_eq!(read_message(&inline, 3, <[u8]>::to_vec), b"abc");
        assert_eq!(read_message(&inline, 0, <[u8]>::len), 0);
    }
}
