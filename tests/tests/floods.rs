//! Guests that take as much of the network and of descriptors as they can: others on the same host go on, and all of it is given
//! back. The scenarios are in `guests/floods/`.
//!
//! A test program of its own, whose tests run one at a time: descriptors are counted for the whole program.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lunatic_host::wasi::Output;
use lunatic_tests::folders::with_folders;
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, Program};

/// After this time what is waited for is taken not to come. Nothing else depends on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What guests print, as it comes.
struct Lines(Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // If nobody listens any more, nobody misses it.
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines() -> (Output, impl FnMut() -> String) {
    let (send, receive): (_, Receiver<Vec<u8>>) = channel();
    let mut text = Vec::new();
    let next = move || loop {
        if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            return String::from_utf8(line).unwrap().trim().to_owned();
        }
        text.extend(receive.recv_timeout(PATIENCE).expect("the guest says something"));
    };
    (Output::to_writer(Lines(send)), next)
}

/// The descriptors that this program has open.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// While it lives, no other test runs.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one test at a time, on a host of its own, and looks at what is left of it.
fn on_host(descriptors: u32, test: impl FnOnce(&Host)) {
    let _one = alone();
    let host = Host::with(|builder| builder.workers(2).descriptors_max(descriptors));
    // What is made when it is first needed is there.
    with_folders(|data, _| _ = scenario(&host, "bystander").dir(data, "/data", false).run().normal());
    keeps_nothing(&host);
    let open = open_descriptors();
    test(&host);
    keeps_nothing(&host);
    // The host has some open for a moment, such as files of `/proc`: what a guest left would stay.
    let deadline = Instant::now() + PATIENCE;
    while open_descriptors() > open {
        assert!(
            Instant::now() < deadline,
            "{} are open, and were {open}",
            open_descriptors()
        );
        std::thread::yield_now();
    }
}

/// All that was kept for guests is given back. What has ended may be on its way out still.
#[track_caller]
fn keeps_nothing(host: &Host) {
    let kept = || {
        let figures = host.figures();
        (figures.descriptors, figures.kept_bytes)
    };
    let deadline = Instant::now() + PATIENCE;
    while kept() != (0, 0) {
        assert!(
            Instant::now() < deadline,
            "so many descriptors and bytes are kept: {:?}",
            kept()
        );
        std::thread::yield_now();
    }
}

fn scenario<'a>(host: &'a Host, name: &'a str) -> Program<'a> {
    let rules = vec!["127.0.0.1".parse().unwrap(), "bind:127.0.0.1".parse().unwrap()];
    let program = host.program(&guests::bytes("floods", Profile::Debug));
    program.net(rules).args([name])
}

/// Runs a scenario that needs nothing from outside but a folder.
fn run(descriptors: u32, name: &str) {
    on_host(descriptors, |host| {
        with_folders(|data, _| _ = scenario(host, name).dir(data, "/data", false).run().normal());
    });
}

/// A certificate for `localhost`, with its key.
fn identity() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn with_certificate<'a>(program: Program<'a>, own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Program<'a> {
    let program = program.env("CERTIFICATE", &own.cert.pem());
    program.env("KEY", &own.signing_key.serialize_pem())
}

#[test]
fn a_hoard_of_descriptors_leaves_others_theirs() {
    const MAX: u32 = 400;
    on_host(MAX, |host| {
        with_folders(|data, _| {
            let (stdout, mut line) = lines();
            let greedy = scenario(host, "hoards_descriptors").dir(data, "/data", false);
            let greedy = greedy.stdout(stdout).start();
            let open: usize = line().strip_prefix("full ").unwrap().parse().unwrap();
            // A sandbox has three fifths at most, if nobody else has any.
            assert!(open > 200 && open <= MAX as usize * 3 / 5, "{open}");
            assert!(host.figures().descriptors >= open);
            for _ in 0..3 {
                scenario(host, "bystander").dir(data, "/data", false).run().normal();
            }
            assert!(host.figures().descriptors <= MAX as usize);
            drop(greedy);
        });
    });
}

#[test]
fn a_listener_without_descriptors_loses_no_connection() {
    on_host(100, |host| {
        with_folders(|data, _| {
            let (stdout, mut line) = lines();
            let server = scenario(host, "accepts_at_the_limit").dir(data, "/data", false);
            let server = server.stdout(stdout).start();
            let port: u16 = line().parse().unwrap();
            let [mut first, mut second] = [(); 2].map(|()| TcpStream::connect(("127.0.0.1", port)).unwrap());
            second.write_all(b"kept").unwrap();
            second.shutdown(Shutdown::Write).unwrap();
            first.write_all(b"x").unwrap();
            assert_eq!(server.wait_timeout(PATIENCE), Some(lunatic_host::ExitReason::Normal));
        });
    });
}

#[test]
fn folders_of_children_count_as_descriptors() {
    run(400, "many_folders");
}

#[test]
fn files_that_are_closed_make_room_and_nothing_else_does() {
    run(100, "files_that_are_closed_are_given_back");
}

#[test]
fn who_sends_sockets_pays_until_they_are_received() {
    run(4000, "gifts_that_nobody_takes");
}

#[test]
fn sockets_sent_in_vain_come_back_or_close() {
    run(1000, "gifts_to_itself_and_to_the_dead");
}

#[test]
fn a_flood_of_unix_connections_waits_only_as_far_as_there_is_room() {
    run(1000, "connects_that_nobody_accepts");
}

#[test]
fn a_flood_of_datagrams_is_kept_only_as_far_as_it_is_paid_for() {
    run(1000, "datagrams_that_nobody_reads");
}

#[test]
fn half_open_handshakes_use_up_their_own_budget() {
    on_host(10_000, |host| {
        with_certificate(scenario(host, "half_open_handshakes").quiet(), &identity())
            .run()
            .normal();
    });
}

#[test]
fn configurations_of_tls_are_paid_for() {
    on_host(1000, |host| {
        with_certificate(scenario(host, "configurations"), &identity())
            .run()
            .normal();
    });
}

#[test]
fn every_scenario_has_a_test() {
    let _one = alone();
    assert_eq!(guests::scenarios("floods").len(), 11);
}
