//! One test a check; see the crate's documentation for how to run them under Miri.

use lunatic_miri::checks;

#[test]
fn slots_are_of_one_user_each() {
    checks::slots_are_of_one_user_each();
}

#[test]
fn slots_are_of_one_thread_each() {
    checks::slots_are_of_one_thread_each();
}

#[test]
fn what_was_packed_is_there_again() {
    checks::what_was_packed_is_there_again();
}
