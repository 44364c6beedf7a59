//! Works on several nodes: this program runs on the node `a`, the others have none of their own. The program `nodes` of
//! `benches` starts them, and stops and continues the node `b` when a line on standard output says so.

use std::time::{Duration, Instant};

use lunatic::node::{Node, NodeEvent};
use lunatic::process::parent;
use lunatic::{Address, Mailbox, Process, sleep};

use super::timed;

/// How many pairs of processes send at the same time.
const PAIRS: u64 = 100;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// The node with this name, when it is connected.
pub(crate) fn connected(name: &str) -> Node {
    let monitor = Node::monitor();
    loop {
        if let Some(node) = Node::named(name) {
            return node;
        }
        let event = monitor.receive_timeout(LONG);
        assert!(
            matches!(event, Some(NodeEvent::Up { .. })),
            "the node {name} does not come"
        );
    }
}

fn this_parent() -> Process {
    parent().expect("the main process has spawned it")
}

/// Answers numbers, each with the next one.
fn echo() {
    let (numbers, parent) = (Mailbox::<u64>::new(), Address::of(this_parent()));
    loop {
        parent.send(numbers.receive() + 1);
    }
}

/// Round trips with a process of another node.
pub(crate) fn call(n: u64) -> Duration {
    let there = Address::of(Process::builder().node(connected("b")).spawn(echo).unwrap());
    let back = Mailbox::<u64>::new();
    let trip = |x| {
        there.send(x);
        back.receive()
    };
    trip(0);
    timed(|| assert_eq!((0..n).fold(0, |x, _| trip(x)), n))
}

/// Counts messages of 100 bytes, and reports when all have come.
fn counts(n: u64) {
    let messages = Mailbox::<Vec<u8>>::new();
    let parent = Address::of(this_parent());
    parent.send(0_u64);
    let bytes: usize = (0..n).map(|_| messages.receive().len()).sum();
    parent.send(bytes as u64);
}

/// Messages of 100 bytes from processes of this node to as many of another.
pub(crate) fn send(n: u64, pairs: u64) -> Duration {
    let (b, each) = (connected("b"), n / pairs);
    let reports = Mailbox::<u64>::new();
    let receivers: Vec<_> = (0..pairs)
        .map(|_| Process::builder().node(b).spawn_with(each, counts).unwrap())
        .collect();
    receivers.iter().for_each(|_| assert_eq!(reports.receive(), 0));
    timed(|| {
        for receiver in &receivers {
            Process::spawn_with((*receiver, each), |(receiver, each): (Process, u64)| {
                let (receiver, message) = (Address::of(receiver), vec![7_u8; 100]);
                (0..each).for_each(|_| receiver.send(message.clone()));
            })
            .unwrap();
        }
        let bytes: u64 = receivers.iter().map(|_| reports.receive()).sum();
        assert_eq!(bytes, 100 * each * pairs);
    })
}

/// The same with a hundred pairs.
pub(crate) fn pairs(n: u64) -> Duration {
    send(n.next_multiple_of(PAIRS), PAIRS)
}

/// Spawns on another node, one after the other; each child sends a message and ends.
pub(crate) fn spawn(n: u64) -> Duration {
    let (b, hellos) = (connected("b"), Mailbox::<u64>::new());
    let spawn = |number: u64| {
        let child = Process::builder().node(b).spawn_with(number, |number: u64| {
            Address::of(this_parent()).send(number);
        });
        child.unwrap();
        assert_eq!(hellos.receive(), number);
    };
    // The first one brings the module there.
    spawn(0);
    timed(|| (0..n).for_each(spawn))
}

/// Round trips with one node while another stands still, to which a process sends without end. How long they take.
pub(crate) fn frozen(n: u64) -> String {
    let (b, c) = (connected("b"), connected("c"));
    let still = Process::builder()
        .node(b)
        .spawn(|| _ = Mailbox::<u8>::new().receive())
        .unwrap();
    let there = Address::of(Process::builder().node(c).spawn(echo).unwrap());
    let back = Mailbox::<u64>::new();
    there.send(0);
    back.receive();
    println!("stop b");
    let sender = Process::spawn_with(still, |still: Process| {
        let (still, message) = (Address::of(still), vec![7_u8; 100_000]);
        loop {
            still.send(message.clone());
        }
    });
    // Spread over some seconds, in which the node is not lost.
    let mut took: Vec<f64> = (0..n)
        .map(|x| {
            sleep(Duration::from_millis(1));
            let start = Instant::now();
            there.send(x);
            assert_eq!(back.receive(), x + 1);
            start.elapsed().as_nanos() as f64 / 1e3
        })
        .collect();
    sender.unwrap().kill();
    println!("go on b");
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    format!(
        r#""p50_us":{:.1},"p99_us":{:.1},"max_us":{:.1}"#,
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

/// Waits until each of so many nodes is connected to all others.
pub(crate) fn join(n: u64) {
    let all_here = move || {
        let monitor = Node::monitor();
        while (Node::all().len() as u64) < n {
            assert!(monitor.receive_timeout(LONG).is_some(), "some nodes do not come");
        }
    };
    all_here();
    let children: Vec<_> = Node::all()
        .into_iter()
        .map(|node| Process::builder().node(node).spawn(all_here).unwrap())
        .collect();
    children
        .into_iter()
        .for_each(|child| assert!(child.join().is_orderly()));
}
