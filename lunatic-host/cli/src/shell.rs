//! What the shell gets: text and exit codes.

use std::io::{self, Write as _};

/// Returns the exit code for the shell, which sees only the lowest byte of a code and must not take a failure for success.
#[must_use]
pub fn shell_code(code: i32) -> u8 {
    match (code, code & 0xff) {
        (0, _) => 0,
        (_, 0) => 1,
        (_, byte) => byte as u8,
    }
}

/// Prints a text to standard output.
///
/// # Errors
///
/// If that is not possible. A closed pipe is no error: its reader, such as `head`, has read enough.
pub fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_no_success_for_the_shell() {
        for (code, expected) in [
            (0, 0),
            (1, 1),
            (101, 101),
            (255, 255),
            (256, 1),
            (512, 1),
            (257, 1),
            (300, 44),
            (-1, 255),
        ] {
            assert_eq!(shell_code(code), expected, "{code}");
        }
    }
}
