//! Sockets. The scenarios are in `guests/net.rs`.

use lunatic_host::rights::net::Rule;
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, Program};

fn rules(rules: &[&str]) -> Vec<Rule> {
    rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

fn run(program: Program<'_>) {
    program.net(rules(&["*"])).run().normal();
}

crate::scenarios! {
    "net":
    an_echo_server => |program| run(program),
    a_read_that_times_out_takes_nothing => |program| run(program),
    a_write_that_times_out_says_how_much_was_written => |program| run(program),
    each_side_of_a_stream_ends_by_itself => |program| run(program),
    a_reset_is_an_error => |program| run(program),
    errors_have_the_kinds_of_std => |program| run(program),
    options => |program| run(program),
    peeking => |program| run(program),
    version_six => |program| run(program),
    a_socket_goes_with_a_message => |program| run(program),
    a_socket_goes_with_a_spawn => |program| run(program),
    a_socket_goes_with_mail => |program| run(program),
    a_failed_send_gives_the_socket_back => |program| run(program),
    a_socket_that_is_never_received_closes_with_its_receiver => |program| run(program),
    sockets_close_with_their_process => |program| run(program),
    a_process_that_waits_for_a_socket_can_be_killed => |program| run(program),
    several_accept_from_one_listener => |program| run(program),
    connections_need_a_right => |program| {
        let ended = program.log_denials().net(rules(&["127.0.0.1", "bind:127.0.0.1"])).run().normal();
        for line in [
            "(main) may not connect or send to \"127.0.0.2:1\" (--allow-net 127.0.0.2:1 would allow it)\n",
            "may not listen or receive on \"0.0.0.0:0\" (--allow-net bind:0.0.0.0:0 would allow it)\n",
            "may not look up \"example.com\" (--allow-net resolve:example.com would allow it)\n",
        ] {
            ended.reports(line);
        }
    },
    sockets_count_in_a_budget => |program| run(program),
    sockets_are_limited => |program| run(program),
    a_flood_is_slowed_down => |program| run(program),
    many_waits_are_frozen => |_| {
        let host = Host::with(|builder| builder.resident_max(0));
        run(host.program(&guests::bytes("net", Profile::Debug)).args(["many_waits_are_frozen"]));
    },
}
