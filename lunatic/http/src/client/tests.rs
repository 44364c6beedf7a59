use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::*;
use crate::router::{Handler, Router};
use crate::serve::serve_connection;

/// A client that connects with std, and counts connections.
pub(crate) fn client() -> (Client, Rc<std::cell::Cell<usize>>) {
    let opened = Rc::new(std::cell::Cell::new(0));
    let counter = opened.clone();
    let client = Client::with_connector(move |target, _| {
        counter.set(counter.get() + 1);
        Ok(Box::new(TcpStream::connect((target.host(), target.port()))?))
    });
    (client, opened)
}

/// A server in threads; its URL.
pub(crate) fn serve(handler: impl Handler) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve_connection(stream.unwrap(), Limits::default(), handler));
        }
    });
    url
}

/// A server that sends these bytes to each connection in turn, whatever it is asked, and closes; what it was asked.
fn canned(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            let mut text = String::new();
            while !text.contains("\r\n\r\n") {
                let read = stream.read(&mut bytes).unwrap();
                assert!(read > 0, "the request is cut: {text}");
                text += std::str::from_utf8(&bytes[..read]).unwrap();
            }
            asked.push(text);
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (url, asked)
}

fn app() -> impl Handler {
    Router::new()
        .get("/", |_| "hello")
        .post("/echo", |request: Request| Response::new(request.into_body()))
        .any("/what/{rest*}", |mut r: Request| {
            let text = r.read_text().unwrap();
            let auth = r.header_text("authorization").unwrap_or("none").to_owned();
            format!("{} {} {auth} {text}", r.method(), r.uri())
        })
        .any("/to/{code}/{rest*}", |r: Request| {
            let location = format!("/what/{}", r.param("rest"));
            let status = r.param("code").parse::<u16>().unwrap();
            Response::new(())
                .with_status(StatusCode::from_u16(status).unwrap())
                .header("location", location)
        })
        .any("/loop", |_| {
            Response::new(())
                .with_status(StatusCode::FOUND)
                .header("location", "loop")
        })
}

#[test]
fn connections_are_kept() {
    let url = serve(app());
    let (client, opened) = client();
    for _ in 0..3 {
        let mut response = client.get(&url).unwrap();
        assert_eq!(
            (response.status(), response.read_text().unwrap()),
            (StatusCode::OK, "hello".into())
        );
    }
    assert_eq!(opened.get(), 1);
    // Two at once need two.
    let (one, two) = (client.get(&url).unwrap(), client.get(&url).unwrap());
    drop((one, two));
    assert_eq!(opened.get(), 2);
    // What was not read to its end is not used again.
    client.get(&url).unwrap();
    assert_eq!(opened.get(), 3);
    client
        .send(Request::new(Method::HEAD, url.parse().unwrap(), ()))
        .unwrap();
    client.get(&url).unwrap();
    assert_eq!(opened.get(), 4);
}

#[test]
fn bodies_go_both_ways() {
    let url = serve(app()) + "/echo";
    let (client, opened) = client();
    let large = "0123456789".repeat(50_000);
    for body in [String::new(), "short".into(), large.clone()] {
        assert_eq!(client.post(&url, body.clone()).unwrap().read_text().unwrap(), body);
    }
    let chunks = large.clone();
    let stream = Body::stream(move |out| {
        for piece in chunks.as_bytes().chunks(777) {
            out.write_all(piece)?;
        }
        Ok(())
    });
    assert_eq!(client.post(&url, stream).unwrap().read_text().unwrap(), large);
    let reader = Body::reader(std::io::Cursor::new(large.clone()), Some(large.len() as u64));
    assert_eq!(client.post(&url, reader).unwrap().read_text().unwrap(), large);
    assert_eq!(opened.get(), 1);
}

#[test]
fn redirects_are_followed_with_what_belongs_to_them() {
    let url = serve(app());
    let (client, _) = client();
    let text = |method: &str, path: &str, body: &'static str| {
        let uri = format!("{url}{path}").parse().unwrap();
        let request = Request::new(method.parse().unwrap(), uri, body).header("authorization", "me");
        client.send(request).unwrap().read_text().unwrap()
    };
    assert_eq!(text("GET", "/to/301/x", ""), "GET /what/x me ");
    assert_eq!(text("POST", "/to/302/x", "b"), "GET /what/x me ");
    assert_eq!(text("PUT", "/to/302/x", "b"), "PUT /what/x me b");
    assert_eq!(text("PUT", "/to/303/x", "b"), "GET /what/x me ");
    assert_eq!(text("POST", "/to/307/x", "b"), "POST /what/x me b");
    assert_eq!(text("POST", "/to/308/x", "b"), "POST /what/x me b");
    // A stream cannot be sent twice.
    let stream = client
        .post(&format!("{url}/to/307/x"), Body::reader(&b"b"[..], None))
        .unwrap();
    assert_eq!(stream.status(), 307);
    assert!(matches!(
        client.get(&format!("{url}/loop")),
        Err(ClientError::TooManyRedirects)
    ));
    let none = client.clone().with_limits(ClientLimits {
        redirects: 0,
        ..ClientLimits::default()
    });
    assert_eq!(none.get(&format!("{url}/loop")).unwrap().status(), 302);
}

#[test]
fn credentials_do_not_go_to_another_server() {
    let other = serve(app());
    static OTHER: Mutex<String> = Mutex::new(String::new());
    *OTHER.lock().unwrap() = other;
    let url = serve(|_| {
        let location = format!("{}/what/", OTHER.lock().unwrap());
        Response::new(())
            .with_status(StatusCode::FOUND)
            .header("location", location)
    });
    let (client, _) = client();
    let request = Request::new(Method::GET, url.parse().unwrap(), ())
        .header("authorization", "me")
        .header("cookie", "c");
    assert_eq!(client.send(request).unwrap().read_text().unwrap(), "GET /what/ none ");
}

#[test]
fn what_the_server_closed_meanwhile_is_asked_again() {
    // The first says that it keeps the connection, and does not.
    let (url, asked) = canned(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\n\r\nb",
    ]);
    let (client, opened) = client();
    assert_eq!(client.get(&url).unwrap().read_text().unwrap(), "a");
    assert_eq!(client.get(&url).unwrap().read_text().unwrap(), "b");
    assert_eq!((opened.get(), asked.join().unwrap().len()), (2, 2));
}

#[test]
fn requests_say_what_they_have_to() {
    let (url, asked) = canned(&["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"; 2]);
    client().0.get(&format!("{url}?q=1#f")).unwrap();
    client().0.post(&format!("{url}/p"), "").unwrap();
    let asked = asked.join().unwrap();
    let host = url.strip_prefix("http://").unwrap();
    assert!(
        asked[0].starts_with(&format!(
            "GET /?q=1 HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\nuser-agent: "
        )),
        "{}",
        asked[0]
    );
    assert!(
        !asked[0].contains("content-length") && asked[1].contains("\r\ncontent-length: 0\r\n"),
        "{asked:?}"
    );
}

#[test]
fn bad_responses_are_errors() {
    for (answer, part) in [
        ("", "failed before"),
        ("HTTP/1.1 200 OK\r\nConte", "failed before"),
        ("hello\r\n\r\n", "cannot be used"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not a number"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "not asked for"),
        ("HTTP/1.1 302 Found\r\nLocation: a b\r\n\r\n", "not a URL"),
        ("HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n", "is not a URL"),
    ] {
        let (url, _) = canned(Box::leak(Box::new([answer])));
        let error = client().0.get(&url).unwrap_err().to_string();
        assert!(error.contains(part), "{answer:?}: {error}");
    }
    for (answer, kind) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            io::ErrorKind::UnexpectedEof,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort",
            io::ErrorKind::UnexpectedEof,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            io::ErrorKind::InvalidData,
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\ntoo long for the limit",
            io::ErrorKind::FileTooLarge,
        ),
    ] {
        let (url, _) = canned(Box::leak(Box::new([answer])));
        let limits = ClientLimits {
            body_len: 10,
            ..ClientLimits::default()
        };
        let mut response = client().0.with_limits(limits).get(&url).unwrap();
        assert_eq!(response.read_bytes().unwrap_err().kind(), kind, "{answer:?}");
    }
}

/// A reader that fails after some bytes.
struct Fails(&'static [u8]);

impl Read for Fails {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.is_empty() {
            // Not to be taken for a timeout of the connection.
            true => Err(io::ErrorKind::TimedOut.into()),
            false => self.0.read(buffer),
        }
    }
}

#[test]
fn a_body_that_fails_is_told_at_once_and_ends_its_connection() {
    let url = serve(app());
    let (client, opened) = client();
    // Long enough that waiting for a response would be seen as another error.
    for (count, body) in [
        || Body::reader(Fails(b"begun"), Some(10)),
        || Body::reader(Fails(b"begun"), None),
        || Body::reader(&b"too short"[..], Some(10)),
        || Body::reader(&b"too long for it"[..], Some(10)),
        || {
            Body::stream(|out| {
                out.write_all(b"begun")?;
                out.flush()?;
                Err(io::ErrorKind::InvalidData.into())
            })
        },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(client.get(&url).unwrap().read_text().unwrap(), "hello");
        let error = client.post(&format!("{url}/echo"), body()).unwrap_err();
        assert!(matches!(error, ClientError::Body(_)), "{count}: {error:?}");
        // Nothing of it is sent before the next request.
        assert_eq!(client.get(&url).unwrap().read_text().unwrap(), "hello");
        assert_eq!(opened.get(), count + 2, "on another connection");
    }
}

#[test]
fn a_body_without_end_is_sent_until_the_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let limits = ClientLimits {
        timeout: Duration::from_millis(200),
        ..ClientLimits::default()
    };
    const PIECES: usize = 2_000;
    let pieces = Rc::new(std::cell::Cell::new(0));
    let counter = pieces.clone();
    // The server takes each piece at once, and the time goes by between them.
    let body = Body::stream(move |out| {
        (0..PIECES).try_for_each(|_| {
            counter.set(counter.get() + 1);
            std::thread::sleep(Duration::from_millis(5));
            out.write_all(b"x")?;
            out.flush()
        })
    });
    let sent = client().0.with_limits(limits).post(&url, body);
    assert!(matches!(sent, Err(ClientError::TimedOut)), "{sent:?}");
    assert!(pieces.get() < PIECES, "all was sent");
    server.join().unwrap();
}

#[test]
fn time_has_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limits = ClientLimits {
        timeout: Duration::from_millis(50),
        ..ClientLimits::default()
    };
    let client = client().0.with_limits(limits);
    // Nobody answers, but the system has accepted.
    assert!(matches!(client.get(&url), Err(ClientError::TimedOut)));
    let (first, _) = listener.accept().unwrap();
    drop(first);
    let slow = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbegun").unwrap();
        // Until the client goes.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut response = client.get(&url).unwrap();
    assert_eq!(response.read_bytes().unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop((response, client));
    slow.join().unwrap();
}

#[test]
fn urls_are_checked() {
    let (client, opened) = client();
    for url in [
        "",
        "/x",
        "a",
        "ftp://a/",
        "http://",
        "http://u:p@a/",
        "http://a b/",
        "http://ä/",
    ] {
        assert!(matches!(client.get(url), Err(ClientError::Url(_))), "{url}");
    }
    assert_eq!(opened.get(), 0);
    let refused = Arc::new(AtomicUsize::new(0));
    let counter = refused.clone();
    let client = Client::with_connector(move |target, _| {
        assert_eq!((target.host(), target.port(), target.is_secure()), ("::1", 443, true));
        counter.fetch_add(1, Ordering::Relaxed);
        Err(io::ErrorKind::ConnectionRefused.into())
    });
    let error = client.get("https://[::1]/x").unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to [::1]:443");
    assert_eq!(refused.load(Ordering::Relaxed), 1);
}
