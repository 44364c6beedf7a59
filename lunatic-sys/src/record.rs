//! Record bytes: log records, as they cross the boundary between guest and host.
//!
//! Numbers are little-endian. A text is its length as a `u16`, followed by UTF-8.
//!
//! | part | meaning |
//! |---|---|
//! | `u8` | the level, 1 to 5 |
//! | text | the target: the part of the program that the record is about, such as `shop::stock`; at most [`TARGET_LEN_MAX`] bytes |
//! | text | the message |
//! | fields | a `u16`, their number; then for each a name (text) and a value |
//! | spans | a `u16`, their number; then for each a name (text) and fields, the outermost first |
//!
//! A value is a `u8`, its type, followed by its content: 0, a text; 1, an `i64`; 2, a `u64`; 3, an `f64`; 4, a `u8`
//! that is 0 or 1.

use std::borrow::Cow;

use crate::log::{ERROR, TARGET_LEN_MAX, TRACE};

/// The longest record, in bytes.
pub const RECORD_LEN_MAX: usize = 16 << 10;

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number that may be negative.
    Signed(i64),
    /// A number that is not negative.
    Unsigned(u64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Signed(number)
    }
}

impl From<i32> for Value<'_> {
    fn from(number: i32) -> Self {
        Self::Signed(number.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self::Unsigned(number.into())
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// A list of names with values, encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    count: u16,
    bytes: Vec<u8>,
}

/// The longest text of a field that [`Fields::add`] does not cut, in bytes.
const TEXT_LEN_MAX: usize = 4 << 10;
/// The longest message that [`encode`] does not cut, in bytes.
const MESSAGE_LEN_MAX: usize = 8 << 10;
/// The end of a text that was cut.
const CUT: &str = "…";

impl Fields {
    /// Adds a field. A name or text that is too long is cut, and ends with `…`.
    pub fn add(&mut self, name: &str, value: &Value<'_>) {
        let Some(count) = self.count.checked_add(1) else { return };
        self.count = count;
        put_text(&mut self.bytes, name, TARGET_LEN_MAX);
        let mut number = |kind: u8, bytes: &[u8]| {
            self.bytes.push(kind);
            self.bytes.extend_from_slice(bytes);
        };
        match value {
            Value::Text(text) => {
                number(0, &[]);
                put_text(&mut self.bytes, text, TEXT_LEN_MAX);
            }
            Value::Signed(value) => number(1, &value.to_le_bytes()),
            Value::Unsigned(value) => number(2, &value.to_le_bytes()),
            Value::Float(value) => number(3, &value.to_le_bytes()),
            Value::Bool(value) => number(4, &[u8::from(*value)]),
        }
    }

    /// Adds the fields of another list.
    pub fn extend(&mut self, others: &Self) {
        if let Some(count) = self.count.checked_add(others.count) {
            self.count = count;
            self.bytes.extend_from_slice(&others.bytes);
        }
    }

    /// Returns the bytes of the fields alone, as in a record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 2);
        self.put(&mut bytes);
        bytes
    }

    /// Returns whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.count.to_le_bytes());
        bytes.extend_from_slice(&self.bytes);
    }
}

/// Encodes a record. `spans` are names with fields, the outermost first.
///
/// If the record is too long, parts are cut or omitted: first a long target or message is cut, then the fields are all
/// omitted if they do not fit, then the spans that do not fit.
#[must_use]
pub fn encode<'a>(
    level: i32,
    target: &str,
    message: &str,
    fields: &Fields,
    spans: impl IntoIterator<Item = (&'a str, &'a Fields)>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + target.len() + message.len().min(MESSAGE_LEN_MAX) + fields.bytes.len());
    bytes.push(u8::try_from(level).unwrap_or_default());
    put_text(&mut bytes, target, TARGET_LEN_MAX);
    put_text(&mut bytes, message, MESSAGE_LEN_MAX);
    // Leaves room for the number of spans.
    let fits = |bytes: &Vec<u8>, fields: &Fields| bytes.len() + fields.bytes.len() + 4 <= RECORD_LEN_MAX;
    match fits(&bytes, fields) {
        true => fields.put(&mut bytes),
        false => Fields::default().put(&mut bytes),
    }
    let count_at = bytes.len();
    bytes.extend([0, 0]);
    let mut count = 0_u16;
    for (name, fields) in spans {
        let name = cut(name, TARGET_LEN_MAX);
        if count == u16::MAX || bytes.len() + name.len() + fields.bytes.len() + 4 > RECORD_LEN_MAX {
            break;
        }
        put_text(&mut bytes, &name, TARGET_LEN_MAX);
        fields.put(&mut bytes);
        count += 1;
    }
    bytes[count_at..count_at + 2].copy_from_slice(&count.to_le_bytes());
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str, len_max: usize) {
    let text = cut(text, len_max);
    let len = u16::try_from(text.len()).expect("no limit is larger");
    bytes.extend(len.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Cuts a text to at most `len_max` bytes; a text that was cut ends with `…`.
fn cut(text: &str, len_max: usize) -> Cow<'_, str> {
    if text.len() <= len_max {
        return text.into();
    }
    let end = text.floor_char_boundary(len_max - CUT.len());
    format!("{}{CUT}", &text[..end]).into()
}

/// A record that was decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// The level: [`ERROR`] to [`TRACE`].
    pub level: i32,
    /// The part of the program that the record is about.
    pub target: &'a str,
    /// The message.
    pub message: &'a str,
    /// Further information, by name.
    pub fields: Vec<(&'a str, Value<'a>)>,
    /// The spans that the process was in, the outermost first.
    pub spans: Vec<Span<'a>>,
}

/// A span of time in the work of a program, in which records are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Span<'a> {
    /// The name.
    pub name: &'a str,
    /// Information about the span, by name.
    pub fields: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Record<'a> {
    /// Decodes a record that is not trusted. `None` if the bytes break a rule.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let [level] = rest.array()?;
        let level = i32::from(level);
        let (target, message) = (rest.text()?, rest.text()?);
        let fields = rest.fields()?;
        let count = rest.count()?;
        let spans = (0..count).map(|_| {
            let (name, fields) = (rest.text()?, rest.fields()?);
            Some(Span { name, fields })
        });
        let spans = spans.collect::<Option<_>>()?;
        let is_whole = rest.0.is_empty() && (ERROR..=TRACE).contains(&level) && target.len() <= TARGET_LEN_MAX;
        is_whole.then_some(Self {
            level,
            target,
            message,
            fields,
            spans,
        })
    }
}

/// Decodes fields that stand alone ([`Fields::to_bytes`]) and are not trusted. `None` if the bytes break a rule.
#[must_use]
pub fn decode_fields(bytes: &[u8]) -> Option<Vec<(&str, Value<'_>)>> {
    let mut rest = Rest(bytes);
    let fields = rest.fields()?;
    rest.0.is_empty().then_some(fields)
}

/// The bytes that have not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn count(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.count()?;
        std::str::from_utf8(self.bytes(len.into())?).ok()
    }

    fn fields(&mut self) -> Option<Vec<(&'a str, Value<'a>)>> {
        // Collected one by one, so that a false count does not allocate.
        (0..self.count()?)
            .map(|_| Some((self.text()?, self.value()?)))
            .collect()
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let [kind] = self.array()?;
        Some(match kind {
            0 => Value::Text(self.text()?.into()),
            1 => Value::Signed(i64::from_le_bytes(self.array()?)),
            2 => Value::Unsigned(u64::from_le_bytes(self.array()?)),
            3 => Value::Float(f64::from_le_bytes(self.array()?)),
            4 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{INFO, WARN};

    fn fields() -> (Fields, Vec<(&'static str, Value<'static>)>) {
        let all = vec![
            ("text", Value::Text("é".into())),
            ("signed", Value::Signed(-1)),
            ("unsigned", Value::Unsigned(u64::MAX)),
            ("float", Value::Float(0.5)),
            ("bool", Value::Bool(true)),
        ];
        let mut fields = Fields::default();
        all.iter().for_each(|(name, value)| fields.add(name, value));
        (fields, all)
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let (encoded, fields) = fields();
        let bytes = encode(
            WARN,
            "shop::stock",
            "none left",
            &encoded,
            [("order", &encoded), ("item", &Fields::default())],
        );
        let record = Record::decode(&bytes).unwrap();
        let spans = vec![
            Span {
                name: "order",
                fields: fields.clone(),
            },
            Span {
                name: "item",
                fields: Vec::new(),
            },
        ];
        let expected = Record {
            level: WARN,
            target: "shop::stock",
            message: "none left",
            fields,
            spans,
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let mut fields = Fields::default();
        fields.add("n", &Value::Bool(true));
        let bytes = encode(INFO, "t", "é", &fields, [("s", &Fields::default())]);
        assert_eq!(
            bytes,
            [
                3, 1, 0, b't', 2, 0, 0xc3, 0xa9, 1, 0, 1, 0, b'n', 4, 1, 1, 0, 1, 0, b's', 0, 0
            ]
        );
    }

    #[test]
    fn fields_may_stand_alone() {
        let (encoded, fields) = fields();
        let bytes = encoded.to_bytes();
        assert_eq!(decode_fields(&bytes), Some(fields));
        assert_eq!(decode_fields(&Fields::default().to_bytes()), Some(Vec::new()));
        assert!((0..bytes.len()).all(|len| decode_fields(&bytes[..len]).is_none()));
        assert_eq!(decode_fields(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn what_breaks_a_rule_is_no_record() {
        let (encoded, _) = fields();
        let bytes = encode(WARN, "t", "m", &encoded, [("order", &encoded)]);
        for len in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..len]), None, "{len}");
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Record::decode(&bytes).is_some()
        };
        assert!(with(0, 5) && !with(0, 0) && !with(0, 6) && !with(3, 0xff));
        assert_eq!(Record::decode(&[&bytes[..], &[0]].concat()), None);
        // As many fields and spans as can be said, and none there.
        assert_eq!(Record::decode(&[1, 0, 0, 0, 0, 0xff, 0xff]), None);
    }

    #[test]
    fn long_records_are_cut_to_what_fits() {
        let long = "ö".repeat(40_000);
        let mut many = Fields::default();
        (0..3).for_each(|_| many.add(&long, &Value::Text((&*long).into())));
        let bytes = encode(TRACE, &long, &long, &many, [("outer", &many), ("inner", &many)]);
        assert!(bytes.len() <= RECORD_LEN_MAX);
        let record = Record::decode(&bytes).unwrap();
        assert!(record.target.len() <= TARGET_LEN_MAX && record.target.ends_with(CUT));
        assert!(record.message.len() > 8_000 && record.message.ends_with(CUT));
        assert_eq!((record.fields.len(), record.spans.len()), (0, 0));
        let bytes = encode(
            TRACE,
            "t",
            "m",
            &many,
            [("outer", &Fields::default()), ("inner", &many)],
        );
        let record = Record::decode(&bytes).unwrap();
        assert_eq!((record.fields.len(), record.spans.len()), (3, 1));
        assert!(bytes.len() <= RECORD_LEN_MAX);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_rejected() {
        let (encoded, _) = fields();
        let good = encode(WARN, "t", "m", &encoded, [("order", &encoded)]);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut read = 0;
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..2 {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = state as usize % bytes.len();
                bytes[at] = (state >> 32) as u8;
            }
            read += usize::from(Record::decode(&bytes).is_some());
        }
        assert!(read > 1_000 && read < 49_000, "{read}");
    }
}
