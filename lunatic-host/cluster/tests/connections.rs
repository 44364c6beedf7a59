//! Connections between nodes with certificates, and attempts of others to get in.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod place;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use lunatic_nodes::fabric::{Brought, Fabric as _};
use lunatic_nodes::tcp::GREETING_MAX;

use self::place::{CLUSTER, DAY, PATIENCE, Place, World};

#[test]
fn nodes_with_certificates_of_one_authority_connect() {
    let world = World::new(CLUSTER);
    let a = world.node("a@host1", None);
    let b = world.node("b@host2", Some(a.address()));
    a.hears(&b.seen());
    b.hears(&a.seen());
    let c = world.node("c", Some(b.address()));
    a.hears(&c.seen());
    c.hears(&a.seen());
    for (one, other) in [(&a, &b), (&b, &c), (&a, &c)] {
        one.reaches(other, 1);
        other.reaches(one, 2);
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused_by_both_sides() {
    let (world, other) = (World::new(CLUSTER), World::new(CLUSTER));
    let a = world.node("a", None);
    let stranger = other.node("b", Some(a.address()));
    a.says("was refused");
    stranger.says("cannot connect");
    let b = world.node("b", Some(a.address()));
    // The stranger would have come first.
    let before = a.hears(&b.seen());
    assert_eq!(before, []);
}

#[test]
fn a_node_can_claim_only_the_name_in_its_certificate() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let liar = Place::open("b", &world.invite("mallory"), None, Some(a.address()));
    a.says("was refused");
    liar.says("cannot connect");
    let b = world.node("b", Some(a.address()));
    assert_eq!(a.hears(&b.seen()), []);
}

#[test]
fn a_node_cannot_send_frames_of_another() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let b = world.node("b", Some(a.address()));
    let mallory = world.node("mallory", Some(a.address()));
    a.hears(&mallory.seen());
    mallory.hears(&a.seen());
    b.hears(&a.seen());
    mallory.reaches(&a, 1);
    let forged = b.frame(2);
    mallory.fabric.send(&a.identity, forged.clone());
    // The connection ends, and the frame is not taken.
    let before = a.hears(&mallory.lost());
    assert!(!before.contains(&Brought::Frame(forged)));
    b.reaches(&a, 3);
}

#[test]
fn an_expired_certificate_ends_connections_and_is_refused() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let short = world.invite_for("b", Duration::from_secs(4));
    let b = Place::open("b", &short, None, Some(a.address()));
    a.hears(&b.seen());
    b.hears(&a.seen());
    b.says("ends within seven days");
    a.hears(&b.lost());
    b.hears(&a.lost());
    b.tries_in_vain(&a);
    // With a new certificate in the place of the old one, it is back.
    world.authority.invite("b", DAY, &short, true).unwrap();
    b.says("now uses a new certificate");
    a.hears(&b.seen());
    b.reaches(&a, 1);
}

#[test]
fn a_revoked_certificate_ends_connections_and_is_refused() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let b = world.node("b", Some(a.address()));
    let c = world.node("c", Some(a.address()));
    a.hears(&b.seen());
    b.hears(&a.seen());
    c.hears(&a.seen());
    b.reaches(&a, 1);
    assert_eq!(world.authority.revoke("b").unwrap(), 1);
    a.says("read again");
    a.hears(&b.lost());
    b.hears(&a.lost());
    b.tries_in_vain(&a);
    c.reaches(&a, 2);
    assert_eq!(world.authority.revoke("b").unwrap(), 0);
    // A later certificate of the same node is a good one.
    world.authority.invite("b", DAY, &world.path("b"), true).unwrap();
    a.hears(&b.seen());
    b.reaches(&a, 3);
}

#[test]
fn a_new_certificate_is_taken_without_losing_a_frame() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let b = world.node("b", Some(a.address()));
    a.hears(&b.seen());
    b.hears(&a.seen());
    // At most so many frames are on their way: a queue that is full drops frames.
    let (on_way, taken) = sync_channel(100);
    std::thread::scope(|scope| {
        let (b, to) = (&b, &a.identity);
        let sends = scope.spawn(move || {
            let mut number = 0;
            while on_way.send(()).is_ok() {
                number += 1;
                b.fabric.send(to, b.frame(number));
            }
            number
        });
        // Ends with this function, however it ends, and the sender with it.
        let taken = taken;
        let (mut next, mut renewed, start) = (1, 0, Instant::now());
        // Until frames have come over the third connection.
        let mut after = None;
        while after.is_none_or(|after| next < after + 100) {
            assert!(start.elapsed() < PATIENCE, "{renewed} connections were replaced");
            match a.next() {
                Brought::Frame(frame) => {
                    assert_eq!(frame, b.frame(next), "after {renewed} replaced connections");
                    taken.recv().expect("the sender sends until it is told");
                    next += 1;
                    if next == 100 {
                        world.authority.invite("b", DAY, &world.path("b"), true).unwrap();
                    }
                }
                Brought::Lost(_) => {
                    renewed += 1;
                    match renewed {
                        1 => world.authority.invite("b", DAY, &world.path("b"), true).unwrap(),
                        _ => after = Some(next),
                    }
                }
                Brought::Seen(_) => {}
            }
        }
        drop(taken);
        let last = sends.join().unwrap();
        while next <= last {
            if let Brought::Frame(frame) = a.next() {
                assert_eq!(frame, b.frame(next));
                next += 1;
            }
        }
    });
}

#[test]
fn an_invalid_file_changes_nothing() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let b = world.node("b", Some(a.address()));
    a.hears(&b.seen());
    for text in [
        "nonsense".to_owned(),
        std::fs::read_to_string(world.invite("other")).unwrap(),
    ] {
        place::write_private(&world.path("a"), &text);
        a.says("stays in force");
    }
    std::fs::write(world.authority.revoked_list(), "nonsense").unwrap();
    b.says("stays in force");
    let c = world.node_without_list("c", &a);
    a.hears(&c.seen());
    c.reaches(&a, 1);
}

#[test]
fn plain_bytes_get_no_answer_but_an_alert() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    for bytes in [
        &b"LUNATCP1\0\0\0\0"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16; 70_000],
        b"",
    ] {
        let mut stream = TcpStream::connect(a.address()).unwrap();
        // The node may close it while it is written.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // An alert of TLS, or nothing.
        assert!(answer.len() < 16, "{answer:?}");
    }
    let b = world.node("b", Some(a.address()));
    assert_eq!(a.hears(&b.seen()), []);
}

#[test]
fn half_open_connections_are_few_and_end() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let connect = || TcpStream::connect(a.address()).unwrap();
    let half_open: Vec<_> = (0..4 * GREETING_MAX).map(|_| connect()).collect();
    // A node gets in all the same.
    let b = world.node("b", Some(a.address()));
    a.hears(&b.seen());
    b.reaches(&a, 1);
    // All end, the last ones when their time is over, however slowly they drip.
    let start = Instant::now();
    for mut stream in half_open {
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // The first bytes of a handshake, one at a time.
        let mut bytes = [0x16, 0x03, 0x01, 0x3f, 0xff].into_iter().chain(std::iter::repeat(0));
        loop {
            assert!(start.elapsed() < PATIENCE);
            let written = stream.write_all(&[bytes.next().unwrap()]);
            match stream.read(&mut [0; 16]) {
                Ok(0) => break,
                Err(error) if !is_timeout(&error) => break,
                _ if written.is_err() => break,
                _ => {}
            }
        }
    }
    b.reaches(&a, 2);
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}

#[test]
fn a_node_that_floods_another_harms_nobody_else() {
    let world = World::new(CLUSTER);
    let a = world.node("a", None);
    let b = world.node("b", Some(a.address()));
    let mallory = world.node("mallory", Some(a.address()));
    for node in [&b, &mallory] {
        a.hears(&node.seen());
        node.hears(&a.seen());
    }
    // Far more than a node may have in its queue, sent while it takes nothing.
    let long = vec![7; 1 << 20];
    for _ in 0..200 {
        mallory.fabric.send(&a.identity, long.clone());
    }
    // Such a frame ends the connection, as no node sends one.
    a.hears(&mallory.lost());
    b.reaches(&a, 1);
    for number in 0..100_000 {
        mallory.fabric.send(&a.identity, mallory.frame(number));
    }
    b.reaches(&a, 2);
}
