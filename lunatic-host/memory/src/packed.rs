//! Packing what frozen processes have changed, by what they have in common.
//!
//! Processes of one module wait in a few places. Their stacks hold the same frames and their memories the same objects,
//! with some other numbers and addresses: compressed with the first one that was frozen as a dictionary, the others take a
//! fraction of their bytes.

use std::sync::OnceLock;

use crate::runs::Runs;

/// So far back the compressor can look; a longer dictionary is of no use.
const MODEL_LEN_MAX: usize = 64 << 10;

/// What the first process of a module that was frozen had changed, of one kind of pages.
#[derive(Default)]
pub struct Model(OnceLock<Box<[u8]>>);

/// Runs as they are kept. Only the model that packed them can unpack them.
pub struct Packed(Box<[u8]>);

impl Model {
    /// Packs what a process has changed. The first runs that a model packs become its dictionary.
    pub fn pack(&self, runs: &Runs) -> Packed {
        let bytes = runs.as_bytes();
        let model = self.0.get_or_init(|| bytes[..bytes.len().min(MODEL_LEN_MAX)].into());
        Packed(lz4_flex::block::compress_prepend_size_with_dict(bytes, model).into_boxed_slice())
    }

    /// The runs that [`pack`](Self::pack) got.
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
            let packed: Vec<_> = all.iter().map(|bytes| model.pack(&runs(bytes))).collect();
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
        model.pack(&runs(&bytes));
        bytes[5000] ^= 1;
        assert!(model.pack(&runs(&bytes)).0.len() < 200);
        assert_eq!(model.unpack(&model.pack(&runs(&bytes))), runs(&bytes));
        let empty = runs(&[]);
        assert_eq!(model.unpack(&model.pack(&empty)), empty);
    }

    #[test]
    fn a_long_model_is_cut() {
        let model = Model::default();
        let bytes: Vec<u8> = (0..200_000_u32)
            .flat_map(|number| number.wrapping_mul(number).to_le_bytes())
            .collect();
        assert_eq!(model.unpack(&model.pack(&runs(&bytes))), runs(&bytes));
        assert_eq!(model.unpack(&model.pack(&runs(&bytes[7..]))), runs(&bytes[7..]));
    }
}
