//! A web server whose limits are arguments such as `head_timeout=200` (in milliseconds), for tests that attack it. With
//! `CERTIFICATE` and `KEY` in its environment it speaks TLS.

use std::env;
use std::io::{self, Write};
use std::time::Duration;

use lunatic::net::tls::{TlsClient, TlsServer};
use lunatic::{Channel, Mailbox, Process};
use lunatic_http::websocket::{self, Received, WebSocket, WebSocketLimits};
use lunatic_http::{
    BadInput, Body, Client, Compress, Files, Handler, Limits, MultipartLimits, Request, Response, Router, Server,
    StatusCode, TimeLimit,
};
use serde::{Deserialize, Serialize};

fn limits(args: impl Iterator<Item = String>) -> Limits {
    let mut limits = Limits::default();
    for arg in args {
        let (name, value) = arg.split_once('=').expect("an argument is NAME=VALUE");
        let number: u64 = value.parse().expect("the value is a number");
        let time = Duration::from_millis(number);
        match name {
            "head_timeout" => limits.head_timeout = time,
            "body_timeout" => limits.body_timeout = time,
            "write_timeout" => limits.write_timeout = time,
            "idle_timeout" => limits.idle_timeout = time,
            "rate_min" => limits.rate_min = number,
            "connections" => limits.connections = number as usize,
            "body_len" => limits.body_len = number,
            _ => panic!("there is no limit {name}"),
        }
    }
    limits
}

fn echo(mut socket: WebSocket) {
    while let Ok(message) = socket.receive() {
        if socket.send(message).is_err() {
            break;
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Mail(Received);

impl From<Received> for Mail {
    fn from(event: Received) -> Self {
        Self(event)
    }
}

/// Sends back what a reader of its own has read.
fn split_echo(mut socket: WebSocket) {
    socket.set_limits(WebSocketLimits {
        message_len: 1000,
        ping_interval: Duration::from_millis(50),
        ..WebSocketLimits::default()
    });
    let mailbox = Mailbox::<Mail>::new();
    let mut peer = socket.split(mailbox.address()).unwrap();
    loop {
        match peer.accept(mailbox.receive().0) {
            Ok(Some(message)) if message == "bye".into() => {
                let _ = peer.close(4000, "as you wish");
            }
            Ok(Some(message)) => {
                let _ = peer.send(message);
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
}

/// Asks a server, as a client, and tells what came.
fn ask(request: Request) -> Response {
    let url = request.query_text().unwrap_or_default().to_owned();
    let client = match env::var("ROOT") {
        Ok(root) => Client::with_tls(TlsClient::new().root(&root).build().unwrap()),
        Err(_) => Client::new(),
    };
    let mut told = String::new();
    for _ in 0..2 {
        match client.get(&url) {
            Ok(mut response) => {
                let text = response.read_text().unwrap_or_else(|error| error.to_string());
                told += &format!("{} {text}\n", response.status());
            }
            Err(error) => told += &format!("{error}\n"),
        }
    }
    told.into()
}

/// Lists the parts of a form.
fn upload(mut request: Request) -> Result<String, BadInput> {
    let mut form = request.multipart(MultipartLimits::default())?;
    let mut parts = String::new();
    while let Some(mut part) = form.next_part()? {
        let name = part.name().to_owned();
        let file = part.file_name().unwrap_or("-").to_owned();
        let len = io::copy(&mut part, &mut io::sink())?;
        parts += &format!("{name} {file} {len}\n");
    }
    Ok(parts)
}

fn spin() -> Response {
    loop {
        std::hint::spin_loop();
    }
}

fn exhaust() -> Response {
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 1 << 20]);
    }
}

/// With `MAILBOX_MAX` in the environment, no process has room for more messages.
fn main() -> io::Result<()> {
    let Ok(max) = env::var("MAILBOX_MAX") else {
        return run();
    };
    let max = max.parse().expect("`MAILBOX_MAX` is a number");
    let served = Process::builder().mailbox_max(max).spawn(|| run().unwrap());
    served.map_err(io::Error::other)?.join();
    Ok(())
}

fn run() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let address = args.next().expect("the first argument is the address");
    let mut server = Server::bind(address.as_str())?.with_limits(limits(args));
    if let (Ok(certificate), Ok(key)) = (env::var("CERTIFICATE"), env::var("KEY")) {
        server = server.with_tls(TlsServer::new().certificate(&certificate, &key).build()?);
    }
    let handle = server.handle();
    let panics = Channel::<()>::new(0);
    let app = Router::new()
        .get("/", |_| "hello")
        .post("/read", |mut request: Request| request.read_bytes())
        .post("/echo", |request: Request| Response::new(request.into_body()))
        .post("/unread", |_| "unread")
        .get("/large", |_| {
            Response::new(Body::stream(|out| {
                (0..100_000_000_u64).try_for_each(|_| out.write_all(&[b'x'; 1000]))
            }))
        })
        .get("/panic", move |_| -> Response {
            panics.send(());
            panic!("as you wish")
        })
        .get("/panics", move |_| {
            let mut count = 0;
            while panics.try_receive().is_ok() {
                count += 1;
            }
            count.to_string()
        })
        .get("/loop", |_| spin())
        .get("/exhaust", |_| exhaust())
        .get(
            "/limited/loop",
            (|_: Request| spin()).layer(TimeLimit(Duration::from_millis(100))),
        )
        .get(
            "/limited/loop/within",
            (|_: Request| spin())
                .layer(TimeLimit(Duration::from_millis(100)))
                .layer(TimeLimit(Duration::MAX)),
        )
        .get(
            "/limited/exhaust",
            (|_: Request| exhaust()).layer(TimeLimit(Duration::MAX)),
        )
        .get(
            "/limited/panic",
            (|_: Request| -> Response { panic!("under a limit") }).layer(TimeLimit(Duration::MAX)),
        )
        .get(
            "/limited/quick",
            (|_: Request| "in time")
                .layer(TimeLimit(Duration::from_secs(3600)))
                .layer(TimeLimit(Duration::MAX)),
        )
        .get("/ask", ask)
        .get("/files/{path*}", Files::new("/files").layer(Compress))
        .post("/upload", upload)
        .get("/events", |_| {
            Response::events(|stream| {
                (0..3).try_for_each(|number| stream.send(&lunatic_http::Event::new(number.to_string())))
            })
        })
        .get("/ws", |request| websocket::upgrade(request, echo))
        .get("/split", |request| websocket::upgrade(request, split_echo))
        .post("/drain/{patience}", move |request: Request| {
            match request.param("patience").parse() {
                Ok(patience) => {
                    handle.drain(Duration::from_millis(patience));
                    "draining".into()
                }
                Err(_) => Response::from(StatusCode::BAD_REQUEST),
            }
        });
    println!("listening on http://{}", server.local_addr()?);
    server.serve(app)?;
    println!("drained");
    Ok(())
}
