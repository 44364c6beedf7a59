//! Idle runners, kept to be used again. Each worker has its own pool, so taking one needs no lock.

/// Idle runners a worker keeps. One is enough for processes that run to their end one after the other; more help when
/// processes block before they end.
const LEN_MAX: usize = 64;

/// Runners `R`; the one that was used last is at the end.
pub struct Pool<R>(Vec<R>);

impl<R> Default for Pool<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> Pool<R> {
    /// The idle runner that was used last of those that `fit`: most of it is in the cache still.
    pub(crate) fn take(&mut self, fits: impl Fn(&R) -> bool) -> Option<R> {
        let place = self.0.iter().rposition(fits)?;
        Some(self.0.remove(place))
    }

    pub(crate) fn put(&mut self, runner: R) {
        if self.0.len() == LEN_MAX {
            self.0.remove(0);
        }
        self.0.push(runner);
    }
}
