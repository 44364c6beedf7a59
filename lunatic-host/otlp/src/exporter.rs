//! The thread that sends, from its start to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
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
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::metrics::Times;
use crate::post::{Failure, Poster, connector};
use crate::records::Records;
use crate::spans::{pair, text};
use crate::{metrics, records, spans};

/// So often what waits is sent.
const TICK: Duration = Duration::from_millis(200);
/// So many spans, and so many records, go in one request.
const BATCH: usize = 2048;
/// So many spans and so many records go in a second, at most.
pub const RATE: usize = BATCH * 5;
/// What was not taken is tried so often again, with a second before the first time, and twice as long before each that follows.
const TRIES_MAX: u32 = 5;

/// What is seen of a program, on its way to a collector.
pub struct Exporter {
    config: Arc<Config>,
    tls: Option<TlsConnector>,
    tracer: Tracer,
    records: Arc<Records>,
}

/// An exporter that runs.
pub struct Exporting {
    stop: oneshot::Sender<Instant>,
    ended: mpsc::Receiver<()>,
}

impl Exporter {
    /// Prepares to send what `tracer` and `log` get from now on. This reads whom the system trusts, if the collector speaks TLS.
    ///
    /// # Errors
    ///
    /// If there is no way to use TLS.
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

    /// Begins to send. `say` is told when a collector takes nothing any more, and when it does again.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub fn start(
        self,
        runtime: &Arc<Runtime>,
        system: &Arc<RunningSystem>,
        say: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Exporting> {
        let ((stop, mut stops), (ends, ended)) = (oneshot::channel(), mpsc::channel());
        let program = Program {
            runtime: runtime.clone(),
            system: system.clone(),
            began: (SystemTime::now(), Instant::now()),
        };
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("lunatic-otlp".into()).spawn(move || {
            tokio.block_on(Loop::new(self, program, Box::new(say)).run(&mut stops));
            let _ = ends.send(());
        })?;
        Ok(Exporting { stop, ended })
    }
}

impl Exporting {
    /// Sends what is left, for at most so long. False if it is not all sent by then.
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
                is_failing: false,
            }),
            say,
        }
    }

    async fn run(mut self, stops: &mut oneshot::Receiver<Instant>) {
        let mut next_metrics = Instant::now() + self.interval;
        loop {
            let deadline = match timeout(TICK, &mut *stops).await {
                // Whoever would stop it is gone.
                Ok(stopped) => Some(stopped.unwrap_or_else(|_| Instant::now())),
                Err(_) => None,
            };
            let now = Instant::now();
            let with_metrics = deadline.is_some() || now >= next_metrics;
            if with_metrics {
                next_metrics = now + self.interval;
            }
            // What came last, too, however much it is.
            loop {
                let had_all = self.send(with_metrics, deadline).await;
                if had_all || deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                    break;
                }
            }
            if deadline.is_some() {
                return;
            }
        }
    }

    /// Sends what waits; true if no more than that waits now.
    async fn send(&mut self, with_metrics: bool, deadline: Option<Instant>) -> bool {
        let [traces, logs, figures] = &mut self.outboxes;
        let mut had_all = true;
        if traces.is_free() {
            let taken = self.tracer.take(BATCH);
            had_all &= taken.len() < BATCH;
            traces.hold(taken.len(), || spans::request(&self.resource, taken));
        }
        if logs.is_free() {
            let taken = self.records.take(BATCH);
            had_all &= taken.len() < BATCH;
            logs.hold(taken.len(), || records::request(&self.resource, taken));
        }
        // Figures that were not taken are replaced by newer ones.
        if with_metrics {
            let Program { runtime, system, began } = &self.program;
            let all = measures::read(runtime, system, began.1.elapsed());
            figures.hold(1, || {
                metrics::request(&self.resource, &all, &system.metrics(), Times::since(began.0))
            });
        }
        let say = &*self.say;
        let posts = [traces, logs, figures].map(|outbox| Box::pin(outbox.post(deadline, say)));
        let [spans, records, _] = all(posts).await;
        self.tracer.count_lost(spans);
        self.records.count_lost(records);
        had_all
    }
}

/// Waits for all of them at once: one that hangs keeps no other back.
async fn all<F: Future<Output = u64> + Unpin, const N: usize>(mut posts: [F; N]) -> [u64; N] {
    let mut done = [None; N];
    poll_fn(|context| {
        for (post, done) in posts.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(lost) = Pin::new(post).poll(context)
            {
                *done = Some(lost);
            }
        }
        match done.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done.map(Option::unwrap_or_default)
}

/// One kind of what is sent.
struct Outbox {
    what: &'static str,
    poster: Poster,
    held: Option<Held>,
    /// The last request has failed.
    is_failing: bool,
}

/// What is to be sent: a whole request.
struct Held {
    body: Bytes,
    /// How much it is.
    count: usize,
    tries: u32,
    /// Not before.
    due: Instant,
}

impl Outbox {
    fn is_free(&self) -> bool {
        self.held.is_none()
    }

    /// Has this to send, if it is anything.
    fn hold(&mut self, count: usize, make: impl FnOnce() -> Vec<u8>) {
        if count > 0 {
            self.held = Some(Held {
                body: make().into(),
                count,
                tries: 0,
                due: Instant::now(),
            });
        }
    }

    /// Sends what there is, if it is time; how much was lost.
    async fn post(&mut self, deadline: Option<Instant>, say: &(dyn Fn(&str) + Send)) -> u64 {
        let now = Instant::now();
        let Some(held) = self.held.as_mut().filter(|held| held.due <= now || deadline.is_some()) else {
            return 0;
        };
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let sent = self.poster.post(held.body.clone(), limit).await;
        held.tries += 1;
        let count = held.count as u64;
        let (why, is_lost) = match sent {
            Ok(()) => {
                self.held = None;
                if std::mem::take(&mut self.is_failing) {
                    say(&format!("the collector takes {} again", self.what));
                }
                return 0;
            }
            Err(Failure::Again(why)) => (why, held.tries > TRIES_MAX || deadline.is_some()),
            Err(Failure::Never(why)) => (why, true),
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

/// What is said of the program.
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
