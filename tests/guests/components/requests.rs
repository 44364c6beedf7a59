//! Requests that a component sends to another server. What each function returns, the test compares.

use std::io::Write as _;
use std::time::Duration;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

/// A request to `http://AUTHORITY/PATH` or `https://AUTHORITY/PATH`.
fn request(url: &str, fields: &[(&str, &str)]) -> OutgoingRequest {
    let (scheme, rest) = url.split_once("://").expect("the test gives a URL");
    let (authority, path) = rest.split_once('/').expect("the test gives a path");
    let headers = Fields::new();
    for (name, value) in fields {
        headers.append(name, value.as_bytes()).unwrap();
    }
    let request = OutgoingRequest::new(headers);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    request
}

fn wait(answer: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    answer.subscribe().block();
    let got = answer.get().expect("it is ready");
    assert!(answer.get().expect("it was got").is_err(), "an answer is got once");
    got.expect("it is got for the first time")
}

/// The status, a header, the body and the trailers of an answer.
fn described(answer: Result<IncomingResponse, ErrorCode>) -> String {
    let response = match answer {
        Ok(response) => response,
        Err(code) => return format!("{code:?}\n"),
    };
    let headers = response.headers();
    assert!(
        headers.append("x-new", b"1").is_err(),
        "the headers of an answer cannot be changed"
    );
    let header = headers.get("x-answer").concat();
    let mut text = format!("{} {}\n", response.status(), String::from_utf8_lossy(&header));
    let body = response.consume().unwrap();
    assert!(response.consume().is_err(), "a body is taken once");
    let stream = body.stream().unwrap();
    loop {
        match stream.blocking_read(1 << 20) {
            Ok(part) => text += &String::from_utf8_lossy(&part),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return format!("{text}, then {:?}\n", http_error_code(&error));
            }
        }
    }
    drop(stream);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    if let Some(trailers) = trailers.get().unwrap().unwrap().unwrap() {
        text += &String::from_utf8_lossy(&trailers.get("x-sum").concat());
    }
    text
}

fn sent(request: OutgoingRequest, options: Option<RequestOptions>) -> String {
    match outgoing_handler::handle(request, options) {
        Ok(answer) => described(wait(&answer)),
        Err(code) => format!("{code:?}\n"),
    }
}

/// Gets something.
pub(super) fn fetch(url: &str) -> String {
    sent(request(url, &[("x-request", "yes")]), None)
}

/// Sends a body in two parts, the second of which is longer than what is kept anywhere.
pub(super) fn post(url: &str) -> String {
    let request = request(url, &[("trailer", "x-end")]);
    request.set_method(&Method::Post).unwrap();
    let body = request.body().unwrap();
    assert!(request.body().is_err(), "a body is taken once");
    let answer = match outgoing_handler::handle(request, None) {
        Ok(answer) => answer,
        Err(code) => return format!("{code:?}\n"),
    };
    let mut out = body.write().unwrap();
    out.write_all(b"first").unwrap();
    out.write_all(&vec![b'y'; 1 << 20]).unwrap();
    drop(out);
    let trailers = Fields::new();
    trailers.append("x-end", b"1").unwrap();
    OutgoingBody::finish(body, Some(trailers)).unwrap();
    described(wait(&answer))
}

/// Begins a body, and ends before it is finished.
pub(super) fn post_half(url: &str) {
    let request = request(url, &[]);
    request.set_method(&Method::Post).unwrap();
    let body = request.body().unwrap();
    let answer = outgoing_handler::handle(request, None).unwrap();
    let mut out = body.write().unwrap();
    out.write_all(b"half of it").unwrap();
    out.flush().unwrap();
    // The other server answers as soon as it has the head.
    answer.subscribe().block();
    panic!("in the middle of a request");
}

/// Gives up a request, and sends another one.
pub(super) fn give_up(url: &str) -> String {
    drop(outgoing_handler::handle(request(url, &[]), None).unwrap());
    fetch(url)
}

/// Gets something that must come in time.
pub(super) fn fetch_in_time(url: &str) -> String {
    let (options, time) = (RequestOptions::new(), Duration::from_millis(200).as_nanos() as u64);
    options.set_connect_timeout(Some(60_000_000_000)).unwrap();
    options.set_first_byte_timeout(Some(time)).unwrap();
    options.set_between_bytes_timeout(Some(time)).unwrap();
    sent(request(url, &[]), Some(options))
}

/// Sends requests that are no requests.
pub(super) fn malformed(url: &str) -> String {
    let changed = |change: &dyn Fn(&OutgoingRequest)| {
        let request = request(url, &[]);
        change(&request);
        sent(request, None)
    };
    [
        changed(&|request| request.set_method(&Method::Connect).unwrap()),
        changed(&|request| request.set_authority(Some("user@127.0.0.1")).unwrap()),
        changed(&|request| request.set_authority(None).unwrap()),
        changed(&|request| request.set_scheme(Some(&Scheme::Other("ftp".into()))).unwrap()),
        sent(self::request(url, &[("content-length", "5")]), None),
    ]
    .concat()
}

/// Sends requests until it may have no more, and then lets go of one.
pub(super) fn flood(url: &str) -> String {
    let mut all = Vec::new();
    loop {
        match outgoing_handler::handle(request(url, &[]), None) {
            Ok(answer) => all.push(answer),
            Err(code) => return format!("{} {code:?}\n", all.len()),
        }
    }
}
