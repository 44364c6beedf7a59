//! Parses the names of series that guests write.

use std::fmt;

use lunatic_sys::metrics::{LABELS_MAX, NAME_LEN_MAX, VALUE_LEN_MAX};

use super::Kind;

/// The name of a series: the name of its family, and the values of its labels, in the order of the labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(super) family: String,
    pub(super) labels: Vec<(String, String)>,
}

/// Why a text is not the name of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadName(String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(why) = self;
        write!(f, "an invalid name of a metric: {why}")
    }
}

impl std::error::Error for BadName {}

/// Endings that the Prometheus format appends to names.
const ENDINGS: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
/// The prefix of the host's own figures.
const OWN: &str = "lunatic_";

impl Name {
    /// Parses `NAME`, followed by a zero byte and `LABEL=VALUE` for each label.
    pub(crate) fn read(kind: Kind, bytes: &[u8]) -> Result<Self, BadName> {
        let wrong = |why: String| Err(BadName(why));
        let Ok(text) = std::str::from_utf8(bytes) else {
            return wrong("it is not UTF-8".into());
        };
        let mut parts = text.split('\0');
        let mut family = parts.next().unwrap_or_default().to_owned();
        check(&family)?;
        if kind == Kind::Counter {
            // The result is the same with and without this ending.
            family.truncate(family.strip_suffix(ENDINGS[0]).map_or(family.len(), str::len));
            check(&family)?;
        }
        if family.starts_with(OWN) || ENDINGS.iter().any(|ending| family.ends_with(ending)) {
            return wrong(format!("`{family}` begins or ends like the names that the host makes"));
        }
        let mut labels = Vec::new();
        for part in parts {
            let Some((label, value)) = part.split_once('=') else {
                return wrong("a label has no value".into());
            };
            check(label)?;
            if label.starts_with("__") || label == "le" || value.len() > VALUE_LEN_MAX {
                return wrong(format!(
                    "the label `{label}`, or a value of more than {VALUE_LEN_MAX} bytes"
                ));
            }
            labels.push((label.to_owned(), value.to_owned()));
        }
        labels.sort();
        let is_twice = labels.windows(2).any(|two| two[0].0 == two[1].0);
        if is_twice || labels.len() > LABELS_MAX {
            return wrong(format!("a label occurs twice, or there are more than {LABELS_MAX}"));
        }
        Ok(Self { family, labels })
    }

    /// Approximate bytes that it takes up.
    pub(super) fn size(&self) -> usize {
        let labels = self.labels.iter().map(|(label, value)| label.len() + value.len() + 64);
        self.family.len() + labels.sum::<usize>() + 64
    }
}

fn check(name: &str) -> Result<(), BadName> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit());
    match is_name && name.len() <= NAME_LEN_MAX {
        true => Ok(()),
        false => Err(BadName(format!(
            "{name:?} is not made of 1 to {NAME_LEN_MAX} letters, digits and `_`, with no digit first"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let read = |kind, text: &str| Name::read(kind, text.as_bytes()).unwrap();
        let name = read(Kind::Gauge, "orders\0country=de\0a=x=y");
        let labels = [("a", "x=y"), ("country", "de")].map(|(label, value)| (label.to_owned(), value.to_owned()));
        assert_eq!((name.family.as_str(), &*name.labels), ("orders", &labels[..]));
        assert_eq!(name, read(Kind::Gauge, "orders\0a=x=y\0country=de"));
        assert_eq!(read(Kind::Counter, "orders_total"), read(Kind::Counter, "orders"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(NAME_LEN_MAX + 1);
        let value = format!("a\0b={}", "x".repeat(VALUE_LEN_MAX + 1));
        for text in [
            "",
            "1a",
            "a-b",
            "a b",
            "ä",
            &long,
            "a\0b",
            "a\0=x",
            "a\0le=1",
            "a\0__b=1",
            "a\0b=1\0b=2",
            &value,
            "lunatic_a",
            "a_sum",
            "a_bucket",
            "a_count",
            "a\0a=1\0b=1\0c=1\0d=1\0e=1",
            "a\n# TYPE b counter",
        ] {
            assert!(Name::read(Kind::Histogram, text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Name::read(Kind::Counter, b"_total_total").is_err());
        assert!(Name::read(Kind::Gauge, b"a_total").is_err());
        assert!(Name::read(Kind::Gauge, b"a\xff").is_err());
    }
}
