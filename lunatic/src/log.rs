//! Records of what a process does: programs use the crates [`log`](https://docs.rs/log) or
//! [`tracing`](https://docs.rs/tracing), and the host writes what they say.
//!
//! With the feature `log` or `tracing` of this crate, each process has a logger from its beginning, and nothing is to be
//! installed. The host adds the time, the process and its name, and writes the record to standard error, or where
//! `lunatic run --log-file` says:
//!
//! ```no_run
//! # #[cfg(feature = "tracing")] {
//! use tracing::{info, info_span};
//!
//! let _order = info_span!("order", id = 7).entered();
//! info!(item = "umbrella", left = 2, "sold");
//! // 2026-11-27T22:15:00.123456Z  INFO [#3 shop::Stock] shop::stock: order{id=7}: sold item=umbrella left=2
//! # }
//! ```
//!
//! # Levels
//!
//! `--log-level` or `RUST_LOG` says which records are written, `info` by default, and `lunatic log-level` changes that while
//! the program runs. A record that is not written costs a nanosecond with `log` and ten with `tracing`: a process asks the host for the level once each time
//! it goes on after a wait of this crate (a `receive`, `sleep`, `join`, …), and at once for each record of a target that
//! might be written. A process that computes on and on without a wait notices a more verbose level with `tracing` soon (it asks
//! again every 1,024 records), with `log` at its next wait.
//!
//! With `tracing`, a process takes about a microsecond more to spawn, as its subscriber needs memory from the beginning.
//!
//! # Limits
//!
//! A record has 16 KiB at most: a longer message is cut, and fields that do not fit are left out. Logging never waits: a record
//! for which there is no room is dropped, and the host writes how many were.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use lunatic_sys::log::TRACE;

use crate::host;

#[cfg(feature = "log")]
mod facade;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(feature = "tracing")]
mod subscriber;

/// What is not known.
const UNKNOWN: i32 = -1;
/// After so many records that were not written, the host is asked again.
const QUESTION_TURN: u32 = 1024;

/// The most verbose level that is written of any target, as far as this process knows.
static LEVEL: AtomicI32 = AtomicI32::new(UNKNOWN);
/// How many records were not written since the host was asked.
static UNWRITTEN: AtomicU32 = AtomicU32::new(0);

/// Does nothing but say that this program logs.
///
/// The logger is there without it, as soon as the program spawns a process, uses a channel, or anything else of this crate. A
/// program that does nothing of that calls this function once, anywhere.
pub fn init() {
    host::log::keep();
}

/// Makes the crates log to the host; the program's own loggers come too late.
pub(crate) fn install() {
    #[cfg(feature = "log")]
    facade::install();
    #[cfg(feature = "tracing")]
    subscriber::install();
}

/// The process goes on after a wait: the level may have changed.
#[inline]
pub(crate) fn woke() {
    LEVEL.store(UNKNOWN, Ordering::Relaxed);
    #[cfg(feature = "log")]
    facade::expect_all();
}

/// Whether records of this level are written of any target.
#[inline]
fn is_written(level: i32) -> bool {
    let known = LEVEL.load(Ordering::Relaxed);
    let is_written = level <= if known == UNKNOWN { ask() } else { known };
    if !is_written {
        let unwritten = UNWRITTEN.load(Ordering::Relaxed) + 1;
        UNWRITTEN.store(unwritten, Ordering::Relaxed);
        if unwritten >= QUESTION_TURN {
            LEVEL.store(UNKNOWN, Ordering::Relaxed);
        }
    }
    is_written
}

/// Whether a record of this level and target is written.
fn is_written_of(level: i32, target: &str) -> bool {
    is_written(level) && level <= host::log::level(target)
}

#[cold]
fn ask() -> i32 {
    let level = host::log::level("").clamp(0, TRACE);
    LEVEL.store(level, Ordering::Relaxed);
    UNWRITTEN.store(0, Ordering::Relaxed);
    #[cfg(feature = "log")]
    facade::expect(level);
    level
}
