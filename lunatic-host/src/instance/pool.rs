//! Idle runners, kept to be used again. Each worker has its own pool, so taking one needs no lock.

use std::sync::Arc;

use super::Runner;
use crate::module::Module;

/// Idle runners a worker keeps. One is enough for processes that run to their end one after the other; more help when
/// processes block before they end.
const LEN_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Pool(Vec<Runner>);

impl Pool {
    /// The idle runner of this module that was used last: most of it is in the cache still.
    pub(crate) fn take(&mut self, module: &Arc<Module>) -> Option<Runner> {
        let place = self.0.iter().rposition(|runner| Arc::ptr_eq(&runner.module, module))?;
        Some(self.0.remove(place))
    }

    pub(crate) fn put(&mut self, runner: Runner) {
        if self.0.len() == LEN_MAX {
            self.0.remove(0);
        }
        self.0.push(runner);
    }
}
