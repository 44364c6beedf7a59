//! What a server answers, to good requests and bad ones.

use std::io::Write as _;

use lunatic_tests::guests::Profile;
use lunatic_tests::programs::cargo_lunatic;
use lunatic_tests::serving::{Serving, guest};

use super::{GET, curl, is_well, rest, talk, web};

#[test]
fn cargo_lunatic_run_example_http_server_answers_curl() {
    let server = Serving::start(cargo_lunatic([
        "run",
        "--quiet",
        "--example",
        "http_server",
        "--",
        "127.0.0.1:0",
    ]));
    let ask = |args: &[&str], path: &str| curl(args, &server.url(path), b"");
    assert_eq!(ask(&[], "/"), "Hello from a process of its own!\n[200]");
    assert_eq!(ask(&[], "/hello/J%C3%BCrgen%20K."), "Hello, Jürgen K.!\n[200]");
    assert_eq!(ask(&[], "/nowhere"), "404 Not Found\n[404]");
    assert_eq!(ask(&["--request", "PUT"], "/"), "405 Method Not Allowed\n[405]");
    assert!(ask(&["--head"], "/").contains("\r\ncontent-length: 33\r\n"));
    assert_eq!(ask(&["--http1.0"], "/visits"), "You are visitor 1.\n[200]");
    assert_eq!(ask(&[], "/visits"), "You are visitor 2.\n[200]");
    let squares = ask(&[], "/squares");
    assert!(
        squares.starts_with("0\n1\n4\n9\n16\n") && squares.ends_with("\n9999800001\n[200]"),
        "{}",
        squares.len()
    );
    // Long enough that curl asks for permission to send it; and in chunks.
    let body = "a line of a file\n".repeat(20_000);
    for how in [
        &["--data-binary", "@-"][..],
        &["--header", "Transfer-Encoding: chunked", "--data-binary", "@-"],
    ] {
        assert_eq!(
            curl(how, &server.url("/echo"), body.as_bytes()),
            format!("{body}[200]"),
            "{how:?}"
        );
    }
    let two = [server.url("/hello/a"), server.url("/hello/b")];
    assert_eq!(curl(&[&two[0]], &two[1], b""), "Hello, a!\n[200]Hello, b!\n[200]");
    assert_eq!(ask(&["--request", "POST"], "/drain"), "The server ends.\n[200]");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let server = web(&[]);
    let mut stream = server.connect();
    let mut requests = Vec::new();
    for i in 0..500 {
        let body = format!("request {i}");
        write!(requests, "POST /echo HTTP/1.1\r\nHost: a\r\n").unwrap();
        match i % 2 {
            0 => write!(requests, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap(),
            _ => write!(
                requests,
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )
            .unwrap(),
        }
    }
    requests.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut writer = stream.try_clone().unwrap();
    let writes = std::thread::spawn(move || writer.write_all(&requests).unwrap());
    let text = rest(&mut stream);
    writes.join().unwrap();
    let mut at = 0;
    for i in 0..500 {
        let body = format!("request {i}\r\n");
        at += text[at..].find(&body).unwrap_or_else(|| panic!("no answer {i}")) + body.len();
    }
    assert!(text.ends_with("hello"));
}

#[test]
fn bad_requests_are_answered_and_end_the_connection() {
    let server = web(&["body_len=100"]);
    let head = |line: &str, headers: &str| format!("{line}\r\nHost: a\r\n{headers}\r\n");
    for (request, status) in [
        (
            head("GET / HTTP/1.1", "Content-Length: 1\r\nContent-Length: 1\r\n"),
            "400",
        ),
        (
            head("GET / HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            "400",
        ),
        (head("GET / HTTP/1.1", "A: b\r\n c\r\n"), "400"),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), "400"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".into(), "400"),
        (
            head("POST /read HTTP/1.1", "Content-Length: 101\r\n") + &"x".repeat(101),
            "413",
        ),
        (
            head(
                "POST /read HTTP/1.1",
                "Content-Length: 99999999999\r\nExpect: 100-continue\r\n",
            ),
            "413",
        ),
        (
            head("POST /read HTTP/1.1", "Transfer-Encoding: chunked\r\n")
                + "65\r\n"
                + &"x".repeat(101)
                + "\r\n0\r\n\r\n",
            "413",
        ),
        (
            head("POST /read HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "5\nhello",
            "400",
        ),
        (head(&format!("GET /{} HTTP/1.1", "x".repeat(10_000)), ""), "414"),
        (head("GET / HTTP/1.1", "Expect: nothing\r\n"), "417"),
        (
            head("GET / HTTP/1.1", &format!("A: {}\r\n", "x".repeat(100_000))),
            "431",
        ),
        (head("GET / HTTP/1.1", &"A: b\r\n".repeat(200)), "431"),
        (head("GET / HTTP/1.1", "Transfer-Encoding: gzip\r\n"), "501"),
        (head("CONNECT a:1 HTTP/1.1", ""), "501"),
        (head("GET / HTTP/2.0", ""), "505"),
    ] {
        // What follows is never taken for a request.
        let answer = talk(&server, &[request.as_bytes(), GET].concat());
        let shown = &request[..request.len().min(100)];
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown:?}: {answer:?}"
        );
        assert_eq!(answer.matches("content-length: ").count(), 1, "{shown:?}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{shown:?}: {answer}");
    }
    is_well(&server);
}

#[cfg(unix)]
#[test]
fn files_forms_and_events() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a line of a file\n".repeat(10_000);
    std::fs::create_dir(folder.path().join("www")).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    std::fs::write(folder.path().join("www/long.txt"), &long).unwrap();
    std::os::unix::fs::symlink("../secret", folder.path().join("www/link")).unwrap();
    let dir = format!("--dir={}::/files", folder.path().join("www").display());
    let server = guest("web", Profile::Debug, &[&dir], &[]);
    let ask = |args: &[&str], path: &str| curl(args, &server.url(path), long.as_bytes());
    assert_eq!(ask(&[], "/files/long.txt"), format!("{long}[200]"));
    assert_eq!(ask(&["--compressed"], "/files/long.txt"), format!("{long}[200]"));
    let head = ask(&["--head", "--compressed"], "/files/long.txt");
    assert!(head.contains("\r\ncontent-encoding: gzip\r\n"), "{head}");
    assert_eq!(ask(&["--range", "2-5"], "/files/long.txt"), "line[206]");
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("there is a tag");
    let condition = format!("If-None-Match: {}", tag.trim());
    assert_eq!(ask(&["--header", &condition], "/files/long.txt"), "[304]");
    // The rights of the process end at the folder.
    for path in ["/files/link", "/files/../secret", "/files/%2e%2e/secret", "/files/none"] {
        let answer = ask(&["--path-as-is"], path);
        assert!(!answer.contains("secret"), "{path}: {answer}");
    }
    let parts = ask(
        &["--form", "title=sea", "--form", "photo=@-;filename=../sea.jpg"],
        "/upload",
    );
    assert_eq!(parts, format!("title - 3\nphoto sea.jpg {}\n[200]", long.len()));
    assert_eq!(
        ask(&["--data", "title=sea"], "/upload").rsplit_once('[').unwrap().1,
        "415]"
    );
    assert_eq!(ask(&[], "/events"), "data: 0\n\ndata: 1\n\ndata: 2\n\n[200]");
}

#[test]
fn a_guest_is_a_client_too() {
    let (other, server) = (
        web(&[]),
        guest("web", Profile::Debug, &["--allow-net", "127.0.0.1"], &[]),
    );
    let ask = |url: &str| curl(&[], &server.url(&format!("/ask?{url}")), b"");
    assert_eq!(ask(&other.url("/")), "200 OK hello\n200 OK hello\n[200]");
    assert_eq!(
        ask(&other.url("/nowhere")),
        "404 Not Found 404 Not Found\n\n404 Not Found 404 Not Found\n\n[200]"
    );
    let gone = other.url("/");
    drop(other);
    assert!(ask(&gone).starts_with("cannot connect to 127.0.0.1:"));
    // The client lacks the right to connect.
    let server = web(&[]);
    assert!(curl(&[], &server.url(&format!("/ask?{gone}")), b"").starts_with("cannot connect to 127.0.0.1:"));
}

#[test]
fn over_tls_too() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.pem");
    std::fs::write(&file, cert.pem()).unwrap();
    let variables = [
        format!("CERTIFICATE={}", cert.pem()),
        format!("KEY={}", signing_key.serialize_pem()),
        format!("ROOT={}", cert.pem()),
    ];
    let [certificate, key, root] = variables.each_ref().map(String::as_str);
    let server = guest(
        "web",
        Profile::Debug,
        &["--env", certificate, "--env", key],
        &["head_timeout=500"],
    );
    let url = server.url("/").replacen("http", "https", 1);
    let ca = ["--cacert", &file.to_string_lossy()];
    assert_eq!(curl(&ca, &url, b""), "hello[200]");
    let body = "x".repeat(500_000);
    let read = server.url("/echo").replacen("http", "https", 1);
    assert_eq!(
        curl(&[&ca[..], &["--data-binary", "@-"]].concat(), &read, body.as_bytes()),
        format!("{body}[200]")
    );
    // The server does not wait for a client that does not speak TLS, or sends nothing.
    assert!(!talk(&server, GET).contains("HTTP"));
    assert_eq!(rest(&mut server.connect()), "");
    let client = guest("web", Profile::Debug, &["--allow-net", "127.0.0.1", "--env", root], &[]);
    let ask = |client: &Serving| curl(&[], &client.url(&format!("/ask?{url}")), b"");
    assert_eq!(ask(&client), "200 OK hello\n200 OK hello\n[200]");
    // This client trusts the system's roots, which did not sign the certificate.
    let client = guest("web", Profile::Debug, &["--allow-net", "127.0.0.1"], &[]);
    assert!(ask(&client).starts_with("cannot connect to 127.0.0.1:"));
}

#[test]
fn a_server_without_the_right_to_listen_says_what_is_missing() {
    let path = lunatic_tests::guests::path("web", Profile::Debug).to_string_lossy();
    let finished = lunatic_tests::programs::lunatic(["run", &path, "127.0.0.1:0"]).run();
    assert_ne!(finished.code, Some(0));
    assert!(
        finished.stderr.contains("none of its rules allows `bind:127.0.0.1:0`"),
        "{finished}"
    );
}
