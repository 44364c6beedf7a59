//! Packs the changes of frozen processes, using what these have in common.
//!
//! Processes of one module wait in a few places. Their stacks hold the same frames and their memories the same objects,
//! with some different numbers and addresses. With the first frozen process as a dictionary, the others compress to a
//! fraction of their size.

use std::sync::OnceLock;

use crate::runs::Runs;

/// How far back the compressor can look; a longer dictionary is useless.
const MODEL_LEN_MAX: usize = 64 << 10;

/// The changes of the first process of a module that was frozen, for one kind of pages.
#[derive(Default)]
pub struct Model(OnceLock<Box<[u8]>>);

/// Packed runs. Only the model that packed them can unpack them.
pub struct Packed(Box<[u8]>);

impl Model {
    /// Packs the changes of a process. The first runs that a model packs become its dictionary. `None` if they have 4
    /// GiB or more: the format has 32 bits for their length.
    pub fn pack(&self, runs: &Runs) -> Option<Packed> {
        let bytes = runs.as_bytes();
        u32::try_from(bytes.len()).ok()?;
        let model = self.0.get_or_init(|| bytes[..bytes.len().min(MODEL_LEN_MAX)].into());
        let packed = lz4_flex::block::compress_prepend_size_with_dict(bytes, model);
        Some(Packed(packed.into_boxed_slice()))
    }

    /// Returns the runs that were passed to [`pack`](Self::pack).
    ///
    /// # Panics
    ///
    /// If this model has packed nothing, or, in most cases, if another has packed these.
    pub fn unpack(&self, packed: &Packed) -> Runs {
        let model = self.0.get().expect("a model that unpacks has packed");
        let bytes = lz4_flex::block::decompress_size_prepended_with_dict(&packed.0, model);
        Runs::from_bytes(bytes.expect("it was packed by this model"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(bytes: &[u8]) -> Runs {
        Runs::from_bytes(bytes.to_vec())
    }

    proptest! {
        /// Whatever came first, and whatever is packed next.
        #[test]
        fn what_is_packed_comes_back(all in proptest::collection::vec(proptest::collection::vec(0..4_u8, 0..3000), 1..6)) {
            let model = Model::default();
            let packed: Vec<_> = all.iter().map(|bytes| model.pack(&runs(bytes)).unwrap()).collect();
            for (bytes, packed) in all.iter().zip(&packed) {
                prop_assert_eq!(model.unpack(packed), runs(bytes));
            }
        }
    }

    #[test]
    fn what_is_like_the_first_takes_little() {
        let model = Model::default();
        let mut bytes: Vec<u8> = (0..3000_u32)
            .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes())
            .collect();
        model.pack(&runs(&bytes)).unwrap();
        bytes[5000] ^= 1;
        assert!(model.pack(&runs(&bytes)).unwrap().0.len() < 200);
        assert_eq!(model.unpack(&model.pack(&runs(&bytes)).unwrap()), runs(&bytes));
        let empty = runs(&[]);
        assert_eq!(model.unpack(&model.pack(&empty).unwrap()), empty);
    }

    #[test]
    fn a_long_model_is_cut() {
        let model = Model::default();
        let bytes: Vec<u8> = (0..200_000_u32)
            .flat_map(|number| number.wrapping_mul(number).to_le_bytes())
            .collect();
        assert_eq!(model.unpack(&model.pack(&runs(&bytes)).unwrap()), runs(&bytes));
        assert_eq!(
            model.unpack(&model.pack(&runs(&bytes[7..])).unwrap()),
            runs(&bytes[7..])
        );
    }
}
