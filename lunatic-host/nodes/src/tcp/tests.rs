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
