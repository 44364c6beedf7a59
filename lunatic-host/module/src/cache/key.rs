//! The key of an entry.

use std::fmt;

/// The name of an entry: a hash of everything on which its payload depends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(blake3::Hash);

impl Key {
    /// Returns the key of a payload that depends only on `parts`.
    ///
    /// Boundaries between parts matter: `["ab", "c"]` and `["a", "bc"]` have different keys.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize())
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The name of the entry's file: 64 hexadecimal digits.
    pub(super) fn file_name(&self) -> String {
        self.0.to_hex().to_string()
    }

    /// Whether a file with this name can be an entry.
    pub(super) fn is_file_name(name: &str) -> bool {
        blake3::Hash::from_hex(name).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_where_parts_differ() {
        let all: [&[&[u8]]; 9] = [
            &[],
            &[b""],
            &[b"", b""],
            &[b"abc"],
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"a", b"b", b"c"],
            &[b"abc", b""],
            &[b"", b"abc"],
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(Key::of(a) == Key::of(b), i == j, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn a_key_names_a_file() {
        let name = Key::of(&[b"module"]).file_name();
        assert_eq!(name.len(), 64);
        assert!(Key::is_file_name(&name));
        assert!(!Key::is_file_name(&name[1..]));
        assert!(!Key::is_file_name("README"));
    }
}
