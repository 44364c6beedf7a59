//! Certificates that were verified not long ago.
//!
//! A node asks every second, for each of its connections, whether the other side is still admitted. A verification checks
//! several signatures. Its result changes only when the files of the node change, which make a new [`Verified`], and at the
//! beginning and the end of the certificate. So a certificate that is valid now and a minute later is valid in between.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use parking_lot::Mutex;

/// How far ahead a certificate is verified, in seconds.
const AHEAD: u64 = 60;

/// The times at which certificates are known to be valid, in seconds since 1970.
#[derive(Default)]
pub(crate) struct Verified(Mutex<HashMap<[u8; 32], RangeInclusive<u64>>>);

impl Verified {
    /// Whether a certificate is valid at a time, which `verify` finds out.
    pub(crate) fn is_valid(&self, certificate: &[u8], at: u64, verify: impl Fn(u64) -> bool) -> bool {
        let hash = *blake3::hash(certificate).as_bytes();
        if self.0.lock().get(&hash).is_some_and(|times| times.contains(&at)) {
            return true;
        }
        // Not under the lock, because this takes some time.
        if !verify(at) {
            return false;
        }
        let until = at + AHEAD;
        if verify(until) {
            let mut known = self.0.lock();
            // Those of connections that have ended.
            known.retain(|_, times| times.end() + 2 * AHEAD >= at);
            let times = known.entry(hash).or_insert(at..=until);
            *times = at.min(*times.start())..=until.max(*times.end());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_certificate_is_verified_once_a_minute_and_ends_in_the_second_that_it_names() {
        let (verified, count) = (Verified::default(), Cell::new(0));
        let is_valid = |at| {
            verified.is_valid(b"a", at, |at| {
                count.set(count.get() + 1);
                (1000..=5000).contains(&at)
            })
        };
        assert!(!is_valid(999));
        // As a node does: now, and ahead.
        for at in 1000..4900 {
            assert!(is_valid(at) && is_valid(at + 60), "{at}");
        }
        let rounds = 3900 / AHEAD;
        assert!(count.get() < 2 * rounds + 10, "{count:?}");
        for at in 4900..5100 {
            assert_eq!((is_valid(at), is_valid(at + 60)), (at <= 5000, at + 60 <= 5000), "{at}");
        }
        // A clock that was set back.
        assert!(is_valid(1000) && !is_valid(999));
    }

    #[test]
    fn certificates_of_former_connections_are_forgotten() {
        let verified = Verified::default();
        for number in 0_u64..1000 {
            assert!(verified.is_valid(&number.to_le_bytes(), number * 10, |_| true));
        }
        assert!(verified.0.lock().len() < 50);
        assert!(!verified.is_valid(b"another", 10_000, |_| false));
    }
}
