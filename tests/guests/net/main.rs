//! Sockets. All of it is on loopback.

mod futures;
mod handover;
mod limits;
mod tcp;
mod tls;
mod udp;
mod unix;

use std::io::{self, ErrorKind, Read, Write};

use lunatic::net::TcpStream;
use lunatic_test_guests::{listener, pair};

use futures::*;
use handover::*;
use limits::*;
use tcp::*;
use tls::*;
use udp::*;
use unix::*;

lunatic_test_guests::scenarios![
    an_echo_server,
    a_read_that_times_out_takes_nothing,
    a_write_that_times_out_says_how_much_was_written,
    each_side_of_a_stream_ends_by_itself,
    a_reset_is_an_error,
    errors_have_the_kinds_of_std,
    options,
    peeking,
    version_six,
    a_socket_goes_with_a_message,
    a_socket_goes_with_a_spawn,
    a_socket_goes_with_mail,
    a_failed_send_gives_the_socket_back,
    a_call_that_times_out_has_handed_its_socket_over,
    a_socket_that_is_never_received_closes_with_its_receiver,
    sockets_close_with_their_process,
    a_process_that_waits_for_a_socket_can_be_killed,
    several_accept_from_one_listener,
    futures_wait_for_sockets_beside_other_things,
    connections_need_a_right,
    sockets_count_in_a_budget,
    sockets_are_limited,
    a_flood_is_slowed_down,
    many_waits_are_frozen,
    datagrams,
    a_datagram_that_does_not_come_times_out,
    datagrams_need_a_right,
    multicast,
    unix_streams,
    unix_paths_are_in_the_folders_of_the_process,
    names_are_looked_up,
    tls_both_ways,
    tls_agrees_on_a_protocol,
    tls_picks_a_certificate_by_name,
    tls_trusts_nobody_else,
    tls_client_certificates,
    tls_certificates_are_replaced,
    tls_ends_are_told_from_losses,
    tls_streams_are_handed_over,
    tls_write_timeouts_lose_nothing,
    tls_with_what_is_no_tls,
];

fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..len]).unwrap();
    }
}

/// Asserts that a stream answers.
fn answers(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this must not work"),
        Err(error) => error.kind(),
    }
}
