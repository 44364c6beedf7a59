//! The codec of the types in [`layout`](crate::layout).
//!
//! Guests do not need it for most of these types: WebAssembly is little-endian, so a `repr(C)` value in a guest's
//! memory already has the layout, and the guest passes a pointer to it. The host must not reinterpret a guest's memory,
//! and may run on a big-endian machine. It uses this codec, which takes the offset of each field from the same
//! `repr(C)` declaration.

/// A type that can be a field of a layout.
pub(crate) trait Field: Sized {
    /// Writes the value to the beginning of `to`.
    fn put(self, to: &mut [u8]);

    /// Reads a value from the beginning of `from`.
    fn take(from: &[u8]) -> Self;
}

macro_rules! number_fields {
    ($($number:ty),*) => {$(
        impl Field for $number {
            #[inline]
            fn put(self, to: &mut [u8]) {
                to[..size_of::<Self>()].copy_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn take(from: &[u8]) -> Self {
                let bytes = from.first_chunk().expect("the field is inside the layout");
                Self::from_le_bytes(*bytes)
            }
        }
    )*};
}
number_fields!(u32, u64);

impl<const N: usize> Field for [u8; N] {
    #[inline]
    fn put(self, to: &mut [u8]) {
        to[..N].copy_from_slice(&self);
    }

    #[inline]
    fn take(from: &[u8]) -> Self {
        *from.first_chunk().expect("the field is inside the layout")
    }
}

/// Implements the codec of a `repr(C)` struct without padding. All fields must be listed: if one is missing, the
/// compiler rejects the list, because `decode` cannot build the value.
macro_rules! codec {
    ($type:ident, $size:ident: $($field:ident),*) => {
        const _: () = assert!(size_of::<$type>() == $size);

        impl $type {
            /// Encodes the value as it lies in guest memory.
            #[inline]
            #[must_use]
            pub fn encode(self) -> [u8; $size] {
                let mut bytes = [0; $size];
                $($crate::codec::Field::put(self.$field, &mut bytes[core::mem::offset_of!(Self, $field)..]);)*
                bytes
            }

            /// Decodes a value from guest memory. This never fails, because all bytes are a value; the caller checks
            /// the fields.
            #[inline]
            #[must_use]
            pub fn decode(bytes: &[u8; $size]) -> Self {
                Self {
                    $($field: $crate::codec::Field::take(&bytes[core::mem::offset_of!(Self, $field)..]),)*
                }
            }

            /// Decodes the values of a list without gaps. An incomplete value at the end is ignored.
            #[inline]
            pub fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Self> {
                bytes.as_chunks().0.iter().map(Self::decode)
            }
        }
    };
}
pub(crate) use codec;
