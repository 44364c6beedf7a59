//! How values, keys, rows and errors look in the memory of a guest: numbers in little endian, lengths of 8 bytes, variants
//! by numbers of 4 bytes.

use std::fmt;

/// A value of SQLite.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Blob(Vec<u8>),
    Text(String),
    Double(f64),
    Integer(i64),
}

/// Which parameter of a statement a value is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// The one after the last.
    Next,
    /// Counted from 1.
    Index(u64),
    /// With or without the sign that names begin with.
    Name(String),
}

/// These are no bound values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the values to bind are not written as bincode 1 writes them")
    }
}

impl std::error::Error for Malformed {}

/// Reads a list of pairs of key and value, with nothing behind it.
pub(crate) fn read_bindings(bytes: &[u8]) -> Result<Vec<(Key, Value)>, Malformed> {
    let mut reader = Reader(bytes);
    let count = reader.u64()?;
    let mut bindings = Vec::new();
    for _ in 0..count {
        let key = match reader.u32()? {
            0 => Key::Next,
            1 => Key::Index(reader.u64()?),
            2 => Key::Name(reader.text()?),
            _ => return Err(Malformed),
        };
        let value = match reader.u32()? {
            0 => Value::Null,
            1 => Value::Blob(reader.bytes()?.to_vec()),
            2 => Value::Text(reader.text()?),
            3 => Value::Double(f64::from_bits(reader.u64()?)),
            4 => Value::Integer(i64::from(reader.u32()?.cast_signed())),
            5 => Value::Integer(reader.u64()?.cast_signed()),
            _ => return Err(Malformed),
        };
        bindings.push((key, value));
    }
    if reader.0.is_empty() {
        Ok(bindings)
    } else {
        Err(Malformed)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.u64()?).map_err(|_| Malformed)?;
        self.take(len)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Malformed)
    }
}

/// Appends a value.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value) {
    let mut variant = |number: u32| out.extend(number.to_le_bytes());
    match value {
        Value::Null => variant(0),
        Value::Blob(bytes) => {
            variant(1);
            write_bytes(out, bytes);
        }
        Value::Text(text) => {
            variant(2);
            write_bytes(out, text.as_bytes());
        }
        Value::Double(number) => {
            variant(3);
            out.extend(number.to_le_bytes());
        }
        Value::Integer(number) => {
            variant(4);
            out.extend(number.to_le_bytes());
        }
    }
}

/// A row.
pub(crate) fn row(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((values.len() as u64).to_le_bytes());
    values.iter().for_each(|value| write_value(&mut out, value));
    out
}

/// A list of texts.
pub(crate) fn texts(texts: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((texts.len() as u64).to_le_bytes());
    texts.iter().for_each(|text| write_bytes(&mut out, text.as_bytes()));
    out
}

/// An error: its code and what SQLite says about it.
pub(crate) fn error(code: u32, text: &str) -> Vec<u8> {
    let mut out = vec![1];
    out.extend(code.to_le_bytes());
    out.push(1);
    write_bytes(&mut out, text.as_bytes());
    out
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bindings_are_read_as_bincode_writes_them() {
        let mut bytes = vec![3, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([
            2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'n', 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'h', b'i',
        ]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0]);
        let expected = vec![
            (Key::Index(2), Value::Integer(-1)),
            (Key::Name("n".into()), Value::Text("hi".into())),
            (Key::Next, Value::Null),
        ];
        assert_eq!(read_bindings(&bytes), Ok(expected));
        for len in 0..bytes.len() {
            assert_eq!(read_bindings(&bytes[..len]), Err(Malformed), "{len}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_guest_writes_harms(bytes in prop::collection::vec(0..4_u8, 0..100)) {
            let _ = read_bindings(&bytes);
        }
    }
}
