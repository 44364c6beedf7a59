//! The thread that sends, from its start to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::process;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use lunatic_host::log::Log;
use lunatic_host::trace::Tracer;
use lunatic_host::{RunningSystem, Runtime, measures};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::{oneshot, watch};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::metrics::Times;
use crate::post::{Failure, Poster, connector};
use crate::records::Records;
use crate::spans::{pair, text};
use crate::{metrics, records, spans};

/// How often waiting data is sent.
const TICK: Duration = Duration::from_millis(200);
/// The most spans, and the most records, in one request.
const BATCH: usize = 2048;
/// The most spans, and the most records, per second.
pub const RATE: usize = BATCH * 5;
/// How often a rejected request is retried; the first time after a second, then after twice the time before.
const TRIES_MAX: u32 = 5;

/// An export of a program's telemetry to a collector, before it has started.
pub struct Exporter {
    config: Arc<Config>,
    tls: Option<TlsConnector>,
    tracer: Tracer,
    records: Arc<Records>,
}

/// A running exporter.
pub struct Exporting {
    stop: oneshot::Sender<Instant>,
    ended: mpsc::Receiver<()>,
}

impl Exporter {
    /// Prepares to send what `tracer` and `log` record from now on. Reads the operating system's trusted roots if the
    /// collector uses TLS.
    ///
    /// # Errors
    ///
    /// If TLS cannot be used.
    pub fn new(config: Config, tracer: &Tracer, log: Option<&Log>) -> io::Result<Self> {
        let tls = connector(&config)?;
        let records = Arc::new(Records::default());
        if let Some(log) = log {
            log.copy_to(records.clone());
        }
        Ok(Self {
            config: Arc::new(config),
            tls,
            tracer: tracer.clone(),
            records,
        })
    }

    /// Starts to send. `say` is called when the collector stops accepting data, and when it accepts data again.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread for it.
    pub fn start(
        self,
        runtime: &Arc<Runtime>,
        system: &Arc<RunningSystem>,
        say: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Exporting> {
        let ((stop, stops), (ends, ended)) = (oneshot::channel(), mpsc::channel());
        let program = Program {
            runtime: runtime.clone(),
            system: system.clone(),
            began: (SystemTime::now(), Instant::now()),
        };
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("lunatic-otlp".into()).spawn(move || {
            tokio.block_on(Loop::new(self, program, Box::new(say)).run(stops));
            let _ = ends.send(());
        })?;
        Ok(Exporting { stop, ended })
    }
}

impl Exporting {
    /// Sends the rest, for at most `patience`. Returns false if something is left.
    pub fn finish(self, patience: Duration) -> bool {
        let _ = self.stop.send(Instant::now() + patience);
        self.ended.recv_timeout(patience).is_ok()
    }
}

struct Program {
    runtime: Arc<Runtime>,
    system: Arc<RunningSystem>,
    began: (SystemTime, Instant),
}

type Say = Box<dyn Fn(&str) + Send>;

struct Loop {
    resource: Resource,
    interval: Duration,
    tracer: Tracer,
    records: Arc<Records>,
    program: Program,
    outboxes: [Outbox; 3],
    say: Say,
}

impl Loop {
    fn new(exporter: Exporter, program: Program, say: Say) -> Self {
        let Exporter {
            config,
            tls,
            tracer,
            records,
        } = exporter;
        Self {
            resource: resource(&config),
            interval: config.interval,
            tracer,
            records,
            program,
            outboxes: ["traces", "logs", "metrics"].map(|what| Outbox {
                what,
                poster: Poster::new(&config, what, tls.clone()),
                held: None,
                is_replaced: what == "metrics",
                is_failing: false,
            }),
            say,
        }
    }

    /// Sends until the program stops. Each signal has its own loop, so one that hangs does not delay the others.
    async fn run(self, stops: oneshot::Receiver<Instant>) {
        let Self {
            resource,
            interval,
            tracer,
            records,
            program,
            outboxes: [mut traces, mut logs, mut figures],
            say,
        } = self;
        let (resource, say) = (&resource, &*say);
        let (stop, stopped) = watch::channel(None);
        let stopping = async move {
            // Without an owner, nobody could stop it.
            let deadline = stops.await.unwrap_or_else(|_| Instant::now());
            stop.send_replace(Some(deadline));
        };
        let take_spans = |_| {
            let taken = tracer.take(BATCH);
            Batch::of(taken.len(), || spans::request(resource, taken))
        };
        let take_records = |_| {
            let taken = records.take(BATCH);
            Batch::of(taken.len(), || records::request(resource, taken))
        };
        let mut next_metrics = Instant::now() + interval;
        let take_figures = |is_last: bool| {
            let now = Instant::now();
            if !is_last && now < next_metrics {
                return None;
            }
            next_metrics = now + interval;
            let Program { runtime, system, began } = &program;
            let all = measures::read(runtime, system, began.1.elapsed());
            Batch::of(1, || {
                metrics::request(resource, &all, &system.metrics(), Times::since(began.0))
            })
        };
        all([
            Box::pin(stopping) as Pin<Box<dyn Future<Output = ()> + '_>>,
            Box::pin(traces.run(stopped.clone(), take_spans, |lost| tracer.count_lost(lost), say)),
            Box::pin(logs.run(stopped.clone(), take_records, |lost| records.count_lost(lost), say)),
            Box::pin(figures.run(stopped, take_figures, |_| {}, say)),
        ])
        .await;
    }
}

/// When an export has to be over, once its end was asked for.
type Stopped = watch::Receiver<Option<Instant>>;

/// Waits for all of them concurrently.
async fn all<F: Future<Output = ()> + Unpin, const N: usize>(mut loops: [F; N]) {
    let mut done = [false; N];
    poll_fn(|context| {
        for (one, done) in loops.iter_mut().zip(&mut done) {
            *done = *done || Pin::new(one).poll(context).is_ready();
        }
        match done.iter().all(|done| *done) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// Waits for this, and once the end was asked for, only until that is due; `None` if it was not over by then.
async fn until_stopped<T>(stopped: &mut Stopped, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut stop = pin!(async {
        match stopped.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    });
    let first = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => stop.as_mut().poll(context).map(Err),
    });
    match first.await {
        Ok(done) => Some(done),
        Err(deadline) => timeout_at(deadline.into(), work).await.ok(),
    }
}

/// A request to be sent.
struct Batch {
    body: Bytes,
    /// The number of items in it.
    count: usize,
}

impl Batch {
    /// A request with these items, unless there are none.
    fn of(count: usize, make: impl FnOnce() -> Vec<u8>) -> Option<Self> {
        (count > 0).then(|| Self {
            body: make().into(),
            count,
        })
    }
}

/// One signal that is sent.
struct Outbox {
    what: &'static str,
    poster: Poster,
    held: Option<Held>,
    /// Whether newer data replaces what is held.
    is_replaced: bool,
    /// Whether the last request has failed.
    is_failing: bool,
}

/// A complete request to be sent.
struct Held {
    body: Bytes,
    /// The number of items in it.
    count: usize,
    tries: u32,
    /// When to send it at the earliest.
    due: Instant,
}

impl Outbox {
    /// Sends what `take` has, until `stopped` and all was sent, or until no time is left. `take` is told when it is asked for
    /// the last data.
    async fn run(
        &mut self,
        mut stopped: Stopped,
        mut take: impl FnMut(bool) -> Option<Batch>,
        mut lose: impl FnMut(u64),
        say: &(dyn Fn(&str) + Send),
    ) {
        loop {
            let _ = timeout(TICK, stopped.wait_for(Option::is_some)).await;
            let deadline = *stopped.borrow();
            // Also the most recent data, however much it is.
            loop {
                // Figures that were not accepted are replaced by newer ones.
                let taken = match self.held.is_none() || self.is_replaced {
                    true => take(deadline.is_some()),
                    false => None,
                };
                let has_more = taken.as_ref().map_or(self.held.is_some(), |batch| batch.count >= BATCH);
                if let Some(Batch { body, count }) = taken {
                    self.hold(body, count);
                }
                lose(self.post(&mut stopped, deadline, say).await);
                if !has_more || deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                    break;
                }
            }
            if deadline.is_some() {
                return;
            }
        }
    }

    fn hold(&mut self, body: Bytes, count: usize) {
        self.held = Some(Held {
            body,
            count,
            tries: 0,
            due: Instant::now(),
        });
    }

    /// Sends the request, if it is due; returns how many items were lost.
    async fn post(&mut self, stopped: &mut Stopped, deadline: Option<Instant>, say: &(dyn Fn(&str) + Send)) -> u64 {
        let now = Instant::now();
        let Some(held) = self.held.as_mut().filter(|held| held.due <= now || deadline.is_some()) else {
            return 0;
        };
        let sent = until_stopped(stopped, self.poster.post(held.body.clone())).await;
        held.tries += 1;
        let count = held.count as u64;
        let (why, is_lost) = match sent {
            Some(Ok(())) => {
                self.held = None;
                if std::mem::take(&mut self.is_failing) {
                    say(&format!("the collector accepts {} again", self.what));
                }
                return 0;
            }
            Some(Err(Failure::Again(why))) => (why, held.tries > TRIES_MAX || deadline.is_some()),
            Some(Err(Failure::Never(why))) => (why, true),
            None => ("no answer came before the end".to_owned(), true),
        };
        held.due = Instant::now() + Duration::from_secs(1 << held.tries.saturating_sub(1).min(6));
        if is_lost {
            self.held = None;
        }
        if !std::mem::replace(&mut self.is_failing, true) {
            say(&format!("{} cannot be sent to the collector: {why}", self.what));
        }
        if is_lost { count } else { 0 }
    }
}

/// The attributes of the program.
fn resource(config: &Config) -> Resource {
    let version = env!("CARGO_PKG_VERSION");
    let mut attributes = vec![
        text("service.name", &config.service),
        text("telemetry.sdk.name", "lunatic"),
        text("telemetry.sdk.language", "webassembly"),
        text("telemetry.sdk.version", version),
        text("process.runtime.name", "lunatic"),
        text("process.runtime.version", version),
        pair("process.pid", Value::IntValue(process::id().into())),
    ];
    for (key, value) in &config.attributes {
        attributes.retain(|known| known.key != *key);
        attributes.push(text(key, value));
    }
    Resource {
        attributes,
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// An outbox for a collector at the address of this listener.
    fn outbox(collector: &TcpListener, what: &'static str) -> Outbox {
        let endpoint = format!("http://{}", collector.local_addr().unwrap());
        // A request that nobody answers waits for ten minutes.
        let patient = |name: &str| (name == "OTEL_EXPORTER_OTLP_TIMEOUT").then(|| "600000".to_owned());
        let config = Arc::new(Config::new(&endpoint, "test", patient).unwrap());
        Outbox {
            what,
            poster: Poster::new(&config, what, None),
            held: None,
            is_replaced: false,
            is_failing: false,
        }
    }

    /// Takes requests for ever, and answers each.
    fn answer(collector: &TcpListener) {
        let (mut stream, _) = collector.accept().unwrap();
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
        }
    }

    #[test]
    fn a_signal_that_hangs_delays_neither_another_nor_the_end() {
        // The system accepts for it, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut traces, mut logs) = (outbox(&silent, "traces"), outbox(&good, "logs"));
        let collector = thread::spawn(move || answer(&good));
        let (stop, stopped) = watch::channel(None);
        let (lost, taken) = (Cell::new(0), Cell::new(0));
        let start = Instant::now();
        let executor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        executor.block_on(async {
            let one = |_| Batch::of(1, || vec![0]);
            let some = |_| {
                taken.set(taken.get() + 1);
                // The third is taken when the first two were accepted.
                if taken.get() == 3 {
                    stop.send_replace(Some(Instant::now() + Duration::from_secs(10)));
                }
                Batch::of(1, || vec![0])
            };
            let count_lost = |count| lost.set(lost.get() + count);
            all([
                Box::pin(traces.run(stopped.clone(), one, count_lost, &|_| {}))
                    as Pin<Box<dyn Future<Output = ()> + '_>>,
                Box::pin(logs.run(
                    stopped.clone(),
                    some,
                    |lost| assert_eq!(lost, 0, "the collector takes all"),
                    &|_| {},
                )),
            ])
            .await;
        });
        drop(executor);
        // The end did not wait for the request that nobody answers.
        assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
        assert!(taken.get() >= 3 && lost.get() >= 1, "{} {}", taken.get(), lost.get());
        drop(logs);
        collector.join().unwrap();
    }
}
