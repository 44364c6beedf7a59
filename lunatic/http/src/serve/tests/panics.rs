//! Handlers that panic.

use super::*;

/// What a server answers whose handler panics.
fn panicking(handler: impl Handler, limits: Limits, input: &[u8]) -> String {
    let written = Rc::new(RefCell::new(Vec::new()));
    let script = Script {
        pieces: [input.to_vec()].into(),
        ends: true,
        written: written.clone(),
        takes: 1000,
    };
    let serve = std::panic::AssertUnwindSafe(|| serve_connection(script, limits, handler));
    std::panic::catch_unwind(serve).expect_err("the handler panics");
    let text = String::from_utf8(written.take()).unwrap();
    text.split_inclusive("\r\n")
        .filter(|line| !line.starts_with("date: "))
        .collect()
}

/// An answer with the id of its request taken out.
#[track_caller]
fn without_id(text: &str) -> String {
    let id = text.split("request id: ").nth(1).expect("there is an id").trim_end();
    let (process, count) = id.split_once('-').unwrap();
    assert!(process.len() == 16 && count.parse::<u64>().is_ok(), "{id}");
    assert_eq!(text.matches(id).count(), 2, "{text}");
    text.replace(id, "ID")
}

#[test]
fn a_handler_that_panics_answers_500_with_the_id() {
    let app = Router::new()
        .get("/panic", |_| -> Response { panic!("a secret") })
        .get("/stream", |_| -> Response {
            Response::new(Body::stream(|out| {
                out.write_all(b"not yet sent")?;
                panic!("a secret")
            }))
        });
    for path in ["/panic", "/stream"] {
        let input = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = panicking(app, Limits::default(), input.as_bytes());
        let len = answer.split_once("\r\n\r\n").unwrap().1.len();
        assert_eq!(
            without_id(&answer),
            format!(
                "HTTP/1.1 500 Internal Server Error\r\n{TEXT}x-request-id: ID\r\ncontent-length: {len}\r\n\
                 connection: close\r\n\r\n500 Internal Server Error\nrequest id: ID\n"
            )
        );
    }
    // A client that is still sending gets the answer, too.
    let input = b"GET /panic HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe";
    assert!(panicking(app, Limits::default(), input).starts_with("HTTP/1.1 500 "));
    let page = panicking(
        app,
        Limits::default(),
        b"GET /panic HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n",
    );
    assert!(
        page.contains("<h1>500 Internal Server Error</h1>") && !page.contains("secret"),
        "{page}"
    );
}

#[test]
fn developers_see_the_message_of_a_panic() {
    let app = Router::new()
        .get("/", |_| -> Response { panic!("<why>") })
        .layer(crate::DevelopmentPages);
    let text = panicking(app, Limits::default(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(text.contains("GET /\nthe handler panicked at "), "{text}");
    assert!(text.contains(": <why>\nrequest id: "), "{text}");
    let page = panicking(
        app,
        Limits::default(),
        b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n",
    );
    assert!(page.contains(": &lt;why&gt;</pre>"), "{page}");
}

/// A peer that sends one request, takes nothing, and never ends.
struct Deaf {
    request: Vec<u8>,
    /// How long it was waited for until it takes something, and until it sends something.
    waited: Rc<RefCell<[Duration; 2]>>,
}

impl Transport for Deaf {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        if self.request.is_empty() {
            self.waited.borrow_mut()[1] += timeout;
            return Err(io::ErrorKind::TimedOut.into());
        }
        let len = self.request.len();
        buffer[..len].copy_from_slice(&self.request);
        self.request.clear();
        Ok(len)
    }

    fn send(&mut self, _: &[u8], timeout: Duration) -> io::Result<usize> {
        self.waited.borrow_mut()[0] += timeout;
        Err(io::ErrorKind::TimedOut.into())
    }

    fn finish(&mut self) {}
}

/// Its crash is reported only when the process has ended.
#[test]
fn a_client_does_not_hold_a_process_that_has_panicked() {
    let waited = Rc::new(RefCell::new([Duration::ZERO; 2]));
    let deaf = Deaf {
        request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        waited: waited.clone(),
    };
    let panics = |_: Request| -> Response { panic!("as you wish") };
    let serve = std::panic::AssertUnwindSafe(|| serve_connection(deaf, Limits::default(), panics));
    std::panic::catch_unwind(serve).expect_err("the handler panics");
    let [taking, sending] = *waited.borrow();
    assert!(taking <= Duration::from_millis(100), "{taking:?}");
    assert_eq!(sending, Duration::ZERO);
}

/// The request is read, so nothing that could be lost is on its way.
#[test]
fn a_process_that_has_panicked_does_not_listen_after_its_answer() {
    let read = Rc::new(RefCell::new(0));
    let app = |_: Request| -> Response { panic!("as you wish") };
    struct Counting(Script, Rc<RefCell<usize>>);
    impl Transport for Counting {
        fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
            *self.1.borrow_mut() += 1;
            self.0.receive(buffer, timeout)
        }
        fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
            self.0.send(bytes, timeout)
        }
        fn finish(&mut self) {}
    }
    for (request, reads) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        // It waits a moment for the rest of the body.
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", 2),
    ] {
        *read.borrow_mut() = 0;
        let script = Script {
            pieces: [request.as_bytes().to_vec()].into(),
            ends: false,
            written: Rc::default(),
            takes: 1000,
        };
        let counting = Counting(script, read.clone());
        let serve = std::panic::AssertUnwindSafe(|| serve_connection(counting, Limits::default(), app));
        std::panic::catch_unwind(serve).expect_err("the handler panics");
        assert_eq!(*read.borrow(), reads, "{request:?}");
    }
}

#[test]
fn a_panic_after_the_answer_has_begun_ends_the_connection() {
    let late = |_: Request| {
        Response::new(Body::stream(|out| {
            out.write_all(b"begun")?;
            out.flush()?;
            panic!("late")
        }))
    };
    assert_eq!(
        panicking(late, Limits::default(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("{OK}transfer-encoding: chunked\r\n\r\n0005\r\nbegun\r\n")
    );
}

#[test]
fn a_panic_about_a_body_that_is_the_clients_fault_is_its_status() {
    let limits = Limits {
        body_len: 3,
        ..Limits::default()
    };
    let read = |mut request: Request| request.read_text().unwrap();
    let answer = panicking(
        read,
        limits,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
    );
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}
