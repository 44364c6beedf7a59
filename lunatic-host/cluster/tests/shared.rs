//! Nodes of one user on one machine, which share a secret.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod place;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lunatic_cluster::Certified;
use lunatic_nodes::Identity;
use lunatic_nodes::driver::Inlet;
use lunatic_nodes::fabric::{Brought, Fabric as _};
use lunatic_nodes::tcp::{TcpFabric, TcpSettings};
use parking_lot::Mutex;

use self::place::{CLUSTER, Place};

const SECRET: &[u8] = b"a secret with enough random bytes";

fn node(name: &str, secret: &[u8], join: Option<SocketAddr>) -> Place {
    let certified = Certified::with_secret(secret, CLUSTER, name).unwrap();
    Place::with(name, certified, Arc::default(), join)
}

#[test]
fn nodes_that_know_the_secret_connect_and_others_are_refused() {
    let a = node("a", SECRET, None);
    let stranger = node("b", b"another secret of the same length", Some(a.address()));
    a.says("was refused");
    stranger.says("cannot connect");
    let b = node("b", SECRET, Some(a.address()));
    assert_eq!(a.hears(&b.seen()), [], "the stranger would have come first");
    b.hears(&a.seen());
    let c = node("c", SECRET, Some(b.address()));
    a.hears(&c.seen());
    for (one, other) in [(&a, &b), (&b, &c), (&a, &c)] {
        one.reaches(other, 1);
        other.reaches(one, 2);
    }
}

/// Another user, who listens where a node is expected, and passes everything on.
#[derive(Default)]
struct Relay {
    passed: Mutex<Vec<u8>>,
    lies: AtomicBool,
}

impl Relay {
    fn start(target: SocketAddr) -> (Arc<Self>, SocketAddr) {
        let (relay, listener) = (Arc::new(Self::default()), TcpListener::bind("127.0.0.1:0").unwrap());
        let (passes, address) = (relay.clone(), listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(target).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (relay, from, to) = (passes.clone(), from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || relay.pass_on(from, to));
                }
            }
        });
        (relay, address)
    }

    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            self.passed.lock().extend(&buffer[..len]);
            if self.lies.load(Ordering::Relaxed) {
                buffer[len - 1] ^= 1;
            }
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        _ = to.shutdown(Shutdown::Both);
    }
}

#[test]
fn who_stands_between_two_nodes_reads_nothing_and_changes_nothing() {
    let a = node("a", SECRET, None);
    let (relay, address) = Relay::start(a.address());
    let b = node("b", SECRET, Some(address));
    a.hears(&b.seen());
    b.hears(&a.seen());
    b.reaches(&a, 1);
    let passed = relay.passed.lock().clone();
    assert!(passed.len() > b.frame(1).len(), "the frame came this way");
    assert!(!passed.windows(20).any(|part| part == [7; 20]));
    relay.lies.store(true, Ordering::Relaxed);
    b.fabric.send(&a.identity, b.frame(2));
    let before = a.hears(&b.lost());
    assert!(
        !before.iter().any(|brought| matches!(brought, Brought::Frame(_))),
        "{before:?}"
    );
}

#[test]
fn nodes_that_share_a_secret_stay_on_loopback() {
    let settings = TcpSettings {
        cluster: CLUSTER.into(),
        identity: Identity::new("a", 1).unwrap(),
        listen: "0.0.0.0:0".parse().unwrap(),
        join: Vec::new(),
        guard: Some(Arc::new(Certified::with_secret(SECRET, CLUSTER, "a").unwrap())),
        report: Arc::new(|_| ()),
    };
    let refused = TcpFabric::open(settings, Inlet::new()).map(drop);
    assert!(refused.unwrap_err().to_string().contains("is not on loopback"));
}
