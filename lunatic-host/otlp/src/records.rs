//! Log records that wait to be sent, and their encoding.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use lunatic_host::log::{Line, Tap};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use parking_lot::Mutex;
use prost::Message as _;

use crate::spans::{field, nanoseconds, process, scope};

/// The most records that wait to be sent.
const WAITING_MAX: usize = 4096;
/// The most bytes of all waiting records.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// A record, with the part of the program that it is about.
pub(crate) type Record = (String, LogRecord);

/// The records that wait to be sent.
#[derive(Default)]
pub(crate) struct Records {
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<(Record, usize)>,
    bytes: usize,
}

impl Records {
    /// Takes the oldest records, at most `max`.
    pub(crate) fn take(&self, max: usize) -> Vec<Record> {
        let mut waiting = self.waiting.lock();
        let count = waiting.records.len().min(max);
        let taken: Vec<_> = waiting.records.drain(..count).collect();
        waiting.bytes -= taken.iter().map(|(_, size)| size).sum::<usize>();
        taken.into_iter().map(|(record, _)| record).collect()
    }

    /// Counts lost records.
    pub(crate) fn count_lost(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

impl Tap for Records {
    fn take(&self, line: &Line<'_>) {
        let record = record(line);
        // Approximately the bytes of the record, plus its overhead.
        let size = 512 + 128 * record.1.attributes.len() + record.1.encoded_len();
        let mut waiting = self.waiting.lock();
        if waiting.records.len() < WAITING_MAX && waiting.bytes + size <= WAITING_BYTES_MAX {
            waiting.bytes += size;
            waiting.records.push_back((record, size));
        } else {
            drop(waiting);
            self.count_lost(1);
        }
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn record(line: &Line<'_>) -> Record {
    let (severity, word) = match line.level {
        1 => (SeverityNumber::Error, "ERROR"),
        2 => (SeverityNumber::Warn, "WARN"),
        3 => (SeverityNumber::Info, "INFO"),
        4 => (SeverityNumber::Debug, "DEBUG"),
        _ => (SeverityNumber::Trace, "TRACE"),
    };
    let fields = line.fields.iter().map(|(name, value)| field(name, value));
    let process = line.process.into_iter().flat_map(|(id, name)| process(id, name));
    let context = line.context;
    let record = LogRecord {
        time_unix_nano: nanoseconds(line.time),
        observed_time_unix_nano: nanoseconds(SystemTime::now()),
        severity_number: severity.into(),
        severity_text: word.into(),
        body: Some(AnyValue {
            value: Some(Said::StringValue(line.message.into())),
        }),
        attributes: fields.chain(process).collect(),
        flags: context.map_or(0, |context| context.flags.into()),
        trace_id: context.map(|context| context.trace.to_vec()).unwrap_or_default(),
        span_id: context.map(|context| context.span.to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    };
    (line.target.to_owned(), record)
}

/// The request with these records.
pub(crate) fn request(resource: &Resource, records: Vec<Record>) -> Vec<u8> {
    let mut targets = BTreeMap::<String, Vec<LogRecord>>::new();
    for (target, record) in records {
        targets.entry(target).or_default().push(record);
    }
    let scopes = targets.into_iter().map(|(target, records)| ScopeLogs {
        scope: Some(scope(&target)),
        log_records: records,
        ..ScopeLogs::default()
    });
    let all = ResourceLogs {
        resource: Some(resource.clone()),
        scope_logs: scopes.collect(),
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![all],
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_the_rest_is_counted() {
        let records = Records::default();
        let message = "m".repeat(1000);
        let line = Line {
            time: SystemTime::now(),
            level: 3,
            target: "t",
            process: Some(("#1", "main")),
            message: &message,
            fields: &[],
            spans: &[],
            context: None,
        };
        for _ in 0..5000 {
            Tap::take(&records, &line);
        }
        let first = records.take(10).len();
        let rest = records.take(usize::MAX).len();
        assert_eq!((first, rest), (10, WAITING_MAX - 10));
        assert_eq!(records.dropped(), 5000 - WAITING_MAX as u64);
        let message = "m".repeat(100_000);
        let long = Line {
            message: &message,
            ..line
        };
        for _ in 0..1000 {
            Tap::take(&records, &long);
        }
        let kept = records.take(usize::MAX).len();
        assert!((50..90).contains(&kept), "{kept}");
        // All room has been given back.
        Tap::take(&records, &long);
        assert_eq!(records.take(1).len(), 1);
        assert_eq!(records.waiting.lock().bytes, 0);
    }
}
