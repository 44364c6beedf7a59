//! Attributes of a node: what it says of itself, such as `zone=eu`, for programs that choose nodes by it.
//!
//! A node sends its attributes at the start of each epoch. They do not change while it runs. Nobody checks that they are
//! true.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Reader, Write};

/// How many attributes a node has at most.
pub const ATTRIBUTES_MAX: usize = 32;
/// The maximum length of the key of an attribute, in bytes.
pub const ATTRIBUTE_KEY_LEN_MAX: usize = 64;
/// The maximum length of the value of an attribute, in bytes.
pub const ATTRIBUTE_LEN_MAX: usize = 256;

/// The attributes of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes(Arc<BTreeMap<Box<str>, Box<str>>>);

/// Why these are no attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributeError {
    /// This is not of the form `key=value`.
    Form(String),
    /// The key has characters other than letters, digits and `-_.@`, or is longer than [`ATTRIBUTE_KEY_LEN_MAX`].
    Key(String),
    /// The value of this key has control characters, or is longer than [`ATTRIBUTE_LEN_MAX`].
    Value(String),
    /// The key is there twice.
    Twice(String),
    /// There are more than [`ATTRIBUTES_MAX`].
    TooMany,
}

impl std::fmt::Display for AttributeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Form(text) => write!(f, "`{text}` is not of the form key=value"),
            Self::Key(key) => write!(
                f,
                "`{key}` cannot be the key of an attribute: it must have 1 to {ATTRIBUTE_KEY_LEN_MAX} letters, digits and `-_.@`"
            ),
            Self::Value(key) => write!(
                f,
                "the value of the attribute `{key}` has control characters, or more than {ATTRIBUTE_LEN_MAX} bytes"
            ),
            Self::Twice(key) => write!(f, "the attribute `{key}` is given twice"),
            Self::TooMany => write!(f, "a node has at most {ATTRIBUTES_MAX} attributes"),
        }
    }
}

impl std::error::Error for AttributeError {}

impl Attributes {
    /// Makes attributes of texts of the form `key=value`.
    ///
    /// # Errors
    ///
    /// [`AttributeError`] says which rule is broken.
    pub fn parse<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> Result<Self, AttributeError> {
        let mut attributes = BTreeMap::new();
        for text in all {
            let text = text.as_ref();
            let (key, value) = text.split_once('=').ok_or_else(|| AttributeError::Form(text.into()))?;
            add(&mut attributes, key, value)?;
        }
        Ok(Self(Arc::new(attributes)))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| &**value)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        for (key, value) in self.iter() {
            to.put_short(key.as_bytes()).put_short(value.as_bytes());
        }
    }

    /// Decodes what a peer has sent; `None` if it breaks a rule.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut attributes = BTreeMap::new();
        while !from.is_empty() {
            let (key, value) = (from.text(ATTRIBUTE_KEY_LEN_MAX)?, from.text(ATTRIBUTE_LEN_MAX)?);
            add(&mut attributes, key, value).ok()?;
        }
        Some(Self(Arc::new(attributes)))
    }
}

fn add(to: &mut BTreeMap<Box<str>, Box<str>>, key: &str, value: &str) -> Result<(), AttributeError> {
    if key.len() > ATTRIBUTE_KEY_LEN_MAX || !crate::identity::is_name(key) {
        return Err(AttributeError::Key(key.into()));
    }
    if value.len() > ATTRIBUTE_LEN_MAX || value.contains(char::is_control) {
        return Err(AttributeError::Value(key.into()));
    }
    if to.insert(key.into(), value.into()).is_some() {
        return Err(AttributeError::Twice(key.into()));
    }
    (to.len() <= ATTRIBUTES_MAX)
        .then_some(())
        .ok_or(AttributeError::TooMany)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        for texts in [&[][..], &["zone=eu", "gpu=", "free=a=b"][..]] {
            let attributes = Attributes::parse(texts).unwrap();
            let mut bytes = Vec::new();
            attributes.write(&mut bytes);
            assert_eq!(Attributes::read(&mut Reader::new(&bytes)).as_ref(), Some(&attributes));
        }
        let attributes = Attributes::parse(["zone=eu", "free=a=b"]).unwrap();
        assert_eq!((attributes.get("free"), attributes.get("none")), (Some("a=b"), None));
    }

    #[test]
    fn attributes_have_a_form_and_a_bound() {
        let long = |len: usize| "x".repeat(len);
        for (texts, error) in [
            (vec!["zone".into()], AttributeError::Form("zone".into())),
            (vec!["a b=1".into()], AttributeError::Key("a b".into())),
            (vec!["=1".into()], AttributeError::Key(String::new())),
            (vec![format!("{}=1", long(65))], AttributeError::Key(long(65))),
            (vec!["a=\u{1b}[0m".into()], AttributeError::Value("a".into())),
            (vec![format!("a={}", long(257))], AttributeError::Value("a".into())),
            (vec!["a=1".into(), "a=2".into()], AttributeError::Twice("a".into())),
            ((0..33).map(|n| format!("a{n}=")).collect(), AttributeError::TooMany),
        ] {
            assert_eq!(Attributes::parse(&texts), Err(error));
        }
        assert!(Attributes::parse((0..32).map(|n| format!("a{n}={}", long(256)))).is_ok());
        // The same holds for what comes from a peer.
        let mut bytes = Vec::new();
        bytes.put_short(b"a").put_short(b"\n");
        assert_eq!(Attributes::read(&mut Reader::new(&bytes)), None);
        assert_eq!(Attributes::read(&mut Reader::new(&[1, 0, b'a'])), None);
    }
}
