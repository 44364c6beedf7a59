//! The shape of a type: what its `Deserialize` reads from a format without names, and in which order.
//!
//! Two versions of a program agree on a message if the shapes of its type agree ([`Shape::conflict`]). The shape is not declared
//! anywhere: [`Shape::of`] lets `Deserialize` read from a source that holds nothing, and notes what it asks for.

mod compare;
#[cfg(test)]
mod tests;
mod trace;

use serde::{Deserialize, Serialize};

/// The shape of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    root: Part,
    /// The structs and enums in it, each once, so that a type may contain itself.
    types: Vec<Body>,
}

/// What is read at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// Not known: `Deserialize` gave up before it read this, or reads whatever is there.
    #[default]
    Unknown,
    /// A number, text or another value without parts, by the name of its type.
    Plain(String),
    Option(Box<Self>),
    List(Box<Self>),
    Map(Box<(Self, Self)>),
    /// As many values as stated.
    Tuple(Vec<Self>),
    /// A struct or enum, by its place in [`Shape::types`].
    Type(u32),
}

/// What a struct or an enum consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Body {
    #[default]
    Unknown,
    Struct(Vec<(String, Part)>),
    Enum(Vec<Variant>),
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Variant {
    name: String,
    content: Content,
}

/// What a variant holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Content {
    #[default]
    Unknown,
    Nothing,
    /// Values without names.
    Values(Vec<Part>),
    /// Fields with names.
    Fields(Vec<(String, Part)>),
}
