//! The secret that clients present over TCP.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rand::TryRng as _;
use rand::rngs::SysRng;

/// The number of random bytes in a generated token.
const LEN: usize = 32;
/// The fewest characters of a token from a file.
const LEN_MIN: usize = 16;
const LEN_MAX: usize = 1024;

/// A secret: whoever knows it may do everything that the door allows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Generates a token of 256 random bits from the operating system.
    ///
    /// # Errors
    ///
    /// If the operating system provides no random numbers.
    pub fn draw() -> io::Result<Self> {
        let mut bytes = [0; LEN];
        SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        let mut text = String::with_capacity(2 * LEN);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("a text takes all");
        }
        Ok(Self(text))
    }

    /// Reads the first line of a file: 16 to 1024 visible ASCII characters.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has no such line, or can be read by anyone but its owner.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other("other users can open it: run `chmod 600` on it"));
        }
        let mut text = String::new();
        file.take(2 * LEN_MAX as u64).read_to_string(&mut text)?;
        let line = text.lines().next().unwrap_or_default().trim();
        let is_long_enough = (LEN_MIN..=LEN_MAX).contains(&line.len());
        if !is_long_enough || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(io::Error::other(format!(
                "its first line is not a token, which has {LEN_MIN} to {LEN_MAX} ASCII letters, digits and punctuation marks"
            )));
        }
        Ok(Self(line.to_owned()))
    }

    /// Returns the secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a client has presented it. The time that this takes reveals nothing: hashes are compared, in constant
    /// time.
    pub(crate) fn is(&self, said: &[u8]) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(said)
    }
}

/// Omits the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn no_two_are_alike_and_none_is_printed() {
        let tokens = [Token::draw().unwrap(), Token::draw().unwrap()];
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(tokens[0].reveal().len(), 2 * LEN);
        assert!(tokens[0].is(tokens[0].reveal().as_bytes()) && !tokens[0].is(tokens[1].reveal().as_bytes()));
        assert!(!tokens[0].is(b"") && !tokens[0].is(&tokens[0].reveal().as_bytes()[1..]));
        assert!(!format!("{tokens:?}").contains(tokens[0].reveal()));
    }

    #[test]
    fn a_file_has_one_that_only_its_owner_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str, mode| {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Token::read(&path)
        };
        assert!(read("0123456789abcdef\nmore", 0o600).unwrap().is(b"0123456789abcdef"));
        for (text, mode) in [
            ("0123456789abcdef", 0o640),
            ("0123456789abcdef", 0o604),
            ("too short", 0o600),
            ("0123456789 abcdef", 0o600),
            ("0123456789äbcdef", 0o600),
            ("", 0o600),
            (&"x".repeat(LEN_MAX + 1), 0o600),
        ] {
            assert!(read(text, mode).is_err(), "{text} {mode:o}");
        }
    }
}
