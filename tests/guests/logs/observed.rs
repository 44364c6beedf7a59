//! Programs that a collector sees: spans, records and metrics.

use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::metrics::{counter, counter_with, gauge, histogram};
use lunatic::{ExitReason, Process, ProcessConfig, sleep, trace};
use lunatic_http::{Client, Request, Response, Router, Server};
use serde::{Deserialize, Serialize};

lunatic_test_guests::scenarios![serve, count, flood, slowly];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

struct Orders;

#[derive(Serialize, Deserialize)]
struct LookUp(String, ReplyTo<String>);

impl Actor for Orders {
    type Args = ();
    type Call = LookUp;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, LookUp(id, reply): LookUp) -> Next {
        let _span = trace::span("look up");
        let child = Process::spawn_with(id.clone(), |id: String| {
            let _span = trace::span("child");
            log::warn!("looks for {id}");
        });
        child.unwrap().join();
        reply.send(format!("order {id}"));
        Next::Continue
    }
}

/// Forwards a request to the address in its query.
fn forward(request: Request) -> Response {
    let url = request.query_text().unwrap_or_default().to_owned();
    match Client::new().get(&url) {
        Ok(mut response) => response.read_text().unwrap_or_default().into(),
        Err(error) => error.to_string().into(),
    }
}

fn serve() {
    let address = std::env::args().nth(2).unwrap();
    let orders: ActorRef<Orders> = Orders::start(()).unwrap();
    let server = Server::bind(address.as_str()).unwrap();
    let app = Router::new()
        .get("/orders/{id}", move |request: Request| {
            let id = request.param("id").to_owned();
            orders.call(|reply| LookUp(id, reply)).unwrap()
        })
        .get("/forward", forward);
    println!("listening on http://{}", server.local_addr().unwrap());
    server.serve(app).unwrap();
}

fn count() {
    counter("orders").add(3);
    counter_with("by_kind", &[("kind", "a")]).add(2);
    gauge("open").set(-4);
    let times = histogram("seconds", &[0.5, 2.0]);
    [0.1, 1.0, 3.0].into_iter().for_each(|time| times.observe(time));
    println!("ready");
    sleep(LONG);
}

fn flood() {
    let config = ProcessConfig::inherit();
    let child = Process::builder().config(&config).spawn(|| {
        for number in 0..30_000 {
            drop(trace::span("flood"));
            log::info!("number {number}");
        }
    });
    child.unwrap().join();
}

fn slowly() {
    for _ in 0..100 {
        drop(trace::span("slow"));
        sleep(Duration::from_millis(5));
    }
    sleep(LONG);
}
