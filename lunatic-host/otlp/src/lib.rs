//! Sends what is seen of a running program to an OpenTelemetry collector: spans, records of the log, and metrics, as protobuf over
//! HTTP/1.1 (OTLP/HTTP).
//!
//! | module | what it is about |
//! |---|---|
//! | `config` | where to send, and what to say of the program |
//! | `exporter` | the thread that sends, from its start to its end |
//! | `post` | one request and its answer |
//! | `spans`, `records`, `metrics` | what is sent, in the words of the protocol |
//!
//! # What it costs
//!
//! All of it is done by one thread, which no process waits for. What waits to be sent is bounded: 4,096 spans and 8 MiB, 4,096 records
//! and 8 MiB. What comes while a receiver is away, hangs or is slow is dropped beyond that, and counted
//! (`lunatic.spans.dropped`, `lunatic.records.dropped`). So many spans and records go in a second at most ([`RATE`]), so that the
//! thread is not kept busy by a flood that its makers have paid for only once.
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
