//! How a closure becomes the entry of a process.
//!
//! The host can only call functions without parameters. So there is one such function, [`enter`], for each type of
//! closure. The parent passes the function's number together with the bytes of the closure; in the child the function
//! fetches these bytes and calls the closure.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::{ptr, slice};

use lunatic_sys::codes::CAPTURE_LEN_MAX;

use super::{Capture, Process};
use crate::channel::Message;
use crate::codec::{self, DefaultCodec, Scratch};
use crate::host::{self, Refused};

/// Takes the closure by reference: in unoptimised builds each move of a closure copies up to 64 KiB on the stack.
#[inline]
pub(super) fn spawn<F: Capture>(entry: &F) -> Result<Process, SpawnError> {
    if size_of::<F>() > CAPTURE_LEN_MAX {
        return Err(SpawnError::CaptureTooLarge { len: size_of::<F>() });
    }
    // SAFETY: a value of type `F` is readable for the size of `F`; bytes that may be padding are `MaybeUninit`.
    let captured = unsafe { slice::from_raw_parts(ptr::from_ref(entry).cast::<MaybeUninit<u8>>(), size_of::<F>()) };
    match host::spawn(enter::<F>, captured) {
        Ok(handle) => Ok(Process::from_raw(handle)),
        Err(refused) => Err(SpawnError::from_refused(refused)),
    }
}

/// The entry of processes that are spawned with an `F`; called by the host in the child.
pub(super) extern "C" fn enter<F: Capture>() {
    let mut entry = MaybeUninit::<F>::uninit();
    if size_of::<F>() != 0 {
        // SAFETY: `entry` is writable for the size of an `F`, and `MaybeUninit` takes any bytes.
        let bytes = unsafe { slice::from_raw_parts_mut(entry.as_mut_ptr().cast::<MaybeUninit<u8>>(), size_of::<F>()) };
        host::captured_into(bytes);
    }
    // SAFETY: these are the bytes of the `F` that `spawn` was called with, in an instance of the same module. `F` is
    // `Copy`, so a copy of its bytes is a valid `F`; and `'static`, so it borrows nothing from the parent's stack.
    let entry = unsafe { entry.assume_init_read() };
    entry();
    flush();
}

/// The bytes of a closure, followed by those of the message that is its argument.
pub(super) fn with_argument<A: Message, F>(
    argument: &A,
    entry: &F,
) -> Result<(Vec<MaybeUninit<u8>>, Scratch), SpawnError> {
    let mut message = Scratch::new();
    if let Err(error) = codec::encode::<DefaultCodec, A>(argument, &mut message) {
        return Err(SpawnError::Argument(crate::chain(&error).to_string()));
    }
    let len = size_of::<F>() + message.as_slice().len();
    if len > CAPTURE_LEN_MAX {
        return Err(SpawnError::CaptureTooLarge { len });
    }
    let mut captured = Vec::with_capacity(len);
    // SAFETY: a value of type `F` is readable for the size of `F`; bytes that may be padding are `MaybeUninit`.
    captured.extend_from_slice(unsafe {
        slice::from_raw_parts(ptr::from_ref(entry).cast::<MaybeUninit<u8>>(), size_of::<F>())
    });
    captured.extend(message.as_slice().iter().map(|byte| MaybeUninit::new(*byte)));
    Ok((captured, message))
}

/// The entry of processes that are spawned with an `F` and its argument; called by the host in the child.
pub(super) extern "C" fn enter_with<A: Message, F: FnOnce(A) + Copy + 'static>() {
    let mut bytes = vec![MaybeUninit::uninit(); host::captured_len()];
    host::captured_into(&mut bytes);
    let (entry, message) = bytes.split_at(size_of::<F>());
    // SAFETY: `with_argument` put the bytes of an `F` first, in an instance of the same module; `F` is `Copy` and
    // `'static`, as in `enter`. The bytes may be unaligned, so they are read with `read_unaligned`.
    let entry = unsafe { entry.as_ptr().cast::<F>().read_unaligned() };
    // SAFETY: the message follows the closure. Each of its bytes is initialised, and the host has written all bytes.
    let message = unsafe { message.assume_init_ref() };
    match codec::decode::<DefaultCodec, A>(message) {
        Ok(argument) => entry(argument),
        Err(error) => panic!("cannot read the argument of a process: {}", crate::chain(&error)),
    }
    drop(bytes);
    flush();
}

/// Flushes the output that `print!` left without a newline.
///
/// Rust does this when `main` returns, which a spawned process never does. `stdout` allocates its buffer on first use,
/// so it is not touched in a process that has never allocated and so has never printed: most processes are that small.
pub(crate) fn flush() {
    if host::heap_used() {
        // An error cannot be reported anywhere, and a broken pipe must not turn a normal exit into a panic.
        let _ = io::stdout().flush();
    }
}

/// Why a process could not be spawned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The closure captures too many bytes: the limit is 64 KiB. Send the rest through a channel.
    CaptureTooLarge {
        /// The size of the captured values, with the encoded argument if there is one, in bytes.
        len: usize,
    },
    /// The argument of the child cannot be encoded as a message; the text gives the reason.
    Argument(String),
    /// The host has no room for another process; the text names the limit.
    Limit(String),
    /// The name for the child is taken by this process.
    NameTaken(Process),
    /// The parent does not have the right to spawn this process; the text names the missing right.
    Denied(String),
    /// The configuration of the child is invalid; the text gives the reason.
    BadConfig(String),
    /// The module has no such function, or does not exist any more; the text says which.
    BadModule(String),
    /// The node on which to spawn refused it; the text gives the reason.
    Refused(String),
    /// The node on which to spawn is not connected, or was lost meanwhile: then it is unknown whether there is a child.
    NodeGone,
}

impl SpawnError {
    #[cold]
    pub(super) fn from_refused(refused: Refused) -> Self {
        match refused {
            Refused::Limit => Self::Limit(host::limit()),
            Refused::Denied => Self::Denied(host::text()),
            Refused::BadConfig => Self::BadConfig(host::text()),
            Refused::BadModule => Self::BadModule(host::text()),
            Refused::ByNode => Self::Refused(host::text()),
            Refused::Gone => Self::NodeGone,
            Refused::Closed => Self::BadModule("the process that compiled the module has ended".into()),
            other => panic!("the host refused to spawn a process: {other:?}"),
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaptureTooLarge { len } => write!(
                f,
                "the closure captures {len} bytes, but the limit is {CAPTURE_LEN_MAX}: send the rest through a channel"
            ),
            Self::Limit(limit) => write!(f, "the host has no room for another process: {limit}"),
            Self::NameTaken(holder) => write!(f, "the name is taken by process {holder}"),
            Self::Refused(why) => write!(f, "the node refused to spawn a process: {why}"),
            Self::NodeGone => f.write_str("the node on which to spawn a process is not connected"),
            Self::Argument(why) | Self::Denied(why) | Self::BadConfig(why) | Self::BadModule(why) => f.write_str(why),
        }
    }
}

impl Error for SpawnError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_refused_before_the_host_is_asked() {
        let much = [0_u8; CAPTURE_LEN_MAX + 1];
        let error = spawn(&move || assert_eq!(much[0], 0)).unwrap_err();
        assert_eq!(
            error,
            SpawnError::CaptureTooLarge {
                len: CAPTURE_LEN_MAX + 1
            }
        );
        assert_eq!(
            error.to_string(),
            "the closure captures 65537 bytes, but the limit is 65536: send the rest through a channel"
        );
    }

    #[test]
    #[should_panic(expected = "cargo lunatic run")]
    fn as_much_as_allowed_reaches_the_host() {
        let much = [0_u8; CAPTURE_LEN_MAX];
        let _ = spawn(&move || assert_eq!(much[0], 0));
    }
}
