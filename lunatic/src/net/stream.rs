//! Parts that sockets have in common: timeouts, and reading and writing of streams.

use std::borrow::Cow;
use std::io::IoSlice;

/// How many bytes [`Write::write_vectored`](std::io::Write::write_vectored) joins for one call at most.
const GATHERED_MAX: usize = 64 << 10;

/// Implements the timeouts of a socket.
macro_rules! timeouts {
    ($Socket:ident) => {
        impl $Socket {
            /// Sets the timeout of reads. `None`, the default, means that they wait for ever.
            ///
            /// # Errors
            ///
            /// - [`InvalidInput`](std::io::ErrorKind::InvalidInput) for zero.
            /// - [`NotConnected`](std::io::ErrorKind::NotConnected) if the socket was handed over.
            pub fn set_read_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.0
                    .set_timeout(lunatic_sys::codes::option::READ_TIMEOUT, timeout)
            }

            /// Sets the timeout of writes. `None`, the default, means that they wait for ever.
            ///
            /// # Errors
            ///
            /// - [`InvalidInput`](std::io::ErrorKind::InvalidInput) for zero.
            /// - [`NotConnected`](std::io::ErrorKind::NotConnected) if the socket was handed over.
            pub fn set_write_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.0
                    .set_timeout(lunatic_sys::codes::option::WRITE_TIMEOUT, timeout)
            }

            /// Returns the timeout of reads.
            ///
            /// # Errors
            ///
            /// [`NotConnected`](std::io::ErrorKind::NotConnected) if the socket was handed over.
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.0.timeout(lunatic_sys::codes::option::READ_TIMEOUT)
            }

            /// Returns the timeout of writes.
            ///
            /// # Errors
            ///
            /// [`NotConnected`](std::io::ErrorKind::NotConnected) if the socket was handed over.
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.0.timeout(lunatic_sys::codes::option::WRITE_TIMEOUT)
            }
        }
    };
}

/// Makes a socket a stream, which can be read and written by value and by reference.
macro_rules! stream {
    ($Stream:ident) => {
        $crate::net::stream::timeouts!($Stream);
        $crate::net::stream::stream!($Stream, $Stream);
        $crate::net::stream::stream!($Stream, &$Stream);

        impl $Stream {
            /// Reads as [`Read::read`](std::io::Read::read) does, as a future for [`block_on`](crate::task::block_on). The
            /// timeout of reads does not apply.
            ///
            /// # Errors
            ///
            /// As for [`Read::read`](std::io::Read::read).
            ///
            /// # Cancel safety
            ///
            /// If the future is dropped, no byte is lost.
            pub async fn read_async(&self, to: &mut [u8]) -> std::io::Result<usize> {
                let mut wait = $crate::task::waits::Wait::default();
                std::future::poll_fn(|context| match $crate::host::net::try_read(self.0.raw(), to) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        wait.for_reading(self.0.raw(), context.waker());
                        std::task::Poll::Pending
                    }
                    read => std::task::Poll::Ready(read),
                })
                .await
            }

            /// Writes as [`Write::write`](std::io::Write::write) does, as a future for [`block_on`](crate::task::block_on). The
            /// timeout of writes does not apply.
            ///
            /// # Errors
            ///
            /// As for [`Write::write`](std::io::Write::write).
            ///
            /// # Cancel safety
            ///
            /// If the future is dropped, nothing was written, except with TLS, where the bytes may be sent.
            pub async fn write_async(&self, from: &[u8]) -> std::io::Result<usize> {
                let mut wait = $crate::task::waits::Wait::default();
                std::future::poll_fn(|context| match $crate::host::net::try_write(self.0.raw(), from) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        wait.for_writing(self.0.raw(), context.waker());
                        std::task::Poll::Pending
                    }
                    written => std::task::Poll::Ready(written),
                })
                .await
            }

            /// Writes all of `from`, as a future for [`block_on`](crate::task::block_on).
            ///
            /// # Errors
            ///
            /// As for [`Write::write_all`](std::io::Write::write_all).
            ///
            /// # Cancel safety
            ///
            /// If the future is dropped, a part may have been written.
            pub async fn write_all_async(&self, mut from: &[u8]) -> std::io::Result<()> {
                while !from.is_empty() {
                    match self.write_async(from).await? {
                        0 => return Err(std::io::ErrorKind::WriteZero.into()),
                        written => from = &from[written..],
                    }
                }
                Ok(())
            }
        }

        impl std::fmt::Debug for $Stream {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($Stream), "({})"), self.0)
            }
        }
    };
    ($Stream:ident, $Reference:ty) => {
        /// A read waits for at least one byte; 0 means the end of the stream.
        impl std::io::Read for $Reference {
            #[inline]
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                $crate::host::net::read(self.0.raw(), to)
            }
        }

        /// A write waits until the system has room for at least one byte, and returns how many it took. Nothing is
        /// buffered here, so there is nothing to flush.
        impl std::io::Write for $Reference {
            #[inline]
            fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
                $crate::host::net::write(self.0.raw(), from)
            }

            fn write_vectored(&mut self, parts: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                $crate::host::net::write(self.0.raw(), &$crate::net::stream::gather(parts))
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(super) use {stream, timeouts};

/// Joins several parts, up to the size that is worth copying.
pub(super) fn gather<'a>(parts: &'a [IoSlice<'_>]) -> Cow<'a, [u8]> {
    let mut full = parts.iter().filter(|part| !part.is_empty());
    let Some(first) = full.next() else {
        return (&[][..]).into();
    };
    if full.next().is_none() || first.len() >= GATHERED_MAX {
        return (&**first).into();
    }
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>().min(GATHERED_MAX));
    for part in parts {
        let room = GATHERED_MAX - all.len();
        all.extend_from_slice(&part[..part.len().min(room)]);
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_together_up_to_a_bound() {
        let slices = |parts: &[&'static [u8]]| parts.iter().map(|part| IoSlice::new(part)).collect::<Vec<_>>();
        static LARGE: [u8; GATHERED_MAX + 1] = [7; GATHERED_MAX + 1];
        for (parts, len) in [
            (slices(&[]), 0),
            (slices(&[b"", b""]), 0),
            (slices(&[b"", b"ab", b""]), 2),
            (slices(&[b"ab", b"", b"c"]), 3),
            (slices(&[&LARGE, b"c"]), LARGE.len()),
            (slices(&[b"c", &LARGE]), GATHERED_MAX),
        ] {
            assert_eq!(gather(&parts).len(), len);
        }
        assert_eq!(&*gather(&slices(&[b"ab", b"c"])), b"abc");
    }
}
