//! Hibernation: a host with a limit of 0 bytes freezes every process at every blocking call of its own, and nothing that
//! a program does may change by that.

use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::Host;

fn eager() -> Host {
    Host::with(|builder| builder.resident_max(0))
}

/// Runs all scenarios of a guest, which assert what they have to show.
fn check(guest: &str) {
    let host = eager();
    let program = host.program(&guests::bytes(guest, Profile::Debug));
    for scenario in guests::scenarios(guest) {
        println!("{guest} {scenario}");
        program.clone().args([scenario.as_str()]).run().normal();
    }
}

#[test]
fn no_message_is_lost_or_doubled_when_every_wait_freezes() {
    check("channels");
}

#[test]
fn processes_are_joined_killed_and_woken_when_every_wait_freezes() {
    check("processes");
}

#[test]
fn signals_and_mail_reach_frozen_processes() {
    let host = eager();
    let program = host.program(&guests::bytes("signals", Profile::Debug));
    // The last two end otherwise than normally.
    for scenario in &guests::scenarios("signals")[..8] {
        program.clone().args([scenario.as_str()]).run().normal();
    }
}

/// Memories that grow, and move, between two freezes.
#[test]
fn what_a_process_holds_survives_any_number_of_freezes() {
    let ended = eager()
        .program(&guests::bytes("ping_pong", Profile::Release))
        .run()
        .normal();
    assert!(
        ended.stdout.ends_with("and then it ended normally\n"),
        "{}",
        ended.stdout
    );
}
