//! One test a model; see the crate's documentation for how to run them.
#![cfg(loom)]

use lunatic_loom::models;

/// A test for each model, under its name.
macro_rules! models {
    ($($topic:ident: $($model:ident),+;)+) => {
        $(mod $topic {
            $(#[test]
            fn $model() {
                super::models::$topic::$model();
            })+
        })+
    };
}

models! {
    parking:
        a_worker_that_parks_sees_work_or_is_woken,
        no_clock_sleeps_while_a_worker_is_awake,
        two_workers_do_all_that_is_brought,
        what_the_last_worker_brings_before_it_sleeps_is_done;
    states:
        a_wake_up_is_seen_whenever_it_comes,
        a_process_that_two_wake_is_queued_once,
        a_wake_up_while_it_is_frozen_is_made_good,
        two_freeze_one_process_one_at_a_time,
        a_process_that_is_killed_in_a_queue_ends_once,
        a_killed_process_ends_frozen_or_not;
    channels:
        a_receiver_sees_the_message_or_is_woken,
        two_receivers_get_two_messages,
        the_wake_up_of_a_killed_receiver_is_passed_on,
        senders_wait_for_room_and_get_it,
        closing_wakes_all_who_wait;
    latches:
        one_holder_sees_what_the_former_did;
    ends:
        who_joins_is_woken_with_the_reason,
        two_who_join_are_both_woken,
        who_joined_and_left_is_not_kept;
    limits:
        no_cap_is_ever_exceeded,
        a_refused_charge_is_taken_from_no_budget;
}
