//! Nodes that find each other on loopback, without a guard.

use std::time::{Duration, Instant};

use super::*;
use crate::frame::{Route, State};
use crate::identity::NodeId;

const PATIENCE: Duration = Duration::from_secs(30);

struct Place {
    identity: Identity,
    inlet: Inlet,
    fabric: Arc<TcpFabric>,
    /// What has come and is not examined yet.
    came: Mutex<std::collections::VecDeque<Brought>>,
}

impl Place {
    fn open(name: &str, join: Option<SocketAddr>) -> Self {
        let (identity, inlet) = (Identity::new(name, 1).unwrap(), Inlet::new());
        let settings = TcpSettings {
            cluster: "test".into(),
            identity: identity.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            join: join.into_iter().map(|join| join.to_string().into()).collect(),
            guard: None,
            report: Arc::new(|_| ()),
        };
        let fabric = TcpFabric::open(settings, inlet.clone()).unwrap();
        Self {
            identity,
            inlet,
            fabric,
            came: Mutex::default(),
        }
    }

    /// Waits until this comes, and passes over everything else.
    fn hears(&self, expected: &Brought) {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            while let Some(brought) = self.came.lock().pop_front() {
                if brought == *expected {
                    return;
                }
            }
            self.came.lock().extend(self.inlet.take(Some(until)).unwrap().0);
        }
        panic!("{} never hears what it should", self.identity);
    }
}

/// A frame of a node.
fn frame(from: &Place, number: u8) -> Vec<u8> {
    let route = Route {
        from: from.identity.id("test"),
        to: NodeId(1),
        mine: 1,
        theirs: 1,
    };
    route.data(u64::from(number), State::default(), &vec![number; 60_000])
}

fn seen(place: &Place) -> Brought {
    Brought::Seen(place.identity.clone())
}

#[test]
fn nodes_find_each_other_through_one_of_them_and_frames_arrive() {
    let a = Place::open("a", None);
    let b = Place::open("b", Some(a.fabric.address()));
    a.hears(&seen(&b));
    b.hears(&seen(&a));
    let c = Place::open("c", Some(b.fabric.address()));
    a.hears(&seen(&c));
    c.hears(&seen(&a));
    for number in 0..100 {
        a.fabric.send(&c.identity, frame(&a, number));
    }
    for number in 0..100 {
        c.hears(&Brought::Frame(frame(&a, number)));
    }
    // What is queued arrives before the connection closes.
    let (gone, lost) = (c.identity.clone(), Brought::Lost(c.identity.clone()));
    let last = frame(&c, 200);
    c.fabric.send(&a.identity, last.clone());
    drop(c);
    a.hears(&Brought::Frame(last));
    b.hears(&lost);
    // Nobody is there any more.
    b.fabric.send(&gone, b"nothing".to_vec());
}

#[test]
fn only_loopback_is_accepted() {
    for address in ["0.0.0.0:0", "192.0.2.1:7", "[::]:0"] {
        let settings = TcpSettings {
            cluster: "test".into(),
            identity: Identity::new("a", 1).unwrap(),
            listen: address.parse().unwrap(),
            join: Vec::new(),
            guard: None,
            report: Arc::new(|_| ()),
        };
        let refused = TcpFabric::open(settings, Inlet::new()).map(drop);
        assert!(refused.unwrap_err().to_string().contains("is not on loopback"));
    }
}

/// Accepts a connection and introduces itself as this node.
fn greets(listener: &TcpListener, identity: &Identity) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    let asks = Greeting::read(&mut stream).unwrap();
    let greeting = Greeting {
        cluster: asks.cluster,
        identity: identity.clone(),
        address: listener.local_addr().unwrap(),
        known: Vec::new(),
    };
    greeting.write(&mut stream).unwrap();
    stream
}

#[test]
fn a_peer_that_reads_nothing_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = Place::open("a", Some(listener.local_addr().unwrap()));
    let peer = Identity::new("reads-nothing", 1).unwrap();
    // The first connection only asks who is there.
    drop(greets(&listener, &peer));
    let stream = greets(&listener, &peer);
    a.hears(&Brought::Seen(peer.clone()));
    // More than the buffers of a connection take.
    for _ in 0..QUEUED_MAX / 60_000 {
        a.fabric.send(&peer, frame(&a, 1));
    }
    // Until the write has no more room.
    let (mut buffer, mut came, mut same) = (vec![0; QUEUED_MAX], 0, 0);
    while same < 100 {
        let now = stream.peek(&mut buffer).unwrap();
        same = if now == came { same + 1 } else { 0 };
        came = now;
    }
    assert!(came < QUEUED_MAX - 60_000, "{came} bytes fit into the buffers");
    let (over, is_over) = std::sync::mpsc::channel();
    let ends = std::thread::spawn(move || {
        drop(a);
        over.send(()).unwrap();
    });
    is_over.recv_timeout(PATIENCE).expect("the fabric ends");
    ends.join().unwrap();
}
