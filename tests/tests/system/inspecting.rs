//! Guests that look at others. The scenarios are in `guests/inspecting.rs`.

crate::scenarios! {
    "inspecting":
    all_are_seen_by_the_main_process,
    orders_pages_and_names,
    what_a_process_has_is_shown,
    one_with_less_sees_itself_and_its_own,
    without_the_right_nothing_is_seen,
    a_thousand_at_once,
}
