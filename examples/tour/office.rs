//! An actor that panics, and the supervisor that starts it again.
//!
//! Run it with `cargo lunatic run --example office`.

use lunatic::ExitReason;
use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::supervisor::{Child, Spec, Supervise, Supervisor};

struct Counter(u8);

impl Actor for Counter {
    type Args = u8;
    type Call = (u8, ReplyTo<u8>);
    type Cast = ();

    fn init(start: u8) -> Result<Self, ExitReason> {
        Ok(Counter(start))
    }

    fn handle_call(&mut self, (number, reply): Self::Call) -> Next {
        self.0 = self.0.checked_add(number).expect("the sum fits into a byte");
        reply.send(self.0);
        Next::Continue
    }
}

struct Office;

impl Supervise for Office {
    type Args = ();

    fn init((): ()) -> Spec {
        Spec::one_for_one().child(Child::actor::<Counter>("counter", 100).name("counter"))
    }
}

fn main() {
    let office = Supervisor::<Office>::start(()).unwrap();
    let counter = ActorRef::<Counter>::named("counter").unwrap();
    println!("{:?}", counter.call(|reply| (50, reply)));
    println!("{:?}", counter.call(|reply| (150, reply)));

    // The supervisor answers once it has restarted the counter, which is a new process now.
    office.children().unwrap();
    let counter = ActorRef::<Counter>::named("counter").unwrap();
    println!("{:?}", counter.call(|reply| (50, reply)));
}
