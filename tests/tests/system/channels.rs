//! Channels: bounds, closing, forged handles, types, order. The scenarios are in `guests/channels.rs`.

crate::scenarios! {
    "channels":
    a_full_channel_makes_send_wait,
    try_send_on_a_full_channel_gives_the_message_back,
    send_timeout_on_a_full_channel_gives_the_message_back,
    every_call_on_a_closed_channel_says_so,
    messages_in_a_closed_channel_are_gone,
    whoever_waits_for_a_channel_that_closes_stops_waiting,
    a_channel_closes_however_its_maker_ends,
    receive_timeout_waits_as_long_as_it_says,
    receive_timeout_takes_a_message_that_comes_in_time,
    no_message_is_lost_or_doubled_when_timeouts_come_first,
    an_empty_channel_says_so,
    a_forged_handle_is_an_error_for_every_call,
    what_is_no_message_of_the_type_is_an_error_that_names_it,
    messages_of_one_sender_keep_their_order,
    each_message_is_received_once,
    what_was_sent_is_there_for_who_hears_of_it,
    channels_travel_in_messages,
    messages_of_all_sizes_arrive_whole,
    long_messages_arrive_whole_however_they_are_sent,
    a_process_can_have_many_channels,
    a_process_has_only_so_many_channels,
}
