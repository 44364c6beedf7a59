//! Logging: programs use the crates [`log`](https://docs.rs/log) or [`tracing`](https://docs.rs/tracing), and the host
//! writes their records.
//!
//! With the feature `log` or `tracing` of this crate, each process has a logger from its start, which does not have to
//! be installed. The host adds the time, the process and its name, and writes the record to standard error, or to the
//! file given with `lunatic run --log-file`:
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
//! `--log-level` or `RUST_LOG` sets which records are written (default: `info`), and `lunatic log-level` changes that
//! while the program runs.
//!
//! A record that is not written costs a nanosecond with `log` and ten with `tracing`. A process asks the host for the
//! most verbose level each time it goes on after a wait of this crate (`receive`, `sleep`, `join`, …), and for the
//! level of a target before each record that may be written. So a process that computes without waiting notices a more
//! verbose level late: with `tracing` within 1,024 records, with `log` after its next wait.
//!
//! With `tracing`, spawning a process takes about a microsecond longer, because its subscriber needs memory from the
//! start.
//!
//! # Limits
//!
//! A record has at most 16 KiB: a longer message is cut, and fields that do not fit are omitted. Logging never waits:
//! if there is no room for a record, it is dropped, and the host logs how many were dropped.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use lunatic_sys::log::TRACE;

use crate::host;

#[cfg(feature = "log")]
mod facade;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(feature = "tracing")]
mod subscriber;

/// The level is not known.
const UNKNOWN: i32 = -1;
/// After this many records that were not written, the host is asked again.
const QUESTION_TURN: u32 = 1024;

/// The most verbose level that is written for any target, as far as this process knows.
static LEVEL: AtomicI32 = AtomicI32::new(UNKNOWN);
/// How many records were not written since the host was last asked.
static UNWRITTEN: AtomicU32 = AtomicU32::new(0);

/// Makes sure that the logger is installed; does nothing else.
///
/// A program that spawns a process, uses a channel or anything else of this crate does not need it. A program that does
/// none of that calls this function once, anywhere.
pub fn init() {
    host::log::keep();
}

/// Installs the logger for the crates. A logger that the program installs itself comes too late.
pub(crate) fn install() {
    #[cfg(feature = "log")]
    facade::install();
    #[cfg(feature = "tracing")]
    subscriber::install();
}

/// Called when the process goes on after a wait: the level may have changed.
#[inline]
pub(crate) fn woke() {
    LEVEL.store(UNKNOWN, Ordering::Relaxed);
    #[cfg(feature = "log")]
    facade::expect_all();
}

/// Whether records of this level are written for any target.
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

/// Whether records of this level are written for this target.
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
