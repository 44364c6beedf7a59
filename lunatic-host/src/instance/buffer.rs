//! What a host call has left for the process to fetch.

use lunatic_kernel::budget::{Exhausted, Purse, Resource};

/// The bytes for `lunatic::buffer::take`; see `lunatic_sys::buffer`.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// What the process has paid for them.
    paid: usize,
}

impl Buffer {
    /// What a process may have for nothing: most results and reasons are shorter.
    const FREE: usize = 4096;

    /// The bytes that are here.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Leaves these bytes in place of those that are here.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if the process cannot pay for them, and must end.
    pub(super) fn set(&mut self, bytes: Vec<u8>, purse: Purse<'_>) -> Result<(), Exhausted> {
        self.bytes = bytes;
        self.settle(purse)
    }

    /// Takes the bytes out.
    pub(super) fn take(&mut self, purse: Purse<'_>) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        // What becomes less is never refused.
        let _ = self.settle(purse);
        bytes
    }

    fn settle(&mut self, purse: Purse<'_>) -> Result<(), Exhausted> {
        let size = self.bytes.capacity();
        let cost = if size > Self::FREE { size } else { 0 };
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
        assert!(buffer.set(vec![3; 100_001], purse).is_err());
        buffer.set(Vec::new(), purse).unwrap();
        assert_eq!((budget.usage().memory, host.usage().memory), (0, 0));
    }
}
