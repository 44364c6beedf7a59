//! A program in two versions: with the feature `new`, and without. The tests run the first and upgrade it to the second.

mod back;
mod exact;
mod gains;
mod heavy;
mod keeper;
mod plain;
mod slow;
mod stubborn;
mod subject;
mod supervised;
mod web;
mod within;

use std::time::Duration;

use lunatic::mailbox::Mail;
use lunatic::{ExitReason, Mailbox, process, registry, this_process};

use self::back::back;
use self::exact::{forth, frozen, many};
use self::gains::gains;
use self::heavy::pauses;
use self::keeper::keeps;
use self::plain::{behind, busy, following, plain, serving};
use self::slow::{belated, delayed, hesitant, slow};
use self::stubborn::{
    counts, exits, killed, lies, linked, listens, loops, misreads, opens, panics, refuses, returns, sends, spawns,
    traps, unsaved,
};
use self::subject::model;
use self::supervised::{children, managers, starters, tree};
use self::web::{site, web};
use self::within::{failing, narrow, whole};

lunatic_test_guests::scenarios![
    keeps, many, traps, panics, refuses, loops, lies, exits, sends, spawns, returns, plain, tree, killed, linked,
    forth, frozen, children, managers, unsaved, serving, web, model, back, pauses, whole, narrow, failing, site, slow,
    counts, listens, opens, misreads, busy, gains, following, hesitant, delayed, behind, starters, belated
];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

/// The number of the program's own version.
const OWN: u32 = if cfg!(feature = "new") { 2 } else { 1 };

/// Says that the test may go on, and waits until the host is done with what it does then.
fn ready() {
    say_ready();
    assert!(is_done(LONG), "the test goes on");
}

fn say_ready() {
    process::trap_exit(true);
    registry::register("ready", this_process()).unwrap();
}

/// Whether the test has said that the host is done, within this time.
fn is_done(timeout: Duration) -> bool {
    match Mailbox::<()>::new().receive_mail_timeout(timeout) {
        Some(Mail::Exit { reason, .. }) => is_end(&reason),
        _ => false,
    }
}

/// Whether this is the exit signal by which the test says that the host is done.
fn is_end(reason: &ExitReason) -> bool {
    *reason == ExitReason::Error("done".into())
}

/// The number behind the name of the scenario.
fn size() -> usize {
    let size = std::env::args().nth(2);
    size.map_or(300, |size| size.parse().unwrap())
}
