//! How values, keys, rows and errors are encoded in a guest's memory: little-endian numbers, lengths of 8 bytes, and
//! variants as numbers of 4 bytes.

use std::borrow::Cow;
use std::fmt;

/// The most parameters of a statement.
pub(crate) const PARAMETERS_MAX: u64 = 32_766;

/// A value of SQLite.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Blob(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    Double(f64),
    Integer(i64),
}

/// The parameter of a statement that a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    /// The parameter after the last one.
    Next,
    /// The index of a parameter, from 1.
    Index(u64),
    /// The name of a parameter, with or without its prefix.
    Name(&'a str),
}

/// Why bytes are no values to bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadBindings {
    Malformed,
    TooMany(u64),
}

use BadBindings::Malformed;

impl fmt::Display for BadBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed => write!(f, "the values to bind are not in the format of bincode 1"),
            Self::TooMany(count) => write!(
                f,
                "a statement has at most {PARAMETERS_MAX} parameters, but {count} values should be bound"
            ),
        }
    }
}

impl std::error::Error for BadBindings {}

/// A list of pairs of key and value, which are decoded one by one: all of them together can take up seven times as much
/// as their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bindings<'a>(Reader<'a>);

impl<'a> Bindings<'a> {
    /// The list that these bytes encode, with nothing after it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, BadBindings> {
        let mut reader = Reader(bytes);
        let count = reader.u64()?;
        if count > PARAMETERS_MAX {
            return Err(BadBindings::TooMany(count));
        }
        let bindings = Self(reader);
        for _ in 0..count {
            reader.binding()?;
        }
        if reader.0.is_empty() {
            Ok(bindings)
        } else {
            Err(Malformed)
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (Key<'a>, Value<'a>)> {
        let mut reader = self.0;
        // All of them have been read before, and nothing follows them.
        std::iter::from_fn(move || reader.binding().ok())
    }
}

#[derive(Debug, Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadBindings> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, BadBindings> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes")))
    }

    fn u64(&mut self) -> Result<u64, BadBindings> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    fn bytes(&mut self) -> Result<&'a [u8], BadBindings> {
        let len = usize::try_from(self.u64()?).map_err(|_| Malformed)?;
        self.take(len)
    }

    fn text(&mut self) -> Result<&'a str, BadBindings> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn binding(&mut self) -> Result<(Key<'a>, Value<'a>), BadBindings> {
        let key = match self.u32()? {
            0 => Key::Next,
            1 => Key::Index(self.u64()?),
            2 => Key::Name(self.text()?),
            _ => return Err(Malformed),
        };
        let value = match self.u32()? {
            0 => Value::Null,
            1 => Value::Blob(self.bytes()?.into()),
            2 => Value::Text(self.text()?.into()),
            3 => Value::Double(f64::from_bits(self.u64()?)),
            4 => Value::Integer(i64::from(self.u32()?.cast_signed())),
            5 => Value::Integer(self.u64()?.cast_signed()),
            _ => return Err(Malformed),
        };
        Ok((key, value))
    }
}

/// The bytes of a value in addition to its contents: the variant, and a length or a number.
pub(crate) const VALUE_HEAD_LEN: usize = 12;

/// Appends a value.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
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

/// Appends the number of the elements of a list, which follow.
pub(crate) fn write_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

/// Encodes an error: its code and SQLite's message.
pub(crate) fn error(code: u32, text: &str) -> Vec<u8> {
    let mut out = vec![1];
    out.extend(code.to_le_bytes());
    out.push(1);
    write_bytes(&mut out, text.as_bytes());
    out
}

/// Appends bytes or a text, with their number.
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_count(out, bytes.len());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(Key<'_>, Value<'_>)>, BadBindings> {
        Ok(Bindings::read(bytes)?.iter().collect())
    }

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
            (Key::Name("n"), Value::Text("hi".into())),
            (Key::Next, Value::Null),
        ];
        assert_eq!(read(&bytes), Ok(expected));
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), Err(Malformed), "{len}");
        }
        // More than a statement has parameters; without reading any.
        assert_eq!(read(&32_767_u64.to_le_bytes()), Err(BadBindings::TooMany(32_767)));
        assert_eq!(read(&32_766_u64.to_le_bytes()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn nothing_that_a_guest_writes_harms(bytes in prop::collection::vec(0..4_u8, 0..100)) {
            let _ = read(&bytes);
        }
    }
}
