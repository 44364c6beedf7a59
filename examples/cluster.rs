//! Counts primes on all nodes of a cluster. If a node is lost, its part of the work is done again on this one.
//!
//! Run it with `cargo lunatic run --example cluster --nodes 3`; without `--nodes`, it runs on one node.

use std::collections::HashMap;
use std::ops::Range;

use lunatic::mailbox::Mail;
use lunatic::node::Node;
use lunatic::process::parent;
use lunatic::{Address, Mailbox, Process, this_process};

const PARTS: u64 = 12;
const SIZE: u64 = 20_000;

fn is_prime(number: u64) -> bool {
    number > 1
        && (2..)
            .take_while(|factor| factor * factor <= number)
            .all(|factor| !number.is_multiple_of(factor))
}

/// Starts a process on a node that counts the primes of a part; `None` if the node is lost.
fn start(node: Node, part: &Range<u64>) -> Option<Process> {
    let child = Process::builder()
        .node(node)
        .spawn_with((part.start, part.end), |(start, end): (u64, u64)| {
            let count = (start..end).filter(|number| is_prime(*number)).count() as u64;
            let boss = parent().expect("the main process has spawned it");
            Address::of(boss).send((this_process(), count));
        });
    let child = child.ok()?;
    let _monitor = child.monitor();
    Some(child)
}

fn main() {
    let nodes = Node::all();
    let answers = Mailbox::<(Process, u64)>::new();
    let (mut open, mut sum) = (HashMap::new(), 0);
    let assign = |node, part: Range<u64>, open: &mut HashMap<_, _>| {
        let child = start(node, &part).or_else(|| start(Node::this(), &part));
        open.insert(child.expect("this node has room"), part);
    };
    for (number, node) in (0..PARTS).zip(nodes.iter().cycle()) {
        assign(*node, number * SIZE..(number + 1) * SIZE, &mut open);
    }
    while !open.is_empty() {
        match answers.receive_mail() {
            Mail::Message((child, count)) => {
                open.remove(&child);
                sum += count;
            }
            // A process that has answered ends, too.
            Mail::Down { monitor, .. } => {
                if let Some(part) = open.remove(&monitor.process()) {
                    println!("again: {} to {}", part.start, part.end);
                    assign(Node::this(), part, &mut open);
                }
            }
            _ => {}
        }
    }
    println!("{sum} primes below {}", PARTS * SIZE);
}
