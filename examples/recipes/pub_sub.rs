//! Publish and subscribe: a topic is a group of processes, and who publishes need not know who is in it.
//!
//! Run it with `cargo lunatic run --example pub_sub`.

use lunatic::registry::Group;
use lunatic::{Channel, Mailbox, Process, this_process};
use serde::{Deserialize, Serialize};

// ANCHOR: topics
#[derive(Serialize, Deserialize)]
enum Event {
    Price { of: String, cents: u32 },
    Closing,
}

/// Sends an event to all subscribers of a topic, and returns how many have got it.
fn publish(topic: &str, event: &Event) -> usize {
    Group::named(topic).broadcast(event)
}

/// Receives events of some topics until the shop closes. A subscriber that exits, for whatever reason, leaves its groups.
fn subscriber(topics: &[&str], ready: Channel<()>) -> Vec<String> {
    let events = Mailbox::<Event>::new();
    for topic in topics {
        Group::named(*topic).join(this_process()).unwrap();
    }
    ready.send(());
    let mut heard = Vec::new();
    while let Event::Price { of, cents } = events.receive() {
        heard.push(format!("{of} {cents}"));
    }
    heard
}
// ANCHOR_END: topics

fn main() {
    let (ready, heard) = (Channel::new(0), Channel::new(0));
    let subscribe = |name: &'static str, topics: &'static [&'static str]| {
        let entry = move || heard.send((name.to_owned(), subscriber(topics, ready)));
        let process = Process::spawn(entry).unwrap();
        // From now on it is in its groups.
        ready.receive();
        process
    };
    subscribe("Ann", &["hot", "cold"]);
    subscribe("Cid", &["cold"]);
    let bob = subscribe("Bob", &["hot"]);

    let price = |of: &str, cents: u32| Event::Price {
        of: of.to_owned(),
        cents,
    };
    println!("tea: {} subscribers", publish("hot", &price("tea", 320)));
    println!("lemonade: {} subscribers", publish("cold", &price("lemonade", 280)));
    bob.kill();
    bob.join();
    println!("coffee: {} subscriber", publish("hot", &price("coffee", 410)));
    println!("soup: {} subscribers", publish("warm", &price("soup", 560)));
    publish("cold", &Event::Closing);

    let mut all: Vec<(String, Vec<String>)> = vec![heard.receive(), heard.receive()];
    all.sort();
    for (name, heard) in all {
        println!("{name} heard: {}", heard.join(", "));
    }
}
