//! What a node takes from anybody: frames of random bytes, frames of its peers with something changed, and a peer that knows the
//! secret of the cluster and says what it likes.

mod world;

use std::time::Duration;

use lunatic_kernel::exit::Loss;
use lunatic_nodes::fabric::FabricEvent;
use lunatic_nodes::frame::{Body, Frame, Hello, PIECES_LEN_MAX, Route, State, VERSIONS};
use lunatic_nodes::node::{LINES_MAX, Refusal};
use lunatic_nodes::random::Random;
use lunatic_nodes::record::Record;
use lunatic_nodes::trust::Trust as _;
use lunatic_nodes::{Event, Identity, Node};

use world::{CLUSTER, secret, settings};

/// A node under attack, a good peer of it, and who attacks.
struct Attack {
    node: Node,
    good: Node,
    bad: Identity,
    /// The sessions of the bad one and of the node, once they are up.
    route: Route,
    random: Random,
    seq: u64,
    now: Duration,
}

impl Attack {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let identity = |name| Identity::new(name, 1).unwrap();
        let mut node = |name| Node::new(settings(&identity(name), &mut random), secret());
        let (node, good) = (node("node"), node("good"));
        let bad = identity("bad");
        let route = Route {
            from: bad.id(CLUSTER),
            to: node.id(),
            mine: 0,
            theirs: 0,
        };
        let mut attack = Self {
            node,
            good,
            bad,
            route,
            random,
            seq: 0,
            now: Duration::ZERO,
        };
        let other = attack.good.identity().clone();
        attack.node.handle(Duration::ZERO, FabricEvent::Seen(other));
        attack.exchange();
        attack.greet();
        attack
    }

    /// Lets the node and its good peer talk for a while; what the node sends to the bad one.
    fn exchange(&mut self) -> Vec<Vec<u8>> {
        let mut for_bad = Vec::new();
        for _ in 0..6 {
            self.now += Duration::from_millis(50);
            self.node.poll(self.now);
            for (to, frame) in self.node.take_frames() {
                match to == self.bad {
                    true => for_bad.push(frame),
                    false => self.good.handle(self.now, FabricEvent::Frame(&frame)),
                }
            }
            self.good.poll(self.now);
            for (_, frame) in self.good.take_frames() {
                self.node.handle(self.now, FabricEvent::Frame(&frame));
            }
        }
        for_bad
    }

    /// The bad one comes up with the node, as any node does.
    fn greet(&mut self) {
        self.seq = 0;
        self.route.mine += 1 + self.random.below(1 << 40);
        self.route.theirs = 0;
        for _ in 0..2 {
            let hello = self.hello();
            self.node.handle(self.now, FabricEvent::Frame(&hello));
            for frame in self.exchange() {
                self.route.theirs = Frame::read(&frame).expect("a node sends good frames").route.mine;
            }
        }
        // The keys, without which nothing else is taken.
        let mut keys = vec![3, 21, 0, 0, 0, 1];
        keys.extend([9; 20]);
        self.send(&keys);
        assert!(self.node.is_up(self.route.from), "it is a peer like any other");
    }

    fn hello(&self) -> Vec<u8> {
        let hello = Hello {
            versions: VERSIONS,
            asks: true,
            window: 1 << 20,
            cluster: CLUSTER.into(),
            identity: self.bad.clone(),
            proof: Vec::new(),
        };
        self.route.hello(&hello, |statement| secret().prove(statement))
    }

    fn send(&mut self, pieces: &[u8]) {
        self.seq += 1;
        let frame = self.route.data(self.seq, State::default(), pieces);
        self.node.handle(self.now, FabricEvent::Frame(&frame));
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let len = 1 + self.random.below(max);
        (0..len).map(|_| self.random.number() as u8).collect()
    }

    /// A piece that is right, of a record that is mostly right in its first bytes.
    fn record(&mut self) -> Vec<u8> {
        let mut record = vec![(1 + self.random.below(19)) as u8];
        for _ in 0..self.random.below(4) {
            record.extend((1 + self.random.below(3)).to_le_bytes());
        }
        if self.random.once_in(2) {
            record.extend(self.bytes(80));
        }
        let mut pieces = vec![3];
        pieces.extend((record.len() as u32).to_le_bytes());
        pieces.extend(record);
        pieces
    }

    fn attack(&mut self) {
        match self.random.below(6) {
            0 => {
                let noise = self.bytes(200);
                self.node.handle(self.now, FabricEvent::Frame(&noise));
            }
            1 => {
                let mut frame = match self.random.once_in(2) {
                    true => self.hello(),
                    false => {
                        let record = self.record();
                        self.route.data(
                            self.seq + 1,
                            State {
                                ack: 0,
                                limit: u64::MAX,
                            },
                            &record,
                        )
                    }
                };
                for _ in 0..=self.random.below(3) {
                    let at = self.random.below(frame.len() as u64) as usize;
                    frame[at] ^= 1 << self.random.below(8);
                }
                self.node.handle(self.now, FabricEvent::Frame(&frame));
            }
            2 => {
                // Pieces of records that never end.
                let mut pieces = vec![1, self.random.below(40) as u8, 0];
                pieces.extend((self.random.below(300 << 20) as u32).to_le_bytes());
                let bytes = self.bytes(1000);
                pieces.extend((bytes.len() as u32).to_le_bytes());
                pieces.extend(bytes);
                self.send(&pieces);
            }
            3 => {
                let noise = self.bytes(1000);
                self.send(&noise);
            }
            _ => {
                let record = self.record();
                self.send(&record);
            }
        }
    }
}

fn check(seed: u64) {
    let mut attack = Attack::new(seed);
    for _ in 0..200 {
        attack.attack();
        if attack.random.once_in(10) {
            attack.exchange();
        }
        while let Some(event) = attack.node.next_event() {
            if let Event::Down { node, loss, .. } = event {
                assert_eq!(node, attack.route.from, "the good peer is lost by {loss:?}");
            }
        }
        if !attack.node.is_up(attack.route.from) {
            attack.greet();
        }
    }
    let figures = attack.node.figures();
    assert!(figures.lines <= 3, "{figures:?}");
    assert!(figures.queued < 4 << 20, "{figures:?}");
    assert!(figures.foreign_rows <= 65_536, "{figures:?}");
    assert!(attack.node.is_up(attack.good.id()), "the good peer is well");
}

fn check_all(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!("it was the attack of seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn hostile_frames_neither_break_a_node_nor_harm_another() {
    check_all(0..100);
}

/// `ATTACKS` says how many, from seed `FROM`.
#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_attacks() {
    let variable = |name, or| std::env::var(name).map_or(or, |value| value.parse().expect("a number"));
    let (from, count): (u64, u64) = (variable("FROM", 1000), variable("ATTACKS", 100_000));
    check_all(from..from + count);
}

/// A record as the only piece of a frame, which it fits into.
fn piece(record: &[u8]) -> Vec<u8> {
    let mut pieces = vec![3];
    pieces.extend((record.len() as u32).to_le_bytes());
    pieces.extend(record);
    pieces
}

#[test]
fn who_requests_more_of_a_module_than_it_takes_is_dropped() {
    let mut attack = Attack::new(7);
    let module = vec![7_u8; 1 << 20];
    let hash = lunatic_nodes::store::hash(&module);
    attack.node.keep_module(hash, module.into());
    let get = piece(&Record::Get { hash, offset: 0 }.write());
    let count = PIECES_LEN_MAX / get.len();
    let pieces = get.repeat(count);
    assert!(count * (48 << 10) > 64 << 20, "a frame requests much");
    attack.send(&pieces);
    let mut losses = Vec::new();
    while let Some(event) = attack.node.next_event() {
        if let Event::Down { node, loss, .. } = event {
            losses.push((node, loss));
        }
    }
    assert_eq!(losses, [(attack.route.from, Loss::Overflow)]);
    assert!(attack.node.figures().queued < 1 << 20, "{:?}", attack.node.figures());
    assert!(attack.node.is_up(attack.good.id()), "the good peer is well");
    // What a node requests that waits for answers is far less.
    attack.exchange();
    attack.greet();
    for _ in 0..64 {
        attack.send(&get);
    }
    assert!(attack.node.is_up(attack.route.from));
}

#[test]
fn who_grants_much_gets_it_a_few_megabytes_at_a_time() {
    let mut attack = Attack::new(8);
    let module = vec![7_u8; 1 << 20];
    let hash = lunatic_nodes::store::hash(&module);
    attack.node.keep_module(hash, module.into());
    let get = piece(&Record::Get { hash, offset: 0 }.write()).repeat(150);
    attack.seq += 1;
    let all = State {
        ack: 0,
        limit: u64::MAX,
    };
    let frame = attack.route.data(attack.seq, all, &get);
    attack.node.handle(attack.now, FabricEvent::Frame(&frame));
    let mut bytes = Vec::new();
    // It is due again at once, until all is sent.
    while attack.node.next_due().is_some_and(|due| due <= attack.now) || bytes.is_empty() {
        attack.node.poll(attack.now);
        while attack.node.next_event().is_some() {}
        let frames = attack.node.take_frames();
        bytes.push(frames.iter().map(|(_, frame)| frame.len()).sum::<usize>());
    }
    assert!(bytes.iter().all(|bytes| *bytes < 5 << 20), "{bytes:?}");
    assert!(bytes.iter().sum::<usize>() > 150 * (48 << 10), "{bytes:?}");
}

#[test]
fn nobody_comes_in_without_the_secret() {
    let mut attack = Attack::new(1);
    let mut stranger = attack.bad.clone();
    stranger.incarnation = 2;
    let route = Route {
        from: stranger.id(CLUSTER),
        mine: 5,
        theirs: 0,
        ..attack.route
    };
    let hello = Hello {
        versions: VERSIONS,
        asks: true,
        window: 1 << 20,
        cluster: CLUSTER.into(),
        identity: stranger,
        proof: Vec::new(),
    };
    let frame = route.hello(&hello, |_| vec![0; 32]);
    attack.node.handle(attack.now, FabricEvent::Frame(&frame));
    let frames = attack.exchange();
    assert!(attack.node.members().all(|member| member.node != route.from));
    // And it has not cost its namesake the epoch.
    assert!(attack.node.is_up(attack.route.from));
    let is_hello = |frame: &Vec<u8>| matches!(Frame::read(frame).map(|frame| frame.body), Some(Body::Hello(_)));
    assert!(!frames.iter().any(is_hello), "no answer");
}

/// Accepts every proof, and takes its first byte for the key; counts what it judges.
#[derive(Default, Clone)]
struct Counts(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl lunatic_nodes::trust::Trust for Counts {
    fn prove(&self, _: &[u8]) -> Vec<u8> {
        vec![0]
    }

    fn judge(&self, _: &Identity, _: &[u8], _: &[u8]) -> Option<lunatic_nodes::trust::PeerRights> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Some(lunatic_nodes::trust::PeerRights::ALL)
    }

    fn key(&self, _: &Identity, proof: &[u8]) -> Option<[u8; 32]> {
        Some([*proof.first()?; 32])
    }
}

/// A node that is greeted by others with made-up proofs.
struct Greeted {
    node: Node,
    counts: Counts,
}

impl Greeted {
    fn new() -> Self {
        let counts = Counts::default();
        let identity = Identity::new("node", 1).unwrap();
        let node = Node::new(settings(&identity, &mut Random(3)), Box::new(counts.clone()));
        Self { node, counts }
    }

    /// Greets the node. True if that made it know the greeting one.
    fn greet(&mut self, name: &str, incarnation: u64, session: u64, key: u8) -> bool {
        let identity = Identity::new(name, incarnation).unwrap();
        let route = Route {
            from: identity.id(CLUSTER),
            to: self.node.id(),
            mine: session,
            theirs: 0,
        };
        let hello = Hello {
            versions: VERSIONS,
            asks: true,
            window: 1 << 20,
            cluster: CLUSTER.into(),
            identity,
            proof: Vec::new(),
        };
        let frame = route.hello(&hello, |_| vec![key]);
        self.node.handle(Duration::ZERO, FabricEvent::Frame(&frame));
        self.node.members().any(|member| member.node == route.from)
    }

    fn judged(&self) -> usize {
        self.counts.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[test]
fn an_earlier_start_is_refused_once_a_later_one_has_proved_its_identity() {
    let mut greeted = Greeted::new();
    assert!(greeted.greet("other", 5, 10, 1));
    // The later start is not connected yet.
    assert!(greeted.greet("other", 6, 10, 1));
    assert!(!greeted.greet("other", 5, 11, 1));
    let earlier = Identity::new("other", 5).unwrap();
    greeted.node.handle(Duration::ZERO, FabricEvent::Seen(earlier.clone()));
    assert!(greeted.node.members().all(|member| member.identity != earlier));
}

#[test]
fn one_key_is_not_two_nodes() {
    let mut greeted = Greeted::new();
    assert!(greeted.greet("one", 1, 10, 1));
    assert!(!greeted.greet("two", 1, 10, 1));
    assert!(greeted.greet("two", 1, 10, 2));
    // The same node with its key, started again.
    assert!(greeted.greet("one", 2, 10, 1));
}

#[test]
fn a_hello_that_its_sender_has_given_up_is_not_judged() {
    let mut greeted = Greeted::new();
    assert!(greeted.greet("other", 1, 10, 1));
    assert_eq!(greeted.judged(), 1);
    for session in 0..10 {
        greeted.greet("other", 1, session, 1);
    }
    assert_eq!(greeted.judged(), 1);
    greeted.greet("other", 1, 11, 1);
    assert_eq!(greeted.judged(), 2);
}

#[test]
fn who_is_refused_for_two_reasons_in_turn_is_reported_once_for_each() {
    let mut greeted = Greeted::new();
    let other = Identity::new("other", 5).unwrap();
    greeted.node.handle(Duration::ZERO, FabricEvent::Seen(other.clone()));
    let mut refused = Vec::new();
    for session in 1..20 {
        let route = Route {
            from: other.id(CLUSTER),
            to: greeted.node.id(),
            mine: session,
            theirs: 0,
        };
        let (cluster, versions) = match session % 2 {
            0 => ("another", VERSIONS),
            _ => (CLUSTER, (VERSIONS.1 + 1, VERSIONS.1 + 1)),
        };
        let hello = Hello {
            versions,
            asks: true,
            window: 1 << 20,
            cluster: cluster.into(),
            identity: other.clone(),
            proof: Vec::new(),
        };
        let frame = route.hello(&hello, |_| vec![1]);
        greeted.node.handle(Duration::ZERO, FabricEvent::Frame(&frame));
        while let Some(event) = greeted.node.next_event() {
            if let Event::Refused { why, .. } = event {
                refused.push(why);
            }
        }
    }
    assert_eq!(refused, [Refusal::Version, Refusal::Cluster]);
}

#[test]
fn whoever_proves_its_identity_is_known_however_many_others_are_announced() {
    let mut greeted = Greeted::new();
    for number in 0..2 * LINES_MAX as u64 {
        let stranger = Identity::new("stranger", number).unwrap();
        greeted.node.handle(Duration::ZERO, FabricEvent::Seen(stranger));
    }
    assert_eq!(greeted.node.figures().lines, LINES_MAX);
    assert!(greeted.greet("one", 1, 10, 1) && greeted.greet("two", 1, 10, 2));
    assert_eq!(greeted.node.figures().lines, LINES_MAX);
}
