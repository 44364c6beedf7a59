//! A circuit breaker: when a service has failed a few times in a row, nobody waits for it any more until it is tried again.
//!
//! Run it with `cargo lunatic run --example circuit_breaker`.

use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::{Address, ExitReason, Mailbox, Process, time};
use serde::{Deserialize, Serialize};

// ANCHOR: breaker
/// The number of failures in a row that opens the circuit.
const FAILURES_MAX: u32 = 3;
/// After this time, one request is let through to try the service.
const COOL_DOWN: Duration = Duration::from_secs(10);

enum Breaker {
    /// Requests go through.
    Closed { failures: u32 },
    /// No request goes through before that time. Then one does, and has as long to report.
    Open { until: Instant },
}

/// May a request go through? If not, after which time may one?
#[derive(Serialize, Deserialize)]
struct Enter(ReplyTo<Result<(), Duration>>);

/// How a request went.
#[derive(Serialize, Deserialize)]
enum Report {
    Succeeded,
    Failed,
}

impl Actor for Breaker {
    type Args = ();
    type Call = Enter;
    type Cast = Report;

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Breaker::Closed { failures: 0 })
    }

    fn handle_call(&mut self, Enter(reply): Enter) -> Next {
        let now = Instant::now();
        reply.send(match self {
            Breaker::Closed { .. } => Ok(()),
            Breaker::Open { until } if now < *until => Err(*until - now),
            Breaker::Open { until } => {
                *until = now + COOL_DOWN;
                Ok(())
            }
        });
        Next::Continue
    }

    fn handle_cast(&mut self, report: Report) -> Next {
        let failures = match (report, &*self) {
            (Report::Succeeded, _) => 0,
            (Report::Failed, Breaker::Closed { failures }) => failures + 1,
            (Report::Failed, Breaker::Open { .. }) => FAILURES_MAX,
        };
        *self = if failures < FAILURES_MAX {
            Breaker::Closed { failures }
        } else {
            let until = Instant::now() + COOL_DOWN;
            Breaker::Open { until }
        };
        Next::Continue
    }
}

/// Why there is no result.
#[derive(Debug)]
enum Failure<E> {
    /// The circuit stays open for this time; nothing was sent.
    Open(Duration),
    Service(E),
}

/// Makes a request if the circuit lets it through, and reports how it went.
fn guarded<T, E>(breaker: ActorRef<Breaker>, request: impl FnOnce() -> Result<T, E>) -> Result<T, Failure<E>> {
    // If the breaker itself is gone, the request goes through: a broken fuse is no reason to stop.
    if let Ok(Err(wait)) = breaker.call(Enter) {
        return Err(Failure::Open(wait));
    }
    let result = request();
    breaker.cast(match result {
        Ok(_) => Report::Succeeded,
        Err(_) => Report::Failed,
    });
    result.map_err(Failure::Service)
}
// ANCHOR_END: breaker

/// The messages to the service of this demonstration.
#[derive(Serialize, Deserialize)]
enum Request {
    Ask(ReplyTo<String>),
    /// From now on, it answers or does not.
    Answer(bool),
}

fn service() {
    let requests = Mailbox::<Request>::new();
    let mut answers = true;
    loop {
        match requests.receive() {
            Request::Ask(reply) if answers => reply.send("sunny".to_owned()),
            Request::Ask(_) => {}
            Request::Answer(on) => answers = on,
        }
    }
}

fn main() {
    // The clock of this demonstration stands still but when all processes wait, so that its output is always the same.
    time::pause();
    let service = Address::<Request>::of(Process::spawn(service).unwrap());
    let breaker = Breaker::start(()).unwrap();
    let ask = || match guarded(breaker, || service.call_timeout(Request::Ask, Duration::from_secs(1))) {
        Ok(weather) => println!("{weather}"),
        Err(Failure::Open(wait)) => println!("open for {wait:?}"),
        Err(Failure::Service(error)) => println!("failed: {error}"),
    };
    ask();
    service.send(Request::Answer(false));
    (0..4).for_each(|_| ask());
    time::advance(Duration::from_secs(4));
    ask();
    time::advance(Duration::from_secs(6));
    (0..2).for_each(|_| ask());
    service.send(Request::Answer(true));
    time::advance(Duration::from_secs(10));
    (0..2).for_each(|_| ask());
}
