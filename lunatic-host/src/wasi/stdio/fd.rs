//! Writes to a file descriptor of the host without waiting.
//!
//! The descriptor is shared with the program that started the host, so it cannot be made non-blocking: this would
//! change it for that program, too. Regular files are written to directly. For everything else (pipes, terminals,
//! sockets), Linux is asked to write without waiting (`RWF_NOWAIT`); where it cannot, `poll` tells whether there is
//! room for a small write.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// The room that `poll` guarantees: a pipe takes at least `PIPE_BUF` bytes, which POSIX sets to 512 or more; terminals
/// are ready when their buffer has room for 256.
const POLLED_LEN_MAX: usize = 256;

/// A descriptor of the host for output.
pub(super) struct Fd {
    file: File,
    /// Whether it is a regular file: writing to it counts as not waiting.
    regular: bool,
    /// Whether the kernel cannot write here without waiting.
    poll: AtomicBool,
}

impl Fd {
    /// The same open file as `fd`, through a separate descriptor.
    ///
    /// # Errors
    ///
    /// If `fd` is not open, or the process has no descriptor left.
    pub(super) fn like(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self::new(fd.as_fd().try_clone_to_owned()?))
    }

    pub(super) fn new(fd: OwnedFd) -> Self {
        let file = File::from(fd);
        let kind = file.metadata().map(|meta| meta.file_type());
        let regular = kind.is_ok_and(|kind| kind.is_file() || kind.is_block_device());
        Self {
            file,
            regular,
            poll: AtomicBool::new(!cfg!(target_os = "linux")),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&self.file)
    }

    /// Writes as much of `text` as is possible without waiting, and returns how much that was.
    ///
    /// # Errors
    ///
    /// As for `write(2)`, except that a write that would block returns a short count instead of an error.
    pub(super) fn write_now(&self, text: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < text.len() {
            let rest = &text[done..];
            let result = if self.regular {
                (&self.file).write(rest)
            } else if self.poll.load(Ordering::Relaxed) {
                self.write_polled(rest)
            } else {
                self.write_nowait(rest)
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => done += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes all of `text`, however long that takes.
    ///
    /// # Errors
    ///
    /// As for `write(2)`.
    pub(super) fn write_all(&self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match (&self.file).write(text) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(len) => text = &text[len..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The program that started the host has made the descriptor non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => _ = self.wait(-1)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn write_nowait(&self, text: &[u8]) -> io::Result<usize> {
        let part = libc::iovec {
            iov_base: text.as_ptr().cast_mut().cast(),
            iov_len: text.len(),
        };
        // SAFETY: `part` describes `text`, which the call only reads; the descriptor is open as long as `self.file`.
        let len = unsafe { libc::pwritev2(self.file.as_raw_fd(), &part, 1, -1, libc::RWF_NOWAIT) };
        if len >= 0 {
            return Ok(len as usize);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // An older kernel, or an unsupported device: from now on, use `poll` first.
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::ESPIPE) => {
                self.poll.store(true, Ordering::Relaxed);
                self.write_polled(text)
            }
            _ => Err(error),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn write_nowait(&self, text: &[u8]) -> io::Result<usize> {
        self.write_polled(text)
    }

    fn write_polled(&self, text: &[u8]) -> io::Result<usize> {
        match self.wait(0)? {
            true => (&self.file).write(&text[..text.len().min(POLLED_LEN_MAX)]),
            false => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Waits until there is room, for at most this many milliseconds (-1: forever). An error counts as room: the write
    /// that follows returns it.
    fn wait(&self, timeout_ms: i32) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.file.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: `poll` is one valid `pollfd` and the count is 1.
        match unsafe { libc::poll(&mut poll, 1, timeout_ms) } {
            -1 => Err(io::Error::last_os_error()),
            ready => Ok(ready > 0),
        }
    }
}
