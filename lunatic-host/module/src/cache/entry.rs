//! The file of an entry: a header, and the payload.
//!
//! | offset | bytes | contents |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 8 | the length of the payload, little-endian |
//! | 16 | 32 | BLAKE3 of the key and the payload |
//! | 48 | | the payload |

use std::io::{self, Read, Write};

use super::Key;

/// The first bytes of a file. The digit is the version of the format.
const MAGIC: [u8; 8] = *b"lunatic1";
const HEADER_SIZE: usize = 48;

/// The size in bytes of the file for a payload of this length.
pub(super) fn file_size(payload_len: usize) -> u64 {
    HEADER_SIZE as u64 + payload_len as u64
}

/// Why there is no payload.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The file is not what was written, or was written for another key.
    Damaged,
    /// The file could not be read; it may be intact.
    Io,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io,
        }
    }
}

/// Writes an entry.
pub(super) fn write(mut to: impl Write, key: &Key, payload: &[u8]) -> io::Result<()> {
    let mut header = [0; HEADER_SIZE];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    header[16..].copy_from_slice(hash(key, payload).as_bytes());
    to.write_all(&header)?;
    to.write_all(payload)
}

/// Reads the entry of `key` from a file of `size` bytes.
pub(super) fn read(mut from: impl Read, size: u64, key: &Key) -> Result<Vec<u8>, ReadError> {
    let mut header = [0; HEADER_SIZE];
    from.read_exact(&mut header)?;
    let (magic, rest) = header.split_at(8);
    let (len, expected) = rest.split_at(8);
    // The length is compared with the file's before it is used, so that memory is allocated only for what exists.
    let payload_len = size - size.min(HEADER_SIZE as u64);
    if magic != MAGIC || len != payload_len.to_le_bytes() {
        return Err(ReadError::Damaged);
    }
    let mut payload = Vec::new();
    let capacity = usize::try_from(payload_len).map_err(|_| ReadError::Damaged)?;
    payload.try_reserve_exact(capacity).map_err(|_| ReadError::Io)?;
    from.take(payload_len).read_to_end(&mut payload)?;
    if payload.len() != capacity || hash(key, &payload) != *expected {
        return Err(ReadError::Damaged);
    }
    Ok(payload)
}

fn hash(key: &Key, payload: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(payload);
    hasher.finalize()
}
