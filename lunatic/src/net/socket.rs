//! The common part of all sockets: a handle that closes when it is dropped, and can be handed over.

use std::fmt;
use std::io;
use std::time::Duration;

use lunatic_sys::codes::{NO_TIMEOUT, option};
use lunatic_sys::layout::RawHandle;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::handover;
use crate::codec;
use crate::host;

/// A socket of this process.
pub(super) struct Socket {
    handle: RawHandle,
}

impl Socket {
    pub(super) fn new(handle: RawHandle) -> Self {
        Self { handle }
    }

    #[inline]
    pub(super) fn raw(&self) -> RawHandle {
        self.handle
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        host::net::clone(self.handle).map(Self::new)
    }

    pub(super) fn option(&self, option: i32) -> io::Result<u64> {
        host::net::option(self.handle, option)
    }

    pub(super) fn switch(&self, option: i32) -> io::Result<bool> {
        Ok(self.option(option)? != 0)
    }

    pub(super) fn number(&self, option: i32) -> io::Result<u32> {
        Ok(u32::try_from(self.option(option)?).unwrap_or(u32::MAX))
    }

    pub(super) fn set(&self, option: i32, value: impl Into<u64>) -> io::Result<()> {
        host::net::set_option(self.handle, option, value.into())
    }

    pub(super) fn timeout(&self, option: i32) -> io::Result<Option<Duration>> {
        let ns = self.option(option)?;
        Ok((ns != NO_TIMEOUT).then(|| Duration::from_nanos(ns)))
    }

    /// Sets a timeout. Zero is an error, as in std.
    pub(super) fn set_timeout(&self, option: i32, timeout: Option<Duration>) -> io::Result<()> {
        self.set(option, timeout.map_or(NO_TIMEOUT, host::timeout_ns))
    }

    /// The error that is pending on the socket.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let code = self.option(option::ERROR)?;
        let code = i32::try_from(code).unwrap_or(i32::MAX);
        Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        host::net::close(self.handle);
    }
}

/// Displayed as `#3`.
impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::process::write_handle(f, self.handle)
    }
}

impl Serialize for Socket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        handover::note(self.handle);
        codec::handle::serialize(self.handle, serializer)
    }
}

impl<'de> Deserialize<'de> for Socket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handle = codec::handle::deserialize(deserializer)?;
        host::net::claim(handle).map_err(|error| {
            // If the claim was refused because a limit was reached, the sender would have to pay for the socket from
            // now on.
            host::net::close(handle);
            D::Error::custom(error)
        })?;
        Ok(Self { handle })
    }
}
