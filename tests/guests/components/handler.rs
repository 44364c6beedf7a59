//! A handler of HTTP requests. The path says what it does; the test makes a component of this program.

mod requests;

use std::io::Write as _;
use std::time::Duration;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

struct Handler;

wasip2::http::proxy::export!(Handler);

/// Run if the component is made a program as well.
fn main() {
    println!("the program");
}

impl Guest for Handler {
    fn handle(request: IncomingRequest, place: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path.as_str(), ""));
        match path {
            "/hello" => answer(place, 200, &[], "hello\n"),
            "/request" => answer(place, 200, &[("x-handler", "yes")], &described(&request)),
            "/status" => answer(place, query.parse().unwrap(), &[], "a status\n"),
            "/echo" => echo(&request, place),
            "/length" => answer(place, 200, &[("content-length", "7")], "7 bytes"),
            "/too-long" => answer(place, 200, &[("content-length", "100")], "7 bytes"),
            "/trailers" => trailers(place),
            "/file" => answer(place, 200, &[], &std::fs::read_to_string("/data/given").unwrap()),
            "/traps" => traps(),
            "/panics" => panic!("on purpose"),
            "/silent" => drop(request),
            "/gives-up" => drop(place),
            "/errors" => ResponseOutparam::set(place, Err(ErrorCode::InternalError(Some("on purpose".into())))),
            "/spins" => spins(),
            "/sleeps" => sleep(Duration::from_secs(3600)),
            "/allocates" => answer(place, 200, &[], &format!("{}\n", allocated(query.parse().unwrap()))),
            "/breaks-off" => breaks_off(place),
            "/stops-writing" => stops_writing(place),
            "/continues" => {
                answer(place, 200, &[], "an answer\n");
                sleep(Duration::from_secs(3600));
            }
            "/continues-length" => {
                answer(place, 200, &[("content-length", "10")], "an answer\n");
                continues(path);
            }
            "/continues-empty" => {
                answer(place, 200, &[("content-length", "0")], "");
                continues(path);
            }
            "/continues-trailers" => {
                trailers(place);
                continues(path);
            }
            "/pours" => pours(place),
            "/sends" => answer(place, 200, &[], &sent()),
            "/fetches" => answer(place, 200, &[], &requests::fetch(query)),
            "/posts" => answer(place, 200, &[], &requests::post(query)),
            "/posts-half" => requests::post_half(query),
            "/gives-up-request" => answer(place, 200, &[], &requests::give_up(query)),
            "/fetches-in-time" => answer(place, 200, &[], &requests::fetch_in_time(query)),
            "/malformed" => answer(place, 200, &[], &requests::malformed(query)),
            "/floods-requests" => answer(place, 200, &[], &requests::flood(query)),
            "/floods-fields" => floods_fields(),
            "/floods-bodies" => floods_bodies(),
            _ => answer(place, 404, &[], "nothing here\n"),
        }
    }
}

/// Works on after its answer, long enough for the host to notice the end of the answer.
fn continues(path: &str) {
    sleep(Duration::from_millis(200));
    eprintln!("{path} has continued");
}

fn traps() {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
}

fn begin(place: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> OutgoingBody {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).unwrap();
    }
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(place, Ok(response));
    body
}

fn answer(place: ResponseOutparam, status: u16, headers: &[(&str, &str)], text: &str) {
    let body = begin(place, status, headers);
    let mut out = body.write().unwrap();
    // A client that wants no body, or no status with a body, may have closed it.
    let _ = out.write_all(text.as_bytes());
    drop(out);
    let _ = OutgoingBody::finish(body, None);
}

fn described(request: &IncomingRequest) -> String {
    let (scheme, authority) = (request.scheme(), request.authority());
    let method = match request.method() {
        Method::Get => "GET".into(),
        Method::Post => "POST".into(),
        Method::Other(name) => name,
        method => format!("{method:?}"),
    };
    let path = request.path_with_query();
    let headers = request.headers();
    assert!(
        headers.append("x-new", b"1").is_err(),
        "the headers of a request cannot be changed"
    );
    let mut lines = vec![format!("{method} {path:?} {scheme:?} {authority:?}")];
    let entries = headers.entries().into_iter();
    lines.extend(entries.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value))));
    lines.join("\n") + "\n"
}

/// Sends back each part of the body as it arrives.
fn echo(request: &IncomingRequest, place: ResponseOutparam) {
    let incoming = request.consume().unwrap();
    let from = incoming.stream().unwrap();
    let body = begin(place, 200, &[]);
    let to = body.write().unwrap();
    loop {
        match from.blocking_read(16 << 10) {
            Ok(part) => part
                .chunks(4096)
                .for_each(|part| to.blocking_write_and_flush(part).unwrap()),
            Err(StreamError::Closed) => break,
            Err(error) => return println!("the body broke off: {error:?}"),
        }
    }
    drop((from, to));
    OutgoingBody::finish(body, None).unwrap();
}

fn trailers(place: ResponseOutparam) {
    let body = begin(place, 200, &[("trailer", "x-sum")]);
    body.write().unwrap().write_all(b"with trailers\n").unwrap();
    let trailers = Fields::new();
    trailers.append("x-sum", b"14").unwrap();
    OutgoingBody::finish(body, Some(trailers)).unwrap();
}

fn sleep(time: Duration) {
    subscribe_duration(time.as_nanos() as u64).block();
}

fn spins() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn allocated(mebibytes: usize) -> usize {
    let bytes = vec![1_u8; mebibytes << 20];
    std::hint::black_box(&bytes).len() >> 20
}

fn breaks_off(place: ResponseOutparam) {
    let body = begin(place, 200, &[]);
    let mut out = body.write().unwrap();
    out.write_all(b"half of it").unwrap();
    out.flush().unwrap();
    panic!("in the middle of an answer");
}

fn stops_writing(place: ResponseOutparam) {
    let body = begin(place, 200, &[]);
    let mut out = body.write().unwrap();
    out.write_all(b"half of it").unwrap();
    out.flush().unwrap();
    sleep(Duration::from_secs(3600));
    drop((out, body));
}

/// Writes as much as the client takes.
fn pours(place: ResponseOutparam) {
    let body = begin(place, 200, &[]);
    let out: OutputStream = body.write().unwrap();
    let part = vec![b'x'; 4096];
    loop {
        match out.blocking_write_and_flush(&part) {
            Ok(()) => {}
            Err(StreamError::Closed) => return,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The result of a request to another server.
fn sent() -> String {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some("example.com")).unwrap();
    request.set_path_with_query(Some("/")).unwrap();
    assert!(
        request
            .set_path_with_query(Some(&format!("/{}", "x".repeat(1 << 16))))
            .is_err()
    );
    match outgoing_handler::handle(request, None) {
        Ok(_) => "sent\n".into(),
        Err(code) => format!("{code:?}\n"),
    }
}

/// Makes fields until it cannot have more.
fn floods_fields() {
    let value = vec![b'x'; 30 << 10];
    let mut all = Vec::new();
    loop {
        let fields = Fields::new();
        fields.append("x-long", &value).unwrap();
        all.push(fields.clone());
        all.push(fields);
    }
}

/// Makes answers with full bodies until it cannot have more.
fn floods_bodies() {
    let mut all = Vec::new();
    loop {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        let out = body.write().unwrap();
        let permitted = out.check_write().unwrap();
        out.write(&vec![b'x'; permitted as usize]).unwrap();
        all.push((out, body, response));
    }
}
