//! The result of a host call that the process has not fetched yet.

use lunatic_kernel::budget::{Exhausted, Purse, Resource};

/// There is no room for the bytes in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// Bytes for `lunatic::buffer::take`, or from `lunatic::buffer::put`; see `lunatic_sys::buffer`.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How many bytes the process has paid for.
    paid: usize,
}

impl Buffer {
    /// The size up to which the buffer is free of charge: most results and reasons are shorter.
    const FREE: usize = 4096;

    /// The bytes in the buffer.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces the contents.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if the process cannot pay for the bytes, and must end.
    pub(super) fn set(&mut self, bytes: Vec<u8>, purse: Purse<'_>) -> Result<(), Exhausted> {
        self.bytes = bytes;
        self.settle(purse)
    }

    /// Empties the buffer and makes room for `len` bytes, which the process pays for first.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the process cannot pay for them, or the machine does not have enough memory; the buffer is then
    /// empty.
    pub(super) fn make_room(&mut self, len: usize, purse: Purse<'_>) -> Result<(), NoRoom> {
        drop(self.take(purse));
        let cost = Self::cost(len);
        purse.charge(Resource::Buffers, cost).map_err(|_| NoRoom)?;
        self.paid = cost;
        let reserved = self.bytes.try_reserve_exact(len);
        if reserved.is_err() || self.settle(purse).is_err() {
            drop(self.take(purse));
            return Err(NoRoom);
        }
        Ok(())
    }

    /// Appends bytes for which [room has been made](Self::make_room).
    pub(super) fn append(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.bytes.capacity() - self.bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the contents.
    pub(super) fn take(&mut self, purse: Purse<'_>) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        // A decrease is never refused.
        let _ = self.settle(purse);
        bytes
    }

    fn cost(size: usize) -> usize {
        if size > Self::FREE { size } else { 0 }
    }

    fn settle(&mut self, purse: Purse<'_>) -> Result<(), Exhausted> {
        let cost = Self::cost(self.bytes.capacity());
        match std::mem::replace(&mut self.paid, cost) {
            paid if paid == cost => Ok(()),
            paid => purse.settle(Resource::Buffers, paid, cost),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lunatic_kernel::budget::{Budget, Caps};

    use super::*;

    #[test]
    fn long_bytes_are_paid_for_until_they_are_taken_or_replaced() {
        let caps = Caps {
            memory: Some(100_000),
            ..Caps::default()
        };
        let (budget, host) = (
            Budget::outermost(caps, Instant::now()),
            Budget::outermost(Caps::default(), Instant::now()),
        );
        let purse = Purse::new(Some(&budget), &host);
        let mut buffer = Buffer::default();
        buffer.set(vec![1; 100], purse).unwrap();
        assert_eq!(budget.usage().memory, 0);
        buffer.set(vec![2; 90_000], purse).unwrap();
        assert_eq!((budget.usage().memory, host.usage().memory), (90_000, 90_000));
        assert_eq!(buffer.take(purse), [2; 90_000]);
        assert_eq!(budget.usage().memory, 0);
        buffer.make_room(90_000, purse).unwrap();
        assert_eq!(budget.usage().memory, 90_000, "paid for before it is there");
        buffer.append(&[3; 1000]);
        assert_eq!(buffer.bytes(), [3; 1000]);
        assert_eq!(buffer.make_room(100_001, purse), Err(NoRoom));
        assert_eq!((buffer.bytes(), budget.usage().memory), (&[][..], 0));
        assert!(buffer.set(vec![3; 100_001], purse).is_err());
        buffer.set(Vec::new(), purse).unwrap();
        assert_eq!((budget.usage().memory, host.usage().memory), (0, 0));
    }
}
