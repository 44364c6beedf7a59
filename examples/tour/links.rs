//! Four ways to learn that another process has exited: a join, a monitor, a link, and a link with trapped exits.
//!
//! Run it with `cargo lunatic run --example links`.

use std::time::Duration;

use lunatic::mailbox::Mail;
use lunatic::process::{exit, trap_exit};
use lunatic::{ExitReason, Mailbox, Process, sleep};

fn main() {
    join();
    monitor();
    link();
    trap();
}

// ANCHOR: join
/// Waits until the child has exited, and gets its exit reason.
fn join() {
    let child = Process::spawn(|| panic!("out of paper")).unwrap();
    println!("join: the child {}", child.join());
}
// ANCHOR_END: join

// ANCHOR: monitor
/// Is notified by mail, and could do other things meanwhile.
fn monitor() {
    let mail = Mailbox::<String>::new();
    let (_child, monitor) = Process::spawn_monitor(|| exit(ExitReason::Error("out of ink".to_owned()))).unwrap();
    match mail.receive_mail() {
        Mail::Down { monitor: which, reason } if which == monitor => println!("monitor: the child {reason}"),
        other => panic!("unexpected mail: {other:?}"),
    }
}
// ANCHOR_END: monitor

// ANCHOR: link
/// Two linked processes exit together, for the same reason.
fn link() {
    let parent = Process::spawn(|| {
        Process::spawn_link(|| panic!("the printer is on fire")).unwrap();
        sleep(Duration::MAX);
    })
    .unwrap();
    println!("link: the parent {}", parent.join());
}
// ANCHOR_END: link

// ANCHOR: trap
/// A process that traps exits is notified by mail instead of exiting itself. This is what supervisors do.
fn trap() {
    trap_exit(true);
    let mail = Mailbox::<String>::new();
    let child = Process::spawn_link(|| panic!("the lid is open")).unwrap();
    match mail.receive_mail() {
        Mail::Exit { from, reason } if from == child => println!("trap: the child {reason}"),
        other => panic!("unexpected mail: {other:?}"),
    }
}
// ANCHOR_END: trap
