//! Reports of the host about a running program.

use lunatic_host::log::{Level, Log};
use lunatic_host::wasi::Output;

/// The target of records about the program as a whole.
const TARGET: &str = "lunatic";

/// Where the host reports about a program: on its standard error, or in its log if the log accepts such texts.
#[derive(Clone)]
pub(crate) struct Voice {
    pub(crate) log: Log,
    pub(crate) stderr: Output,
}

impl Voice {
    /// Reports a text, which may have several lines.
    pub(crate) fn say(&self, level: Level, text: &str) {
        if self.log.takes_reports() {
            self.log.say(level, TARGET, text.trim_end());
        } else {
            self.stderr.report(&format!("{}\n", text.trim_end()));
        }
    }

    /// Waits until everything is written.
    pub(crate) fn finish(&self) {
        self.log.finish();
        self.stderr.finish();
    }
}
