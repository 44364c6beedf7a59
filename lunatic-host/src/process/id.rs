//! Ids and keys: what a handle is made of, and why it cannot be forged.
//!
//! An id is a slot's index (low 32 bits) and the slot's generation (high 32 bits), so an id is never given out twice.
//! A key is SipHash-2-4 of the id under a secret that each runtime draws at its start: whoever has the key was given
//! it, by the spawn or by a message. Keys need no memory, so handles of what has ended long ago can still be told from
//! forged ones.

use std::fmt;
use std::hash::Hasher;

use lunatic_sys::layout::RawHandle;
use siphasher::sip::SipHasher24;

/// Names one slot of a [`Table`](super::table::Table) at one time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u64);

impl Id {
    /// No process: index 0 is never given out.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    pub(crate) fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number a guest sees.
    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    pub(crate) fn index(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// `#17`, or `#17.2` for the third user of slot 17.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.index())?;
        match self.generation() {
            0 => Ok(()),
            generation => write!(f, ".{generation}"),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Handles that a process has used lately and that are known to be good, for ever: it saves hashing them again.
#[derive(Debug, Default)]
pub(crate) struct Checked([Option<RawHandle>; 2]);

impl Checked {
    /// [`Keys::check`], with the same keys each time.
    pub(crate) fn check(&mut self, keys: &Keys, id: u64, key: u64) -> Option<Id> {
        let handle = RawHandle { id, key };
        if self.0[0] != Some(handle) {
            if self.0[1] != Some(handle) {
                keys.check(id, key)?;
                self.0[1] = Some(handle);
            }
            self.0.swap(0, 1);
        }
        Some(Id::from_raw(id))
    }
}

/// Makes and checks the keys of one kind of handle.
pub(crate) struct Keys {
    secret: [u8; 16],
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { secret: rand::random() }
    }

    pub(crate) fn handle(&self, id: Id) -> RawHandle {
        RawHandle {
            id: id.raw(),
            key: self.key(id),
        }
    }

    /// The id of a handle that this runtime gave out, or `None` for any other.
    pub(crate) fn check(&self, id: u64, key: u64) -> Option<Id> {
        let id = Id::from_raw(id);
        (self.key(id) == key).then_some(id)
    }

    fn key(&self, id: Id) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        hasher.write_u64(id.raw());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_shows_its_generation_only_after_reuse() {
        assert_eq!(Id::new(17, 0).to_string(), "#17");
        assert_eq!(Id::new(17, 2).to_string(), "#17.2");
    }

    #[test]
    fn what_was_checked_is_remembered_and_nothing_else() {
        let keys = Keys::new();
        let mut checked = Checked::default();
        assert_eq!(checked.check(&keys, 0, 0), None);
        for round in 0..3 {
            for index in [1, 2, 1, 3, 3, 2, 2] {
                let handle = keys.handle(Id::new(index, 0));
                assert_eq!(checked.check(&keys, handle.id, handle.key ^ 1), None, "round {round}");
                assert_eq!(checked.check(&keys, handle.id ^ 8, handle.key), None);
                assert_eq!(checked.check(&keys, handle.id, handle.key), Some(Id::new(index, 0)));
            }
        }
    }

    #[test]
    fn a_key_fits_one_id_of_one_runtime() {
        let (keys, others) = (Keys::new(), Keys::new());
        let handle = keys.handle(Id::new(1, 0));
        assert_eq!(keys.check(handle.id, handle.key), Some(Id::new(1, 0)));
        assert_eq!(keys.check(handle.id + 1, handle.key), None);
        assert_eq!(keys.check(handle.id, handle.key ^ 1), None);
        assert_eq!(others.check(handle.id, handle.key), None);
    }
}
