//! A supervision tree in which later children depend on earlier ones: when one is killed, those after it are restarted too.
//!
//! Run it with `cargo lunatic run --example tree`.

use std::time::Duration;

use lunatic::ExitReason;
use lunatic::actor::Actor;
use lunatic::process::trap_exit;
use lunatic::registry;
use lunatic::supervisor::{Child, Spec, Supervise, Supervisor};

// ANCHOR: part
/// A part of the shop. It has no state worth showing, but says when it starts and stops.
struct Part(String);

impl Actor for Part {
    type Args = String;
    type Call = ();
    type Cast = ();

    fn init(name: String) -> Result<Self, ExitReason> {
        // Without this, an exit signal of the supervisor would end the process before it could call `terminate`.
        trap_exit(true);
        println!("{name} starts");
        Ok(Part(name))
    }

    fn terminate(&mut self, _reason: &ExitReason) {
        println!("{} stops", self.0);
    }
}
// ANCHOR_END: part

// ANCHOR: tree
struct Shop;

impl Supervise for Shop {
    type Args = ();

    fn init((): ()) -> Spec {
        let part = |name: &str| Child::actor::<Part>(name, name.to_owned()).name(name);
        Spec::rest_for_one()
            .intensity(3, Duration::from_secs(5))
            .child(part("catalogue"))
            .child(part("stock"))
            .child(part("till"))
    }
}

fn main() {
    let shop = Supervisor::<Shop>::start(()).unwrap();

    let stock = registry::lookup("stock").expect("the supervisor has started it");
    println!("killing stock");
    stock.kill();
    // Once the join returns, the supervisor has been notified; it handles that before it answers the call.
    stock.join();
    let children = shop.children().unwrap();
    println!("{} children, {} restart of stock", children.len(), children[1].restarts);

    println!("stopping the shop");
    shop.stop();
}
// ANCHOR_END: tree
