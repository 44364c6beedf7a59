//! Programs that take as much of the network and of descriptors as they can, and one that goes on beside them.

mod descriptors;
mod handover;
mod sockets;
mod tls;

use std::io::{Read, Write};

use lunatic_test_guests::{listener, pair};

use descriptors::*;
use handover::*;
use sockets::*;
use tls::*;

lunatic_test_guests::scenarios![
    bystander,
    hoards_descriptors,
    accepts_at_the_limit,
    many_folders,
    files_that_are_closed_are_given_back,
    gifts_that_nobody_takes,
    gifts_to_itself_and_to_the_dead,
    connects_that_nobody_accepts,
    datagrams_that_nobody_reads,
    half_open_handshakes,
    configurations,
];

/// Opens some of each kind, uses them, and closes them.
pub(crate) fn works() {
    let (mut client, mut server) = pair();
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    std::fs::write("/data/bystander", "x").unwrap();
    assert_eq!(std::fs::read("/data/bystander").unwrap(), b"x");
}

fn bystander() {
    for _ in 0..20 {
        works();
    }
}
