//! What is seen of a program, at a collector: a receiver of OTLP in the test, which decodes what comes. The programs are in
//! `guests/observed.rs`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lunatic_tests::guests::{Profile, path};
use lunatic_tests::host::PATIENCE;
use lunatic_tests::programs::lunatic;
use lunatic_tests::serving::Serving;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

/// What a collector was sent.
#[derive(Default)]
struct Came {
    resources: Vec<Resource>,
    spans: Vec<Span>,
    /// Records with their targets.
    records: Vec<(String, LogRecord)>,
    metrics: Vec<ExportMetricsServiceRequest>,
    requests: usize,
}

/// A collector. It answers each request with the status that `status` says for its number, or not at all.
struct Collector {
    endpoint: String,
    came: Arc<Mutex<Came>>,
    news: Receiver<()>,
}

impl Collector {
    fn start(status: impl Fn(usize) -> Option<u16> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::new(Mutex::new(Came::default()));
        let (tell, news) = channel();
        let (into, status) = (came.clone(), Arc::new(status));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (into, tell, status) = (into.clone(), tell.clone(), status.clone());
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream.unwrap());
                    while let Some((address, body)) = request(&mut stream) {
                        let number = {
                            let mut came = into.lock().unwrap();
                            came.requests += 1;
                            came.requests
                        };
                        let Some(status) = status(number) else {
                            // It hangs, and goes on listening.
                            let _ = tell.send(());
                            continue;
                        };
                        if status == 200 {
                            into.lock().unwrap().take(&address, &body);
                        }
                        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                        let _ = tell.send(());
                    }
                });
            }
        });
        Self { endpoint, came, news }
    }

    /// Waits until what came is enough.
    #[track_caller]
    fn wait<T>(&self, mut enough: impl FnMut(&Came) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = enough(&self.came.lock().unwrap()) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            self.news.recv_timeout(left).expect("the collector waits in vain");
        }
    }
}

/// The path and the body of a request; nothing at the end of the connection.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found = head.iter().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim_start_matches(':').trim().to_owned())
    };
    assert_eq!(
        header("content-type").as_deref(),
        Some("application/x-protobuf"),
        "{head:?}"
    );
    let len = header("content-length").unwrap().parse().unwrap();
    let mut body = vec![0; len];
    stream.read_exact(&mut body).ok()?;
    let address = head[0].split(' ').nth(1).unwrap().to_owned();
    Some((address, body))
}

impl Came {
    fn take(&mut self, address: &str, body: &[u8]) {
        match address {
            "/v1/traces" => {
                for all in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                    self.resources.extend(all.resource);
                    self.spans
                        .extend(all.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
            "/v1/logs" => {
                for all in ExportLogsServiceRequest::decode(body).unwrap().resource_logs {
                    self.resources.extend(all.resource);
                    for scope in all.scope_logs {
                        let target = scope.scope.unwrap().name;
                        let records = scope.log_records.into_iter();
                        self.records.extend(records.map(|record| (target.clone(), record)));
                    }
                }
            }
            "/v1/metrics" => self.metrics.push(ExportMetricsServiceRequest::decode(body).unwrap()),
            other => panic!("nothing is sent to {other}"),
        }
    }

    fn span(&self, name: &str) -> Option<Span> {
        self.spans.iter().find(|span| span.name == name).cloned()
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    Some(match found.value.clone()?.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// Each program of these tests has its own variables, whatever the machine's are.
fn observed(endpoint: &str, flags: &[&str], args: &[&str]) -> Command {
    let guest = path("observed", Profile::Debug);
    let flags = [&["run", "--otlp", endpoint], flags, &[guest.to_str().unwrap()], args].concat();
    let mut command = lunatic(flags).into_command();
    for name in [
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_TRACES_SAMPLER",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// A program that runs until the test ends; one that fails leaves it behind no more than another.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A request goes from a client process through a server process to an actor, which spawns a child: one trace, in which each is
/// within the one that called it, and the records of all name it.
#[test]
fn one_request_is_one_trace() {
    let collector = Collector::start(|_| Some(200));
    let mut command = observed(
        &collector.endpoint,
        &["--allow-net", "bind:127.0.0.1"],
        &["serve", "127.0.0.1:0"],
    );
    command.env("OTEL_SERVICE_NAME", "shop");
    let serving = Serving::start_command(command);
    let mut stream = serving.connect();
    let head = format!(
        "GET /orders/7 HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\
         tracestate: a=1\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let [request, handle, child] =
        ["GET /orders/{id}", "look up", "child"].map(|name| collector.wait(|came| came.span(name)));
    for span in [&request, &handle, &child] {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert_eq!(span.trace_state, "a=1");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(
        (&handle.parent_span_id, &child.parent_span_id),
        (&request.span_id, &handle.span_id)
    );
    assert_eq!((request.kind(), child.kind()), (SpanKind::Server, SpanKind::Internal));
    let said = |key: &str| attribute(&request.attributes, key).unwrap_or_default();
    let expected = ["GET", "/orders/7", "/orders/{id}", "200"];
    let keys = [
        "http.request.method",
        "url.path",
        "http.route",
        "http.response.status_code",
    ];
    assert_eq!(keys.map(said), expected);
    assert_ne!(
        attribute(&handle.attributes, "lunatic.process.id"),
        attribute(&child.attributes, "lunatic.process.id")
    );
    let (target, record) = collector.wait(|came| came.records.first().cloned());
    assert_eq!((target.as_str(), record.severity_text.as_str()), ("observed", "WARN"));
    assert_eq!(
        (hex(&record.trace_id), &record.span_id),
        (TRACE.to_owned(), &child.span_id)
    );
    let came = collector.came.lock().unwrap();
    for resource in &came.resources {
        assert_eq!(attribute(&resource.attributes, "service.name").as_deref(), Some("shop"));
    }
}

/// A request with a bad context, and one with none, begin traces of their own; the handler's client hands its own on.
#[test]
fn a_client_hands_its_context_on() {
    let collector = Collector::start(|_| Some(200));
    let flags = ["--allow-net", "bind:127.0.0.1", "--allow-net", "127.0.0.1"];
    let serving = Serving::start_command(observed(&collector.endpoint, &flags, &["serve", "127.0.0.1:0"]));
    let mut stream = serving.connect();
    let head = format!(
        "GET /forward?{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntraceparent: 00-{TRACE}-0-01\r\n\r\n",
        serving.url("/orders/1")
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let [outer, client, inner] =
        ["GET /forward", "GET", "GET /orders/{id}"].map(|name| collector.wait(|came| came.span(name)));
    assert!(outer.parent_span_id.is_empty() && hex(&outer.trace_id) != TRACE);
    assert_eq!(
        (&client.parent_span_id, &inner.parent_span_id),
        (&outer.span_id, &client.span_id)
    );
    assert_eq!((&client.trace_id, &inner.trace_id), (&outer.trace_id, &outer.trace_id));
    assert_eq!(client.kind(), SpanKind::Client);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The figures that come are those that `/metrics` shows.
#[test]
fn metrics_are_those_of_the_door() {
    let collector = Collector::start(|_| Some(200));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("door");
    let door = format!("--admin={}", socket.display());
    let mut command = observed(&collector.endpoint, &[&door], &["count"]);
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let mut host = Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(host.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    // Since the program is ready nothing of it changes.
    let shown = figures(&get(&socket));
    let seen = collector.came.lock().unwrap().metrics.len();
    let sent = collector.wait(|came| came.metrics.get(seen + 1).map(self::sent));
    let names = |figures: &BTreeMap<String, f64>| figures.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&sent), names(&shown));
    for (name, value) in &sent {
        let moves = [
            "_seconds",
            "resident_bytes",
            "by_state",
            "instances",
            "run_queue",
            "memory_bytes",
        ];
        if !moves
            .iter()
            .any(|part| name.starts_with("lunatic_") && name.contains(part))
        {
            assert_eq!(Some(value), shown.get(name), "{name}");
        }
    }
    assert_eq!(sent["orders_total"], 3.0);
    assert_eq!(sent[r#"by_kind_total{kind="a"}"#], 2.0);
}

fn get(socket: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn figures(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// What was sent, by the names that Prometheus has for it.
fn sent(request: &ExportMetricsServiceRequest) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let scopes = request.resource_metrics.iter().flat_map(|all| &all.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let unit = match metric.unit.as_str() {
            "By" => "_bytes",
            "s" => "_seconds",
            _ => "",
        };
        let base = format!("{}{unit}", metric.name.replace('.', "_"));
        let labels = |attributes: &[KeyValue], more: Option<(&str, String)>| {
            let own = attributes
                .iter()
                .map(|pair| (pair.key.as_str(), attribute(attributes, &pair.key).unwrap()));
            let all: Vec<_> = own
                .chain(more)
                .map(|(key, value)| format!("{key}=\"{value}\""))
                .collect();
            if all.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", all.join(","))
            }
        };
        let (points, total) = match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => (&gauge.data_points, ""),
            Data::Sum(sum) => (&sum.data_points, "_total"),
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let mut count = 0;
                    let bounds = point.explicit_bounds.iter().map(f64::to_string).chain(["+Inf".into()]);
                    for (bound, bucket) in bounds.zip(&point.bucket_counts) {
                        count += bucket;
                        let labels = labels(&point.attributes, Some(("le", bound)));
                        all.insert(format!("{base}_bucket{labels}"), count as f64);
                    }
                    all.insert(
                        format!("{base}_sum{}", labels(&point.attributes, None)),
                        point.sum.unwrap(),
                    );
                    all.insert(
                        format!("{base}_count{}", labels(&point.attributes, None)),
                        point.count as f64,
                    );
                }
                continue;
            }
            other => panic!("{other:?} is not sent"),
        };
        for point in points {
            let value = match point.value.unwrap() {
                Number::AsDouble(number) => number,
                Number::AsInt(number) => number as f64,
            };
            all.insert(format!("{base}{total}{}", labels(&point.attributes, None)), value);
        }
    }
    all
}

/// Runs a program that makes 30,000 spans and as many records, and one more of each at its end; how long that took, and what it
/// said.
fn flood(endpoint: &str) -> (Duration, String) {
    let start = Instant::now();
    let mut command = observed(endpoint, &[], &["flood"]);
    command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "60000");
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (start.elapsed(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A collector that is away, or takes requests and never answers, keeps no program from running or ending, and what cannot be kept
/// is dropped.
#[test]
fn a_collector_that_hangs_or_is_away_holds_nobody_up() {
    let (usual, _) = flood(&Collector::start(|_| Some(200)).endpoint);
    // Nobody listens there any more.
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hangs = Collector::start(|_| None);
    for endpoint in [format!("http://{away}"), hangs.endpoint.clone()] {
        let (time, said) = flood(&endpoint);
        // Five seconds at the end, and whatever the machine is busy with.
        assert!(
            time < usual * 5 + Duration::from_secs(15),
            "{time:?}, and {usual:?} with one that answers"
        );
        assert!(said.contains("--otlp: "), "{said}");
    }
    assert!(hangs.came.lock().unwrap().requests > 0);
}

/// What is refused for a while is sent again, and nothing is lost or comes twice.
#[test]
fn what_was_refused_for_a_while_is_sent_again() {
    let collector = Collector::start(|number| Some(if number <= 2 { 503 } else { 200 }));
    let mut command = observed(&collector.endpoint, &[], &["slowly"]);
    let _host = Running(command.stdin(Stdio::null()).spawn().unwrap());
    let spans = collector.wait(|came| (came.spans.len() >= 100).then(|| came.spans.clone()));
    assert_eq!(spans.len(), 100);
    let mut ids: Vec<_> = spans.iter().map(|span| &span.span_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}
