//! What a program is told of processes on another node, which is lost and comes back: a line for each event. The same
//! scenario runs on nodes of Erlang (`benches/peers/erlang/peer_events.erl`), and `lunatic-benches --node-events` compares.

use std::time::{Duration, Instant};

use lunatic::mailbox::{Mail, ReplyTo};
use lunatic::node::{Node, NodeEvent, global};
use lunatic::process::{parent, trap_exit};
use lunatic::{Address, ExitReason, Mailbox, Process, SpawnError, sleep, this_process};
use serde::{Deserialize, Serialize};

use super::nodes::connected;

const LONG: Duration = Duration::from_secs(60);
/// How long nothing must come.
const MOMENT: Duration = Duration::from_millis(300);

fn event(step: &str, what: impl std::fmt::Display) {
    println!("event {step}: {what}");
}

fn word(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Normal => "normal",
        ExitReason::Killed => "killed",
        ExitReason::Shutdown => "shutdown",
        ExitReason::NoProcess => "noproc",
        ExitReason::NodeGone => "noconnection",
        _ => "error",
    }
}

/// The next signal in words.
fn next(mail: &Mailbox<u8>) -> String {
    match mail.receive_mail_timeout(LONG).expect("something comes") {
        Mail::Exit { reason, .. } => format!("exit {}", word(&reason)),
        Mail::Down { reason, .. } => format!("down {}", word(&reason)),
        Mail::Message(_) => "message".to_owned(),
        other => format!("{other:?}"),
    }
}

fn eventually(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "it never becomes so");
        sleep(Duration::from_millis(5));
    }
}

fn waits() {
    Mailbox::<()>::new().receive();
}

fn fails() {
    lunatic::process::exit(ExitReason::Error("as told".into()));
}

#[derive(Serialize, Deserialize)]
enum Ask {
    /// What it has been told of the process that it watches.
    Told(ReplyTo<Vec<String>>),
    Never(ReplyTo<()>),
}

/// A server that is linked to its parent, traps exits, monitors it, and has a name and a group.
fn serve() {
    trap_exit(true);
    let (asks, mut told) = (Mailbox::<Ask>::new(), Vec::new());
    let parent = parent().expect("the main process has spawned it");
    _ = parent.monitor();
    parent.link();
    let claim = global::claim("leader", 1).unwrap();
    global::Group::named("workers").join(this_process()).unwrap();
    loop {
        match asks.receive_mail() {
            Mail::Exit { reason, .. } => told.push(format!("exit {}", word(&reason))),
            Mail::Down { reason, .. } => told.push(format!("down {}", word(&reason))),
            Mail::Message(Ask::Told(reply)) => {
                told.sort_unstable();
                let lost = claim.is_lost().then(|| "lost the name".to_owned());
                reply.send(told.iter().cloned().chain(lost).collect());
            }
            // Some time passes.
            _ => {}
        }
    }
}

pub(crate) fn run() {
    let (b, mail) = (connected("b"), Mailbox::<u8>::new());
    trap_exit(true);
    while_connected(b, &mail);
    let nodes = Node::monitor();
    let server = Address::<Ask>::of(Process::builder().node(b).spawn(serve).unwrap());
    let group = global::Group::named("workers");
    eventually(|| group.members().len() == 1 && global::lookup("leader").is_some());
    let linked = Process::builder().node(b).link().spawn(waits).unwrap();
    let (watched, _) = Process::builder().node(b).spawn_monitor(waits).unwrap();
    Process::spawn_with((server, this_process()), |(server, parent): (Address<Ask>, Process)| {
        assert!(server.call(Ask::Never).is_err());
        Address::of(parent).send(1_u8);
    })
    .unwrap();
    // The call is on its way, as the answer to this one shows.
    event("server before", server.call(Ask::Told).unwrap().join(", "));
    println!("stop b");
    lose(b, &mail, &nodes);
    let claim = apart(b, &mail, linked, watched);
    println!("go on b");
    match nodes.receive_timeout(LONG) {
        Some(NodeEvent::Up { node, .. }) => event("node", if node == b { "up, the same" } else { "up, another" }),
        other => panic!("{other:?}"),
    }
    again(&group, linked, watched, server);
    event("this side's name", if claim.is_lost() { "lost" } else { "kept" });
}

/// What is told while both nodes are connected.
fn while_connected(b: Node, mail: &Mailbox<u8>) {
    let on_b = || Process::builder().node(b);
    let child = on_b().link().spawn(waits).unwrap();
    child.kill();
    event("link, killed", next(mail));
    let (ended, _) = on_b().spawn_monitor(|| ()).unwrap();
    event("monitor, returns", next(mail));
    _ = ended.monitor();
    event("monitor of an ended process", next(mail));
    ended.link();
    event("link to an ended process", next(mail));
    let (child, _) = on_b().spawn_monitor(waits).unwrap();
    child.exit(&ExitReason::Shutdown);
    event("exit signal", next(mail));
    let (child, _) = on_b().spawn_monitor(waits).unwrap();
    child.exit(&ExitReason::Normal);
    event(
        "exit signal normal",
        mail.receive_mail_timeout(MOMENT).map_or("nothing", |_| "something"),
    );
    child.kill();
    event("kill", next(mail));
    let (child, _) = on_b().spawn_monitor(waits).unwrap();
    Process::spawn_with(child, |child: Process| {
        child.link();
        fails();
    })
    .unwrap();
    event("link, the local side fails", next(mail));
    let child = on_b().spawn(waits).unwrap();
    let unlinked = Process::spawn_with(child, |child: Process| {
        child.link();
        child.unlink();
        fails();
    });
    unlinked.unwrap().join();
    event("unlinked", if child.is_alive() { "alive" } else { "ended" });
    _ = child.monitor();
    _ = child.monitor();
    child.kill();
    event("two monitors", format!("{}, {}", next(mail), next(mail)));
    let child = on_b().link().spawn(fails).unwrap();
    event("link, fails", next(mail));
    child.kill();
    event(
        "kill of an ended process",
        mail.receive_mail_timeout(MOMENT).map_or("nothing", |_| "something"),
    );
    let child = on_b().spawn(|| {
        global::register("name", this_process()).unwrap();
        global::Group::named("group").join(this_process()).unwrap();
        waits();
    });
    let group = global::Group::named("group");
    eventually(|| global::lookup("name").is_some() && group.members().len() == 1);
    let taken = global::register("name", this_process()).is_err();
    event("name that is taken", if taken { "refused" } else { "given" });
    child.unwrap().kill();
    eventually(|| global::lookup("name").is_none() && group.members().is_empty());
    event("name and group of an ended process", "free, empty");
}

/// The loss of the node: two links, a monitor, and what the caller sends when its call has failed.
fn lose(b: Node, mail: &Mailbox<u8>, nodes: &lunatic::node::NodeMonitor) {
    let mut signals: Vec<_> = (0..4).map(|_| next(mail)).collect();
    signals.sort_unstable();
    event("lost", signals.join(", "));
    match nodes.receive_timeout(LONG) {
        Some(NodeEvent::Down { node, .. }) => event("node", if node == b { "down" } else { "another down" }),
        other => panic!("{other:?}"),
    }
}

/// What is told while the nodes are not connected.
fn apart(b: Node, mail: &Mailbox<u8>, linked: Process, watched: Process) -> global::Claim {
    let group = global::Group::named("workers");
    eventually(|| group.members().is_empty() && global::lookup("leader").is_none());
    event("name and group of a lost node", "free, empty");
    linked.link();
    event("link to a lost node", next(mail));
    _ = watched.monitor();
    event("monitor of a lost node", next(mail));
    let spawned = Process::builder().node(b).spawn(waits);
    event(
        "spawn on a lost node",
        if spawned == Err(SpawnError::NodeGone) {
            "noconnection"
        } else {
            "another answer"
        },
    );
    Address::of(watched).send(1_u8);
    event("send to a lost node", "nothing");
    // Both sides have given it then. This one has the higher priority.
    let claim = global::claim("leader", 9);
    event("name of a lost node", if claim.is_ok() { "given" } else { "refused" });
    claim.unwrap()
}

/// After the nodes have found each other again.
fn again(group: &global::Group, linked: Process, watched: Process, server: Address<Ask>) {
    eventually(|| group.members().len() == 1);
    event("group", "one member again");
    event("linked child", if linked.is_alive() { "alive" } else { "ended" });
    event("watched child", if watched.is_alive() { "alive" } else { "ended" });
    eventually(|| server.call(Ask::Told).is_ok_and(|told| told.len() >= 3));
    event("server after", server.call(Ask::Told).unwrap().join(", "));
}
