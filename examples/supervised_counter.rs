//! A counter that crashes and comes back: its supervisor restarts it with the original argument.
//!
//! Run it with `cargo lunatic run --example supervised_counter`.

use std::time::Duration;

use lunatic::ExitReason;
use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::{CallError, ReplyTo};
use lunatic::supervisor::{Child, Spec, Supervise, Supervisor};
use serde::{Deserialize, Serialize};

struct Counter {
    sum: u8,
}

#[derive(Serialize, Deserialize)]
enum Call {
    Add(u8, ReplyTo<u8>),
}

impl Actor for Counter {
    type Args = u8;
    type Call = Call;
    type Cast = ();

    fn init(start: u8) -> Result<Self, ExitReason> {
        println!("the counter starts at {start}");
        Ok(Counter { sum: start })
    }

    fn handle_call(&mut self, Call::Add(number, reply): Call) -> Next {
        // A bug: sums above 255 do not fit.
        self.sum = self.sum.checked_add(number).expect("the sum fits into a byte");
        reply.send(self.sum);
        Next::Continue
    }
}

struct Office;

impl Supervise for Office {
    type Args = ();

    fn init((): ()) -> Spec {
        Spec::one_for_one()
            .intensity(3, Duration::from_secs(5))
            .child(Child::actor::<Counter>("counter", 100).name("counter"))
    }
}

fn main() {
    let office = Supervisor::<Office>::start(()).unwrap();
    for number in [50, 100, 50] {
        // A restarted counter is a new process, so look it up by name each time.
        let counter = ActorRef::<Counter>::named("counter").expect("the supervisor has started it");
        let sum = counter.call(|reply| Call::Add(number, reply));
        // The supervisor handles earlier exits before it answers.
        let restarts = office.children().unwrap()[0].restarts;
        match sum {
            Ok(sum) => println!("plus {number} is {sum}"),
            Err(CallError::Gone(_)) => println!("plus {number} was too much"),
            Err(error) => println!("plus {number}: {error}"),
        }
        println!("restarts so far: {restarts}");
    }
    office.stop();
}
