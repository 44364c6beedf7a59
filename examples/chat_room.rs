//! A chat room: each guest is a process in a group, and every line goes to the whole group. A process that exits leaves
//! the group automatically.
//!
//! Run it with `cargo lunatic run --example chat_room`.

use lunatic::registry::Group;
use lunatic::{Channel, Mailbox, Process, this_process};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
enum Line {
    Said(String, String),
    /// The named guest goes home.
    Goodnight(String),
}

/// One guest: collects the lines of the others until it goes home, and then reports them.
fn guest(name: &'static str, entered: Channel<()>, heard: Channel<(String, Vec<String>)>) {
    let lines = Mailbox::<Line>::new();
    Group::named("room").join(this_process()).unwrap();
    entered.send(());
    let mut memory = Vec::new();
    loop {
        match lines.receive() {
            Line::Said(who, what) if who != name => memory.push(format!("{who}: {what}")),
            Line::Goodnight(who) if who == name => break,
            _ => {}
        }
    }
    heard.send((name.to_owned(), memory));
}

fn main() {
    let room = Group::named("room");
    let (entered, heard) = (Channel::new(0), Channel::new(0));
    let names = ["Ann", "Bob", "Cid"];
    let guests = names.map(|name| Process::spawn(move || guest(name, entered, heard)).unwrap());
    names.iter().for_each(|_| entered.receive());
    println!("{} guests are in the room", room.members().len());

    let say = |who: &str, what: &str| room.broadcast(&Line::Said(who.to_owned(), what.to_owned()));
    say("Ann", "good evening");
    say("Bob", "good evening, Ann");
    room.broadcast(&Line::Goodnight("Bob".to_owned()));
    guests[1].join();
    let left = say("Cid", "where is Bob?");
    println!("{left} guests heard the last line");
    room.broadcast(&Line::Goodnight("Ann".to_owned()));
    room.broadcast(&Line::Goodnight("Cid".to_owned()));

    let mut memories: Vec<_> = names.iter().map(|_| heard.receive()).collect();
    memories.sort();
    for (name, memory) in memories {
        println!("{name} heard: {}", memory.join(", "));
    }
}
