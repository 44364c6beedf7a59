//! Finds out the shape of a type: its `Deserialize` reads from a source that holds nothing, and that notes what is asked for.
//!
//! One read shows one variant of each enum, so a type is read several times, until each variant of each enum in it has been shown.
//! Where a type contains itself, the source says that lists and options are empty, and prefers variants that do not lead
//! back to their enum, so that a read comes to an end, and soon. `Deserialize` may reject the values that it is given (zeros
//! and empty texts); what it would have read after that remains unknown.

mod parts;

use std::any::type_name;
use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

use self::parts::{Chosen, Entry, Fields, Values};
use super::{Body, Content, Part, Shape, Variant};

/// How often a type is read at most. Each read shows at least one further variant.
const READS_MAX: usize = 4096;
/// How deep types may be nested.
const DEPTH_MAX: usize = 64;
/// How many structs and enums one read may have inside types that contain themselves.
const INSIDE_MAX: usize = 10_000;

impl Shape {
    /// Returns the shape of `T`.
    pub(crate) fn of<T: DeserializeOwned>() -> Self {
        let (mut source, mut root) = (Source::default(), Part::Unknown);
        for _ in 0..READS_MAX {
            (source.has_more, source.has_learnt, source.inside) = (false, false, 0);
            // An error ends only this read.
            let _ = T::deserialize(Read {
                source: &mut source,
                part: &mut root,
            });
            if !source.has_more {
                break;
            }
        }
        let types = source.types.into_iter().map(|known| known.body).collect();
        Self { root, types }
    }
}

/// What is known while a type is read.
#[derive(Default)]
struct Source {
    types: Vec<Known>,
    /// The types that are being read at the moment.
    open: Vec<Open>,
    /// How many of the open types are inside themselves. If there are any, lists and options are empty.
    recursion: usize,
    /// Whether another read would show more.
    has_more: bool,
    /// Whether this read has found out that a variant leads back to its enum: the next one avoids it.
    has_learnt: bool,
    /// The structs and enums of this read that are inside types that contain themselves.
    inside: usize,
}

/// A type that is being read.
struct Open {
    index: usize,
    /// The variant of an enum, if lists and options are empty in it.
    variant: Option<usize>,
}

/// A struct or an enum.
struct Known {
    /// The name of its visitor, which tells apart types of one name, and types with different parameters.
    visitor: &'static str,
    body: Body,
    /// For an enum: what has been shown of each variant.
    shown: Vec<Shown>,
    /// For an enum: whether each variant, with empty lists and options in it, has another value of this enum in it.
    leads_back: Vec<Option<bool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    /// It has been read, but enums in it have further variants.
    Part,
    All,
}

impl Source {
    /// The number of the type with this visitor.
    fn index_of(&mut self, visitor: &'static str, variants: usize) -> usize {
        if let Some(index) = self.types.iter().position(|known| known.visitor == visitor) {
            return index;
        }
        self.types.push(Known {
            visitor,
            body: Body::Unknown,
            shown: vec![Shown::Nothing; variants],
            leads_back: vec![None; variants],
        });
        self.types.len() - 1
    }

    /// Reads a type, of which `read` notes what it consists of. Inside itself, a type is read but nothing is noted.
    fn enter<T>(
        &mut self,
        index: usize,
        read: impl FnOnce(&mut Self, &mut Body) -> Result<T, GivenUp>,
    ) -> Result<T, GivenUp> {
        if self.open.len() >= DEPTH_MAX {
            return Err(GivenUp);
        }
        let around = self.open.iter().rev().find(|open| open.index == index);
        let is_inside_itself = around.is_some();
        if let Some(variant) = around.and_then(|open| open.variant) {
            let leads_back = &mut self.types[index].leads_back[variant];
            self.has_learnt |= *leads_back != Some(true);
            *leads_back = Some(true);
        }
        let mut body = match is_inside_itself {
            true => Body::Unknown,
            false => std::mem::take(&mut self.types[index].body),
        };
        self.open.push(Open { index, variant: None });
        self.recursion += usize::from(is_inside_itself);
        self.inside += usize::from(self.recursion > 0);
        let result = match self.inside > INSIDE_MAX {
            true => Err(GivenUp),
            false => read(self, &mut body),
        };
        self.recursion -= usize::from(is_inside_itself);
        self.open.pop();
        if !is_inside_itself {
            self.types[index].body = body;
        }
        result
    }

    /// The variant of an enum to read next.
    fn choose(&mut self, index: usize) -> usize {
        let Known { shown, leads_back, .. } = &self.types[index];
        if self.recursion == 0 {
            let first = |wanted| shown.iter().position(|shown| *shown == wanted);
            return first(Shown::Nothing).or_else(|| first(Shown::Part)).unwrap_or(0);
        }
        // Nothing is noted here, so the value should be small. If all variants lead back, one of them may end all the same,
        // since it depends on what other enums in it choose: so each level takes another one.
        let first = |wanted| leads_back.iter().position(|leads_back| *leads_back == wanted);
        let depth = self.open.iter().filter(|open| open.index == index).count();
        let chosen = first(Some(false))
            .or_else(|| first(None))
            .unwrap_or(depth % shown.len());
        if let Some(open) = self.open.last_mut() {
            open.variant = Some(chosen);
        }
        chosen
    }
}

/// The error of a read that cannot go on.
#[derive(Debug)]
struct GivenUp;

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value was rejected")
    }
}

impl std::error::Error for GivenUp {}

impl de::Error for GivenUp {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// The read of one place.
struct Read<'a> {
    source: &'a mut Source,
    part: &'a mut Part,
}

impl Read<'_> {
    fn plain(&mut self, name: &str) {
        *self.part = Part::Plain(name.to_owned());
    }
}

/// The methods of [`Read`] for values without parts: the name in the shape, and what the visitor gets.
macro_rules! plain {
    ($($method:ident: $name:literal, $visit:ident($($value:expr)?);)*) => {
        $(fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, GivenUp> {
            self.plain($name);
            visitor.$visit($($value)?)
        })*
    };
}

impl<'de> Deserializer<'de> for Read<'_> {
    type Error = GivenUp;

    plain! {
        deserialize_bool: "bool", visit_bool(false);
        deserialize_i8: "i8", visit_i8(0);
        deserialize_i16: "i16", visit_i16(0);
        deserialize_i32: "i32", visit_i32(0);
        deserialize_i64: "i64", visit_i64(0);
        deserialize_i128: "i128", visit_i128(0);
        deserialize_u8: "u8", visit_u8(0);
        deserialize_u16: "u16", visit_u16(0);
        deserialize_u32: "u32", visit_u32(0);
        deserialize_u64: "u64", visit_u64(0);
        deserialize_u128: "u128", visit_u128(0);
        deserialize_f32: "f32", visit_f32(0.0);
        deserialize_f64: "f64", visit_f64(0.0);
        deserialize_char: "char", visit_char('a');
        deserialize_str: "text", visit_str("");
        deserialize_string: "text", visit_str("");
        deserialize_bytes: "bytes", visit_bytes(&[]);
        deserialize_byte_buf: "bytes", visit_bytes(&[]);
        deserialize_unit: "nothing", visit_unit();
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    /// A format without names cannot answer this, so it occurs in no message.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, GivenUp> {
        Err(GivenUp)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, GivenUp> {
        Err(GivenUp)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, GivenUp> {
        Err(GivenUp)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, GivenUp> {
        self.deserialize_unit(visitor)
    }

    /// As its content, because a newtype does not show in the bytes; except for [handles](crate::codec::handle::named), whose names
    /// are paths.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, GivenUp> {
        if !name.contains("::") {
            return visitor.visit_newtype_struct(self);
        }
        *self.part = Part::Plain(name.to_owned());
        visitor.visit_newtype_struct(Read {
            source: self.source,
            part: &mut Part::Unknown,
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GivenUp> {
        if !matches!(self.part, Part::Option(_)) {
            *self.part = Part::Option(Box::default());
        }
        let Part::Option(part) = self.part else {
            return Err(GivenUp);
        };
        match self.source.recursion {
            0 => visitor.visit_some(Read {
                source: self.source,
                part,
            }),
            _ => visitor.visit_none(),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GivenUp> {
        if !matches!(self.part, Part::List(_)) {
            *self.part = Part::List(Box::default());
        }
        let Part::List(part) = self.part else {
            return Err(GivenUp);
        };
        let parts = match self.source.recursion {
            0 => std::slice::from_mut(&mut **part),
            _ => &mut [],
        };
        visitor.visit_seq(Values {
            source: self.source,
            parts: parts.iter_mut(),
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, GivenUp> {
        if !matches!(self.part, Part::Map(_)) {
            *self.part = Part::Map(Box::default());
        }
        let Part::Map(entry) = self.part else {
            return Err(GivenUp);
        };
        let (key, value) = &mut **entry;
        let key = (self.source.recursion == 0).then_some(key);
        visitor.visit_map(Entry {
            source: self.source,
            key,
            value,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, GivenUp> {
        if !matches!(self.part, Part::Tuple(_)) {
            *self.part = Part::Tuple(Vec::new());
        }
        let Part::Tuple(parts) = self.part else {
            return Err(GivenUp);
        };
        parts.resize(len, Part::Unknown);
        visitor.visit_seq(Values {
            source: self.source,
            parts: parts.iter_mut(),
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, GivenUp> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, GivenUp> {
        let index = self.source.index_of(type_name::<V>(), 0);
        *self.part = Part::Type(u32::try_from(index).map_err(|_| GivenUp)?);
        self.source.enter(index, |source, body| {
            if !matches!(body, Body::Struct(_)) {
                *body = Body::Struct(unknown(names));
            }
            let Body::Struct(fields) = body else {
                return Err(GivenUp);
            };
            visitor.visit_seq(Fields {
                source,
                fields: fields.iter_mut(),
            })
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, GivenUp> {
        if names.is_empty() {
            return Err(GivenUp);
        }
        let index = self.source.index_of(type_name::<V>(), names.len());
        *self.part = Part::Type(u32::try_from(index).map_err(|_| GivenUp)?);
        self.source.enter(index, |source, body| {
            if !matches!(body, Body::Enum(_)) {
                let name = |name: &&str| Variant {
                    name: (*name).to_owned(),
                    content: Content::Unknown,
                };
                *body = Body::Enum(names.iter().map(name).collect());
            }
            let Body::Enum(variants) = body else {
                return Err(GivenUp);
            };
            let (chosen, had_more) = (source.choose(index), source.has_more);
            source.has_more = false;
            let content = &mut variants.get_mut(chosen).ok_or(GivenUp)?.content;
            let result = visitor.visit_enum(Chosen {
                source,
                number: chosen,
                content,
            });
            let Known { shown, leads_back, .. } = &mut source.types[index];
            if source.recursion > 0 {
                let leads_back = &mut leads_back[chosen];
                if result.is_ok() && leads_back.is_none() {
                    *leads_back = Some(false);
                }
                source.has_more = had_more;
                return result;
            }
            // A read that was given up may get further now that it is known what to avoid.
            let may_go_on = result.is_err() && source.has_learnt;
            shown[chosen] = match source.has_more || may_go_on {
                true => Shown::Part,
                false => Shown::All,
            };
            source.has_more = had_more || shown.iter().any(|shown| *shown != Shown::All);
            result
        })
    }
}

fn unknown(names: &[&str]) -> Vec<(String, Part)> {
    names.iter().map(|name| ((*name).to_owned(), Part::Unknown)).collect()
}
