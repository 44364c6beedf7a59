//! Processes that do to each other whatever comes to their mind. The scenario is in `guests/monkeys.rs`.

use lunatic_tests::guests::{Profile, bytes};
use lunatic_tests::host::Host;

crate::scenarios! {
    "monkeys":
    whatever_processes_do_to_each_other_all_end_and_are_told_of => |_| {
        for workers in [1, 2, 4] {
            let host = Host::with(|builder| builder.workers(workers));
            let program = host.program(&bytes("monkeys", Profile::Release));
            program.args(["whatever_processes_do_to_each_other_all_end_and_are_told_of"]).quiet().run().normal();
        }
    },
}

#[test]
fn monkeys_are_harmless_when_every_wait_freezes() {
    let host = Host::with(|builder| builder.workers(3).resident_max(0));
    let program = host.program(&bytes("monkeys", Profile::Release));
    program
        .args(["whatever_processes_do_to_each_other_all_end_and_are_told_of"])
        .quiet()
        .run()
        .normal();
}
