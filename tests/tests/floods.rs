//! Guests that take as much of the network and of descriptors as they can: others on the same host go on, and all of it is given
//! back. The scenarios are in `guests/floods/`.
//!
//! A test program of its own, whose tests run one at a time: descriptors are counted for the whole program.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lunatic_host::wasi::Output;
use lunatic_tests::folders::with_folders;
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, Program};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection};

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
    assert_eq!(open_descriptors(), open, "all that guests had open is closed");
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

/// Serves one client: so many tickets, each in a record of its own, and then a byte.
fn send_tickets(listener: &TcpListener, own: &rcgen::CertifiedKey<rcgen::KeyPair>, times: u64) {
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let mut config = config
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    config.enable_secret_extraction = true;
    config.send_tls13_tickets = 0;
    let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
    let (mut tcp, _) = listener.accept().unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).unwrap();
    }
    let (first, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = connection.dangerous_extract_secrets().unwrap().tx
    else {
        panic!("both sides prefer this cipher");
    };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
    let record = |number: u64, text: &[u8], kind: u8| {
        // What it is stands behind the text.
        let mut sealed = [text, &[kind]].concat();
        let len = u16::try_from(sealed.len() + AES_256_GCM.tag_len())
            .unwrap()
            .to_be_bytes();
        let head = [23, 3, 3, len[0], len[1]];
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        nonce[4..]
            .iter_mut()
            .zip(number.to_be_bytes())
            .for_each(|(byte, own)| *byte ^= own);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(head), &mut sealed)
            .unwrap();
        [&head[..], &sealed].concat()
    };
    // Good for an hour; a nonce and a ticket of a byte each, and no extension.
    let ticket = [4, 0, 0, 15, 0, 0, 14, 16, 0, 0, 0, 0, 1, 7, 0, 1, 7, 0, 0];
    let (handshake, data) = (22, 23);
    let tickets = (first..first + times).flat_map(|number| record(number, &ticket, handshake));
    tcp.write_all(&tickets.collect::<Vec<u8>>()).unwrap();
    tcp.write_all(&record(first + times, b"!", data)).unwrap();
    // Until the other side has gone.
    let _ = tcp.read(&mut [0]);
}

#[test]
fn a_server_that_sends_tickets_only_keeps_nobody_else_waiting() {
    let _one = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let own = identity();
    std::thread::scope(|scope| {
        scope.spawn(|| send_tickets(&listener, &own, 200_000));
        let host = Host::with_one_worker();
        let program = host.program(&guests::bytes("floods", Profile::Debug));
        let program = program.args(["a_server_that_sends_tickets_only", &port]);
        let ended = with_certificate(program.net(vec!["127.0.0.1".parse().unwrap()]), &own).run();
        println!("{}", ended.stdout);
        ended.normal();
    });
}

#[test]
fn every_scenario_has_a_test() {
    assert_eq!(guests::scenarios("floods").len(), 12);
}
