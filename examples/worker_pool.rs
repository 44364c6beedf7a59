//! Twenty orders and three cooks: a pool lends each cook to one customer at a time, and replaces a cook that fails.
//!
//! Run it with `cargo lunatic run --example worker_pool`.

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::mailbox::ReplyTo;
use lunatic::supervisor::{PoolOptions, WorkerPool};
use lunatic::{ExitReason, Task};
use serde::{Deserialize, Serialize};

struct Cook;

#[derive(Serialize, Deserialize)]
struct Order(u32, ReplyTo<String>);

impl Actor for Cook {
    type Args = ();
    type Call = Order;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Cook)
    }

    fn handle_call(&mut self, Order(number, reply): Order) -> Next {
        assert!(number != 13, "no one cooks number 13");
        reply.send(format!("dish {number}"));
        Next::Continue
    }
}

fn order(kitchen: ActorRef<WorkerPool<Cook>>, number: u32) -> String {
    let cook = kitchen.take().expect("the kitchen is open");
    match cook.call(|reply| Order(number, reply)) {
        Ok(dish) => dish,
        Err(error) => format!("no dish {number}: {error}"),
    }
    // Dropping `cook` returns it to the pool.
}

fn main() {
    let kitchen = WorkerPool::<Cook>::start(PoolOptions::new::<Cook>(3, ())).unwrap();
    let orders: Vec<_> = (1..=20)
        .map(|number| Task::spawn(move || order(kitchen, number)).unwrap())
        .collect();
    for order in orders {
        println!("{}", order.join().unwrap());
    }
    println!("cooks in the kitchen: {}", kitchen.status().unwrap().free);
}
