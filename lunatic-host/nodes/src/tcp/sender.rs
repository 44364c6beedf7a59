//! What comes from one connection: only frames of the node that has introduced itself there, and no more than this node
//! can handle.

use std::time::{Duration, Instant};

use crate::driver::{Inlet, Lane};
use crate::fabric::Brought;
use crate::frame::{Body, Frame, is_hello};
use crate::identity::{Identity, NodeId};

/// How many hellos may come at once, and how long it takes until another one may come. A node sends one in half a
/// second, and one more for each that it gets.
const HELLOS_MAX: u32 = 32;
const HELLO_EVERY: Duration = Duration::from_millis(100);

/// The node at the other end of a connection that carries its frames.
pub(super) struct Sender {
    identity: Identity,
    id: NodeId,
    lane: Lane,
    hellos: u32,
    since: Instant,
}

impl Sender {
    pub(super) fn new(identity: &Identity, cluster: &str, inlet: &Inlet) -> Self {
        Self {
            identity: identity.clone(),
            id: identity.id(cluster),
            lane: inlet.lane(),
            hellos: HELLOS_MAX,
            since: Instant::now(),
        }
    }

    /// Brings a frame to the node. Waits while too many frames of this connection wait, so that TCP slows its sender
    /// down. False if the frame names another sender, or if `is_over`: then the connection ends.
    pub(super) fn bring(&mut self, frame: Vec<u8>, is_over: impl Fn() -> bool) -> bool {
        match self.judges(&frame) {
            Judged::Forged => false,
            Judged::Ignored => true,
            Judged::Good => self.lane.bring(Brought::Frame(frame), is_over),
        }
    }

    fn judges(&mut self, bytes: &[u8]) -> Judged {
        let Some(frame) = Frame::read(bytes) else {
            return Judged::Ignored;
        };
        // The number is a hash that a liar could make fit, so a hello must also have the identity itself.
        let is_own = match &frame.body {
            Body::Hello(hello) => hello.identity == self.identity,
            _ => true,
        };
        if frame.route.from != self.id || !is_own {
            return Judged::Forged;
        }
        match !is_hello(bytes) || self.may_greet() {
            true => Judged::Good,
            false => Judged::Ignored,
        }
    }

    fn may_greet(&mut self) -> bool {
        let passed = self.since.elapsed().as_millis() / HELLO_EVERY.as_millis();
        if passed > 0 {
            self.since = Instant::now();
            self.hellos = self.hellos.saturating_add(passed as u32).min(HELLOS_MAX);
        }
        self.hellos = match self.hellos.checked_sub(1) {
            Some(rest) => rest,
            None => return false,
        };
        true
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Good,
    /// It claims to be from another node.
    Forged,
    /// It is no frame of this version, or one hello too many.
    Ignored,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Hello, Route, State, VERSIONS};

    const CLUSTER: &str = "c";

    fn identity(name: &str) -> Identity {
        Identity::new(name, 1).unwrap()
    }

    fn hello(from: &str, claims: &str) -> Vec<u8> {
        let hello = Hello {
            versions: VERSIONS,
            asks: true,
            window: 1 << 20,
            cluster: CLUSTER.into(),
            identity: identity(claims),
            proof: Vec::new(),
        };
        route(from).hello(&hello, |_| Vec::new())
    }

    fn route(from: &str) -> Route {
        Route {
            from: identity(from).id(CLUSTER),
            to: NodeId(2),
            mine: 3,
            theirs: 4,
        }
    }

    #[test]
    fn only_frames_of_the_node_itself_are_taken() {
        let mut sender = Sender::new(&identity("a"), CLUSTER, &Inlet::new());
        let data = |from| route(from).data(1, State::default(), &[0]);
        for (frame, judged) in [
            (hello("a", "a"), Judged::Good),
            (data("a"), Judged::Good),
            (data("b"), Judged::Forged),
            (hello("b", "b"), Judged::Forged),
            (hello("a", "b"), Judged::Forged),
            (b"nonsense".to_vec(), Judged::Ignored),
            (Vec::new(), Judged::Ignored),
        ] {
            assert_eq!(sender.judges(&frame), judged, "{frame:?}");
        }
    }

    #[test]
    fn a_flood_of_hellos_is_cut_down() {
        let mut sender = Sender::new(&identity("a"), CLUSTER, &Inlet::new());
        let begun = Instant::now();
        let taken = (0..100_000)
            .filter(|_| sender.judges(&hello("a", "a")) == Judged::Good)
            .count();
        let earned = begun.elapsed().as_millis() / HELLO_EVERY.as_millis();
        assert!(taken as u128 <= u128::from(HELLOS_MAX) + earned + 1, "{taken}");
        assert!(taken >= HELLOS_MAX as usize);
    }

    #[test]
    fn a_sender_waits_for_the_node_and_ends_with_it() {
        let inlet = Inlet::new();
        let mut sender = Sender::new(&identity("a"), CLUSTER, &inlet);
        let frame = route("a").data(1, State::default(), &vec![0; 60_000]);
        let mut count = 0;
        // Nobody takes the frames; after some megabytes the sender waits.
        while sender.bring(frame.clone(), || count * frame.len() > crate::driver::LANE_MAX) {
            count += 1;
        }
        assert!(count * frame.len() <= crate::driver::LANE_MAX + 2 * frame.len());
        let (taken, _) = inlet.take(None).unwrap();
        assert!(!taken.is_empty() && sender.bring(frame, || true));
    }
}
