//! The values, fields, entries and variants of a type, which are read one after the other.

use serde::de::{DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::super::{Content, Part};
use super::{GivenUp, Read, Source, unknown};

/// Values one after the other.
pub(super) struct Values<'a> {
    pub(super) source: &'a mut Source,
    pub(super) parts: std::slice::IterMut<'a, Part>,
}

impl<'de> SeqAccess<'de> for Values<'_> {
    type Error = GivenUp;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, GivenUp> {
        let source = &mut *self.source;
        let read = self.parts.next().map(|part| seed.deserialize(Read { source, part }));
        read.transpose()
    }
}

/// The fields of a struct one after the other.
pub(super) struct Fields<'a> {
    pub(super) source: &'a mut Source,
    pub(super) fields: std::slice::IterMut<'a, (String, Part)>,
}

impl<'de> SeqAccess<'de> for Fields<'_> {
    type Error = GivenUp;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, GivenUp> {
        let source = &mut *self.source;
        let read = self
            .fields
            .next()
            .map(|(_, part)| seed.deserialize(Read { source, part }));
        read.transpose()
    }
}

/// The only entry of a map.
pub(super) struct Entry<'a> {
    pub(super) source: &'a mut Source,
    pub(super) key: Option<&'a mut Part>,
    pub(super) value: &'a mut Part,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = GivenUp;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, GivenUp> {
        let source = &mut *self.source;
        let read = self.key.take().map(|part| seed.deserialize(Read { source, part }));
        read.transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, GivenUp> {
        seed.deserialize(Read {
            source: self.source,
            part: self.value,
        })
    }
}

/// An enum in the chosen variant.
pub(super) struct Chosen<'a> {
    pub(super) source: &'a mut Source,
    pub(super) number: usize,
    pub(super) content: &'a mut Content,
}

impl<'de> EnumAccess<'de> for Chosen<'_> {
    type Error = GivenUp;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), GivenUp> {
        let number = u32::try_from(self.number).map_err(|_| GivenUp)?;
        let variant = seed.deserialize(IntoDeserializer::<GivenUp>::into_deserializer(number))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_> {
    type Error = GivenUp;

    fn unit_variant(self) -> Result<(), GivenUp> {
        *self.content = Content::Nothing;
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, GivenUp> {
        let part = self.content.values(1).first_mut().ok_or(GivenUp)?;
        seed.deserialize(Read {
            source: self.source,
            part,
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, GivenUp> {
        let parts = self.content.values(len).iter_mut();
        visitor.visit_seq(Values {
            source: self.source,
            parts,
        })
    }

    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, GivenUp> {
        if !matches!(self.content, Content::Fields(_)) {
            *self.content = Content::Fields(unknown(names));
        }
        let Content::Fields(fields) = self.content else {
            return Err(GivenUp);
        };
        visitor.visit_seq(Fields {
            source: self.source,
            fields: fields.iter_mut(),
        })
    }
}

impl Content {
    /// The values without names in it, as many as stated.
    fn values(&mut self, len: usize) -> &mut [Part] {
        if !matches!(self, Self::Values(_)) {
            *self = Self::Values(Vec::new());
        }
        match self {
            Self::Values(values) => {
                values.resize(len, Part::Unknown);
                values
            }
            _ => &mut [],
        }
    }
}
