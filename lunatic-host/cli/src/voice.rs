//! What the host says about a program that runs.

use lunatic_host::log::{Level, Log};
use lunatic_host::wasi::Output;

/// What records are about that are about the program as a whole.
const TARGET: &str = "lunatic";

/// Where the host says something about a program: on its standard error, or in its log if that takes such texts.
#[derive(Clone)]
pub(crate) struct Voice {
    pub(crate) log: Log,
    pub(crate) stderr: Output,
}

impl Voice {
    /// Says something, which may have several lines.
    pub(crate) fn say(&self, level: Level, text: &str) {
        if self.log.takes_reports() {
            self.log.say(level, TARGET, text.trim_end());
        } else {
            self.stderr.report(&format!("{}\n", text.trim_end()));
        }
    }

    /// Waits until all is out that was said.
    pub(crate) fn finish(&self) {
        self.log.finish();
        self.stderr.finish();
    }
}
