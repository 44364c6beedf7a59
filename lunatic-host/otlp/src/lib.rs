//! Sends telemetry of a running program to an OpenTelemetry collector: spans, log records and metrics, as protobuf over
//! HTTP/1.1 (OTLP/HTTP).
//!
//! | module | purpose |
//! |---|---|
//! | `config` | the endpoint of the collector, and attributes of the program |
//! | `exporter` | the thread that sends, from its start to its end |
//! | `post` | one request and its answer |
//! | `spans`, `records`, `metrics` | encode what is sent |
//!
//! # What it costs
//!
//! A single thread does all of the work, and no process waits for it. The data that waits to be sent is limited to
//! 4,096 spans and 8 MiB, and 4,096 records and 8 MiB. Beyond that, data is dropped and counted while a collector is
//! down, hangs or is slow (`lunatic.spans.dropped`, `lunatic.records.dropped`). The number of spans and records per
//! second is limited, too ([`RATE`]), so that the thread is not kept busy by a flood for which its makers have paid
//! only once.
//!
//! # What this crate may not know
//!
//! Flags, and the admin door.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod config;
mod exporter;
mod metrics;
mod post;
mod records;
mod spans;

pub use self::config::{Config, ConfigError};
pub use self::exporter::{Exporter, Exporting, RATE};
