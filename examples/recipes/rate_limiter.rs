//! A rate limiter: each client may send a few requests in a burst, and after that one in each interval.
//!
//! Run it with `cargo lunatic run --example rate_limiter`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::{ExitReason, this_process, time, timer};
use serde::{Deserialize, Serialize};

// ANCHOR: actor
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Rate {
    /// The number of requests that may come together.
    burst: u32,
    /// After each interval, one more.
    interval: Duration,
}

struct Limiter {
    rate: Rate,
    /// When each client may send a whole burst again. Who is not listed may do so now.
    rested: HashMap<String, Instant>,
}

/// May this client go on? If not, after which time may it?
#[derive(Serialize, Deserialize)]
struct Ask(String, ReplyTo<Result<(), Duration>>);

/// Forget the clients that have rested.
#[derive(Serialize, Deserialize)]
struct Sweep;

impl Actor for Limiter {
    type Args = Rate;
    type Call = Ask;
    type Cast = Sweep;

    fn init(rate: Rate) -> Result<Self, ExitReason> {
        // Names of clients come from strangers: without this, they would fill the memory.
        let here = ActorRef::<Self>::of(this_process());
        timer::send_interval(here.casts(), Sweep, Duration::from_secs(60));
        let rested = HashMap::new();
        Ok(Limiter { rate, rested })
    }

    fn handle_call(&mut self, Ask(client, reply): Ask) -> Next {
        reply.send(self.admit(client, Instant::now()));
        Next::Continue
    }

    fn handle_cast(&mut self, Sweep: Sweep) -> Next {
        let now = Instant::now();
        self.rested.retain(|_, rested| *rested > now);
        Next::Continue
    }
}

impl Limiter {
    /// Each request moves the time of rest by one interval; it may lie a burst ahead and no further.
    fn admit(&mut self, client: String, now: Instant) -> Result<(), Duration> {
        let Rate { burst, interval } = self.rate;
        let slack = interval * burst.saturating_sub(1);
        let rested = self.rested.entry(client).or_insert(now);
        let ahead = rested.saturating_duration_since(now);
        if ahead > slack {
            return Err(ahead - slack);
        }
        *rested = now + ahead + interval;
        Ok(())
    }
}
// ANCHOR_END: actor

fn main() {
    // The clock of this demonstration stands still but for `advance`, so that its output is always the same.
    time::pause();
    let rate = Rate {
        burst: 3,
        interval: Duration::from_secs(1),
    };
    let limiter = Limiter::start(rate).unwrap();
    let ask = |client: &str| match limiter.call(|reply| Ask(client.to_owned(), reply)).unwrap() {
        Ok(()) => println!("{client}: go on"),
        Err(wait) => println!("{client}: try again in {wait:?}"),
    };
    for client in ["Ann", "Ann", "Ann", "Ann", "Bob"] {
        ask(client);
    }
    time::advance(Duration::from_millis(1500));
    println!("1.5 s later");
    ask("Ann");
    ask("Ann");
}
