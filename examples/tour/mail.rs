//! One mailbox, two topics: a process receives what is urgent first, and the rest in order.
//!
//! Run it with `cargo lunatic run --example mail`.

use lunatic::{Mailbox, Process};

fn main() {
    let orders = Mailbox::<String>::new();
    let urgent = Mailbox::<String>::topic("urgent");
    let (desk, phone) = (orders.address(), urgent.address());
    let waiter = Process::spawn(move || {
        desk.send("tea".to_owned());
        desk.send("cake".to_owned());
        phone.send("call a doctor".to_owned());
    })
    .unwrap();
    // When the waiter has exited, all three messages are in the mailbox.
    waiter.join();

    println!("urgent: {}", urgent.receive());
    println!("order: {}", orders.receive());
    println!("order: {}", orders.receive());
    println!("more orders: {}", orders.try_receive().is_ok());
}
