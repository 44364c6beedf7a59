//! Errors of the operating system as WASI's error numbers.
//!
//! These numbers are the same on every system, guests' libraries know their names and texts, and Rust's std derives an
//! `ErrorKind` from them.

use std::io;

use rustix::io::Errno;

/// Returns the error number of WASI preview 1 for an error.
pub fn of(error: &io::Error) -> i32 {
    match error.raw_os_error() {
        Some(code) => of_code(Errno::from_raw_os_error(code)),
        None => of_kind(error.kind()),
    }
}

const ACCES: i32 = 2;
const ADDRINUSE: i32 = 3;
const ADDRNOTAVAIL: i32 = 4;
const INVAL: i32 = 28;
const IO: i32 = 29;

fn of_code(errno: Errno) -> i32 {
    let table = [
        (Errno::TOOBIG, 1),
        (Errno::ACCESS, ACCES),
        (Errno::ADDRINUSE, ADDRINUSE),
        (Errno::ADDRNOTAVAIL, ADDRNOTAVAIL),
        (Errno::AFNOSUPPORT, 5),
        (Errno::AGAIN, 6),
        (Errno::ALREADY, 7),
        (Errno::BADF, 8),
        (Errno::BUSY, 10),
        (Errno::CONNABORTED, 13),
        (Errno::CONNREFUSED, 14),
        (Errno::CONNRESET, 15),
        (Errno::DESTADDRREQ, 17),
        (Errno::EXIST, 20),
        (Errno::FAULT, 21),
        (Errno::HOSTUNREACH, 23),
        (Errno::INPROGRESS, 26),
        (Errno::INTR, 27),
        (Errno::INVAL, INVAL),
        (Errno::IO, IO),
        (Errno::ISCONN, 30),
        (Errno::ISDIR, 31),
        (Errno::LOOP, 32),
        (Errno::MFILE, 33),
        (Errno::MSGSIZE, 35),
        (Errno::NAMETOOLONG, 37),
        (Errno::NETDOWN, 38),
        (Errno::NETRESET, 39),
        (Errno::NETUNREACH, 40),
        (Errno::NFILE, 41),
        (Errno::NOBUFS, 42),
        (Errno::NODEV, 43),
        (Errno::NOENT, 44),
        (Errno::NOMEM, 48),
        (Errno::NOPROTOOPT, 50),
        (Errno::NOSPC, 51),
        (Errno::NOSYS, 52),
        (Errno::NOTCONN, 53),
        (Errno::NOTDIR, 54),
        (Errno::NOTSOCK, 57),
        (Errno::NOTSUP, 58),
        (Errno::NXIO, 60),
        (Errno::OPNOTSUPP, 58),
        (Errno::OVERFLOW, 61),
        (Errno::PERM, 63),
        (Errno::PIPE, 64),
        (Errno::PROTO, 65),
        (Errno::PROTONOSUPPORT, 66),
        (Errno::PROTOTYPE, 67),
        (Errno::ROFS, 69),
        (Errno::TIMEDOUT, 73),
    ];
    table
        .iter()
        .find(|(own, _)| *own == errno)
        .map_or(IO, |(_, wasi)| *wasi)
}

/// For errors that std creates without the operating system.
fn of_kind(kind: io::ErrorKind) -> i32 {
    match kind {
        io::ErrorKind::PermissionDenied => ACCES,
        io::ErrorKind::AddrInUse => ADDRINUSE,
        io::ErrorKind::AddrNotAvailable => ADDRNOTAVAIL,
        io::ErrorKind::WouldBlock => 6,
        io::ErrorKind::ConnectionAborted => 13,
        io::ErrorKind::ConnectionRefused => 14,
        io::ErrorKind::ConnectionReset => 15,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => INVAL,
        io::ErrorKind::NotFound => 44,
        io::ErrorKind::OutOfMemory => 48,
        io::ErrorKind::QuotaExceeded => 33,
        io::ErrorKind::NotConnected => 53,
        io::ErrorKind::Unsupported => 58,
        io::ErrorKind::BrokenPipe => 64,
        io::ErrorKind::TimedOut => 73,
        _ => IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_numbers_of_wasi() {
        for (code, wasi) in [
            (Errno::CONNREFUSED, 14),
            (Errno::CONNRESET, 15),
            (Errno::PIPE, 64),
            (Errno::ADDRINUSE, 3),
            (Errno::SHUTDOWN, 29),
        ] {
            assert_eq!(of(&io::Error::from_raw_os_error(code.raw_os_error())), wasi, "{code:?}");
        }
        assert_eq!(of(&io::ErrorKind::NotConnected.into()), 53);
        assert_eq!(of(&io::Error::other("strange")), 29);
    }
}
