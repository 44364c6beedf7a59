//! Whether a message that one version has written is the same message to another.

use std::collections::HashSet;

use super::{Body, Content, Part, Shape, Variant};

impl Shape {
    /// Returns the first place where a value of `self`, the former shape, would be read as something else by `new`; `None` if
    /// there is none.
    ///
    /// Enums may have more or fewer variants at the end: a variant that the reader does not know is an error that it notices, and
    /// never another message.
    pub(crate) fn conflict(&self, new: &Self) -> Option<String> {
        let mut comparison = Comparison {
            old: self,
            new,
            path: Vec::new(),
            compared: HashSet::new(),
        };
        comparison.parts(&self.root, &new.root)
    }
}

struct Comparison<'a> {
    old: &'a Shape,
    new: &'a Shape,
    /// The names of the variants and fields around the place.
    path: Vec<String>,
    /// The pairs of types that have been compared, or are being compared.
    compared: HashSet<(u32, u32)>,
}

impl Comparison<'_> {
    fn parts(&mut self, old: &Part, new: &Part) -> Option<String> {
        match (old, new) {
            (Part::Unknown, _) | (_, Part::Unknown) => None,
            (Part::Option(old), Part::Option(new)) | (Part::List(old), Part::List(new)) => self.parts(old, new),
            (Part::Map(old), Part::Map(new)) => self.parts(&old.0, &new.0).or_else(|| self.parts(&old.1, &new.1)),
            (Part::Tuple(old), Part::Tuple(new)) if old.len() == new.len() => self.values(old, new),
            (Part::Type(old), Part::Type(new)) => self.types(*old, *new),
            (old, new) if old == new => None,
            (old, new) => Some(self.at(&format!(
                "{}, and now {}",
                in_words(old, self.old),
                in_words(new, self.new)
            ))),
        }
    }

    fn values(&mut self, old: &[Part], new: &[Part]) -> Option<String> {
        let mut numbered = old.iter().zip(new).enumerate();
        numbered.find_map(|(index, (old, new))| self.inside(&index.to_string(), |this| this.parts(old, new)))
    }

    fn types(&mut self, old: u32, new: u32) -> Option<String> {
        if !self.compared.insert((old, new)) {
            return None;
        }
        // A number beyond the list is in no shape that was traced.
        let (old, new) = (self.old.types.get(old as usize)?, self.new.types.get(new as usize)?);
        match (old, new) {
            (Body::Unknown, _) | (_, Body::Unknown) => None,
            (Body::Struct(old), Body::Struct(new)) => self.fields(old, new),
            (Body::Enum(old), Body::Enum(new)) => {
                let mut pairs = old.iter().zip(new).enumerate();
                pairs.find_map(|(index, (old, new))| self.variants(index, old, new))
            }
            (Body::Struct(_), Body::Enum(_)) => Some(self.at("a struct, and now an enum")),
            (Body::Enum(_), Body::Struct(_)) => Some(self.at("an enum, and now a struct")),
        }
    }

    fn variants(&mut self, index: usize, old: &Variant, new: &Variant) -> Option<String> {
        if old.name != new.name {
            return Some(self.at(&renamed("variant", index, &old.name, &new.name)));
        }
        self.inside(&old.name, |this| match (&old.content, &new.content) {
            (Content::Unknown, _) | (_, Content::Unknown) => None,
            (Content::Fields(old), Content::Fields(new)) => this.fields(old, new),
            (Content::Values(old), Content::Values(new)) if old.len() == new.len() => this.values(old, new),
            (old, new) if old == new => None,
            (old, new) => Some(this.at(&format!(
                "{}, and now {}",
                contents_in_words(old),
                contents_in_words(new)
            ))),
        })
    }

    fn fields(&mut self, old: &[(String, Part)], new: &[(String, Part)]) -> Option<String> {
        for (index, ((old_name, old), (new_name, new))) in old.iter().zip(new).enumerate() {
            if old_name != new_name {
                return Some(self.at(&renamed("field", index, old_name, new_name)));
            }
            let conflict = self.inside(old_name, |this| this.parts(old, new));
            if conflict.is_some() {
                return conflict;
            }
        }
        match (old.get(new.len()), new.get(old.len())) {
            (Some((name, _)), _) => Some(self.at(&format!("it had a field `{name}`, and now has none"))),
            (_, Some((name, _))) => Some(self.at(&format!("it had no field `{name}`, and now has one"))),
            (None, None) => None,
        }
    }

    fn inside<T>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name.to_owned());
        let result = f(self);
        self.path.pop();
        result
    }

    fn at(&self, what: &str) -> String {
        match self.path.is_empty() {
            true => what.to_owned(),
            false => format!("`{}`: {what}", self.path.join(".")),
        }
    }
}

/// Another name in a place may mean another order, or only that: the bytes are the same then, but nothing shows that.
fn renamed(kind: &str, index: usize, old: &str, new: &str) -> String {
    format!(
        "{kind} {index} was `{old}`, and now is `{new}` (if only its name has changed, add `#[serde(rename = \"{old}\")]`)"
    )
}

fn in_words(part: &Part, shape: &Shape) -> String {
    match part {
        Part::Unknown => "unknown".into(),
        Part::Plain(name) => name.clone(),
        Part::Option(_) => "an Option".into(),
        Part::List(_) => "a list".into(),
        Part::Map(_) => "a map".into(),
        Part::Tuple(parts) => format!("{} values", parts.len()),
        Part::Type(index) => match shape.types.get(*index as usize) {
            Some(Body::Enum(_)) => "an enum".into(),
            _ => "a struct".into(),
        },
    }
}

fn contents_in_words(content: &Content) -> String {
    match content {
        Content::Unknown => "unknown".into(),
        Content::Nothing => "without values".into(),
        Content::Values(values) if values.len() == 1 => "1 value".into(),
        Content::Values(values) => format!("{} values", values.len()),
        Content::Fields(_) => "named fields".into(),
    }
}
