//! Idle runners that are kept for reuse. Each worker has its own pool, so taking one needs no lock.

/// The most idle runners of a worker. One is enough for processes that run to their end one after another; more help if
/// processes block before they end.
const LEN_MAX: usize = 64;

/// Runners `R`; the most recently used one is last.
pub struct Pool<R>(Vec<R>);

impl<R> Default for Pool<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> Pool<R> {
    /// The most recently used idle runner of those that `fit`: most of it is still in the cache.
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
