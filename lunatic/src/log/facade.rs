//! The logger of the crate `log`.

use ::log::{Level, LevelFilter, Log, Metadata, Record, set_logger, set_max_level};
use lunatic_sys::log::{DEBUG, ERROR, INFO, TRACE, WARN};
use lunatic_sys::record::{Fields, encode};

use super::is_written_of;
use crate::host;

struct Logger;

pub(super) fn install() {
    // A process has one logger: installing another one returns an error.
    let _ = set_logger(&Logger);
    expect_all();
}

/// Lets all records through to this logger, because it is not known which are written.
#[inline]
pub(super) fn expect_all() {
    set_max_level(LevelFilter::Trace);
}

/// Lets records up to this level through to this logger.
pub(super) fn expect(level: i32) {
    set_max_level(match level {
        ERROR => LevelFilter::Error,
        WARN => LevelFilter::Warn,
        INFO => LevelFilter::Info,
        DEBUG => LevelFilter::Debug,
        TRACE => LevelFilter::Trace,
        _ => LevelFilter::Off,
    });
}

fn number(level: Level) -> i32 {
    match level {
        Level::Error => ERROR,
        Level::Warn => WARN,
        Level::Info => INFO,
        Level::Debug => DEBUG,
        Level::Trace => TRACE,
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_written_of(number(metadata.level()), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text;
        let message = match record.args().as_str() {
            Some(message) => message,
            None => {
                text = record.args().to_string();
                &text
            }
        };
        host::log::record(&encode(
            number(record.level()),
            record.target(),
            message,
            &Fields::default(),
            [],
        ));
    }

    fn flush(&self) {}
}
