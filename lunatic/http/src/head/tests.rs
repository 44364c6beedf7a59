use proptest::prelude::*;

use super::*;

fn take(bytes: &[u8]) -> Result<Option<(RequestHead, Vec<u8>)>, Reject> {
    let mut input = BytesMut::from(bytes);
    let head = take_request(&mut input, &mut Scanner::default(), &Limits::default())?;
    Ok(head.map(|head| (head, input.to_vec())))
}

#[track_caller]
fn good(text: &str) -> RequestHead {
    take(text.as_bytes())
        .unwrap_or_else(|reject| panic!("{text:?} is refused: {reject}"))
        .unwrap_or_else(|| panic!("{text:?} is not seen to end"))
        .0
}

#[track_caller]
fn bad(text: &str, status: u16) {
    match take(text.as_bytes()) {
        Err(reject) => assert_eq!(reject.status().as_u16(), status, "{text:?}: {reject}"),
        Ok(head) => panic!("{text:?} is not refused: {head:?}"),
    }
}

#[test]
fn a_request_is_read() {
    let head =
        good("POST /a/b?c=d HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\nX-Empty:\r\nX: a \r\nX: b\r\n\r\nhello");
    assert_eq!((head.method, head.version), (Method::POST, Version::HTTP_11));
    assert_eq!((head.uri.path(), head.uri.query()), ("/a/b", Some("c=d")));
    assert_eq!((head.framing, head.keep_alive), (Framing::Length(5), true));
    assert_eq!(head.headers["x-empty"], "");
    assert_eq!(head.headers.get_all("x").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(!head.expects_continue);
}

#[test]
fn what_follows_a_head_stays() {
    let (_, rest) = take(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2").unwrap().unwrap();
    assert_eq!(rest, b"GET /2");
    let (_, rest) = take(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap();
    assert_eq!(rest, b"");
    bad(&"\r\n".repeat(10), 400);
}

#[test]
fn who_keeps_the_connection() {
    let keep =
        |version: &str, connection: &str| good(&format!("GET / {version}\r\nHost: a\r\n{connection}\r\n")).keep_alive;
    assert!(keep("HTTP/1.1", ""));
    assert!(!keep("HTTP/1.1", "Connection: Close\r\n"));
    assert!(!keep("HTTP/1.1", "Connection: x, close\r\n"));
    assert!(!keep("HTTP/1.1", "Connection: x\r\nConnection: close\r\n"));
    assert!(!keep("HTTP/1.0", ""));
    assert!(keep("HTTP/1.0", "Connection: Keep-Alive\r\n"));
}

#[test]
fn targets() {
    for target in ["/", "/a%20b", "/?q=1&r=2", "/a;b,c=d", "http://other/x", "//x"] {
        good(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    bad("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET /# HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("GET http://a/b#c HTTP/1.1\r\nHost: a\r\n\r\n", 400);
    bad("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501);
}

#[test]
fn the_host_of_the_target_goes_before_the_header() {
    for (target, version, header, host) in [
        ("http://other/x", "1.1", "Host: a\r\n", "other"),
        ("http://other:8080/x?y", "1.1", "Host: other\r\n", "other:8080"),
        ("http://other", "1.0", "", "other"),
        ("/x", "1.1", "Host: a\r\n", "a"),
        ("//other/x", "1.1", "Host: a\r\n", "a"),
    ] {
        let head = good(&format!("GET {target} HTTP/{version}\r\n{header}\r\n"));
        assert_eq!(
            head.headers.get_all("host").iter().collect::<Vec<_>>(),
            [host],
            "{target}"
        );
    }
    // The header must be valid all the same.
    bad("GET http://other/ HTTP/1.1\r\n\r\n", 400);
    bad("GET http://other/ HTTP/1.1\r\nHost: a@b\r\n\r\n", 400);
}

#[test]
fn how_long_a_body_is_is_said_in_one_way() {
    let framing = |headers: &str| good(&format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).framing;
    assert_eq!(framing(""), Framing::Length(0));
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Length(0));
    assert_eq!(framing("content-length: 007\r\n"), Framing::Length(7));
    assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Framing::Chunked);
    assert_eq!(framing("Transfer-Encoding:  Chunked \r\n"), Framing::Chunked);
    for (headers, status) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5 5\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding:\r\n", 501),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Transfer-Encoding\r\n", 400),
        ("X: a\r\n Transfer-Encoding: chunked\r\n", 400),
        ("X: a\r\n\tb\r\n", 400),
        ("X: a\nTransfer-Encoding: chunked\r\n", 400),
        ("X: a\rTransfer-Encoding: chunked\r\n", 400),
        ("X: a\0b\r\n", 400),
        ("X\0: a\r\n", 400),
        ("X y: a\r\n", 400),
        (": a\r\n", 400),
    ] {
        bad(&format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"), status);
    }
    bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

#[test]
fn lines_end_with_both_characters() {
    bad("GET / HTTP/1.1\nHost: a\n\n", 400);
    bad("GET / HTTP/1.1\r\nHost: a\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: a\r\n\n", 400);
    bad("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

#[test]
fn versions() {
    good("GET / HTTP/1.0\r\n\r\n");
    for line in ["GET / HTTP/2.0", "PRI * HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2"] {
        bad(&format!("{line}\r\nHost: a\r\n\r\n"), 505);
    }
    for line in [
        "GET /",
        "GET / http/1.1",
        "GET / HTTP/x",
        "GET / FTP/1.1",
        "GET",
        "\u{16}\u{3}\u{1}",
    ] {
        bad(&format!("{line}\r\nHost: a\r\n\r\n"), 400);
    }
}

#[test]
fn hosts() {
    bad("GET / HTTP/1.1\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    bad("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    good("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    good("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n");
}

#[test]
fn expectations() {
    let expects = |text: &str| good(text).expects_continue;
    assert!(expects(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"
    ));
    // Nothing is to follow.
    assert!(!expects("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"));
    assert!(!expects(
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    ));
    bad("POST / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n", 417);
}

#[test]
fn limits_are_exact() {
    let limits = Limits::default();
    let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1));
    good(&target(limits.target_len));
    bad(&target(limits.target_len + 1), 414);
    bad(&target(limits.head_len * 2), 414);
    let headers = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    good(&headers(limits.headers));
    bad(&headers(limits.headers + 1), 431);
    let before = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let head = |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(len - before));
    good(&head(limits.head_len - 2));
    bad(&head(limits.head_len + 2), 431);
    // Without an end too.
    bad(&"x".repeat(limits.target_len + 100), 414);
    bad(&format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(limits.head_len)), 431);
}

#[test]
fn responses_are_read() {
    let take = |text: &str, method: Method| {
        take_response(
            &mut BytesMut::from(text),
            &mut Scanner::default(),
            &Limits::default(),
            &method,
        )
        .map(|head| head.map(|head| (head.status.as_u16(), head.framing, head.keep_alive)))
    };
    let get = |text: &str| take(text, Method::GET);
    assert_eq!(
        get("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap(),
        Some((200, Framing::Length(3), true))
    );
    assert_eq!(
        get("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap(),
        Some((200, Framing::Chunked, true))
    );
    assert_eq!(
        get("HTTP/1.1 200 OK\r\n\r\n").unwrap(),
        Some((200, Framing::UntilClose, false))
    );
    assert_eq!(
        get("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap(),
        Some((200, Framing::Length(3), false))
    );
    assert_eq!(
        get("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n").unwrap(),
        Some((204, Framing::Length(0), true))
    );
    assert_eq!(
        get("HTTP/1.1 304 No\r\n\r\n").unwrap(),
        Some((304, Framing::Length(0), true))
    );
    assert_eq!(
        take("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Method::HEAD).unwrap(),
        Some((200, Framing::Length(0), true))
    );
    assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
    for wrong in [
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
    ] {
        assert!(get(wrong).is_err(), "{wrong:?}");
    }
    assert!(get(&format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(20_000))).is_err());
}

/// What a head says, as text that can be compared.
fn shown(taken: Result<Option<(RequestHead, Vec<u8>)>, Reject>) -> String {
    format!("{taken:?}")
}

proptest! {
    #[test]
    fn however_a_head_is_cut_it_is_the_same(
        headers in prop::collection::vec(("[A-Za-z-]{1,10}", "[ -~]{0,30}"), 0..8),
        path in "/[a-z0-9/?=&%.]{0,20}",
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = format!("GET {path} HTTP/1.1\r\nHost: a\r\n").into_bytes();
        for (name, value) in &headers {
            bytes.extend_from_slice(format!("X-{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let head_len = bytes.len();
        bytes.extend_from_slice(&rest);
        let whole = take(&bytes);
        let limits = Limits::default();
        let (mut scanner, mut input) = (Scanner::default(), BytesMut::new());
        for (at, byte) in bytes.iter().enumerate() {
            input.extend_from_slice(&[*byte]);
            match take_request(&mut input, &mut scanner, &limits) {
                Ok(None) => prop_assert!(at + 1 < head_len),
                Ok(Some(head)) => {
                    prop_assert_eq!(at + 1, head_len);
                    let rest = bytes[head_len..].to_vec();
                    prop_assert_eq!(shown(Ok(Some((head, rest)))), shown(whole));
                    break;
                }
                Err(reject) => {
                    prop_assert_eq!(shown(Err(reject)), shown(whole));
                    break;
                }
            }
        }
    }

    #[test]
    fn garbage_is_refused_or_waits(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = take(&bytes);
        let _ = take_response(&mut BytesMut::from(&bytes[..]), &mut Scanner::default(), &Limits::default(), &Method::GET);
    }

    #[test]
    fn damaged_heads_do_no_harm(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Some((head, _))) = take(&bytes[..=cut.index(bytes.len())]) {
            prop_assert!(!matches!(head.framing, Framing::UntilClose));
        }
    }
}
