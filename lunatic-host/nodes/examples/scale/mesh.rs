//! A full mesh of nodes without kernels, on the fabric in memory. Only nodes for which there is something to do are polled,
//! so a thousand of them can be run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lunatic_kernel::exit::Loss;
use lunatic_nodes::fabric::Fabric as _;
use lunatic_nodes::memory::{MemoryFabric, Port};
use lunatic_nodes::random::Random;
use lunatic_nodes::trust::Everybody;
use lunatic_nodes::{Event, Identity, Node, NodeId, Settings};

const CLUSTER: &str = "scale";

/// What all nodes have sent.
#[derive(Clone, Copy, Default)]
pub struct Sent {
    pub frames: u64,
    pub bytes: u64,
    /// The bytes of hellos.
    pub hellos: u64,
}

impl Sent {
    /// What was sent since an earlier count.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            frames: self.frames - earlier.frames,
            bytes: self.bytes - earlier.bytes,
            hellos: self.hellos - earlier.hellos,
        }
    }
}

/// A node that was lost: which, when and why.
pub struct Down {
    pub node: NodeId,
    pub at: Duration,
    pub loss: Loss,
}

struct Place {
    node: Node,
    port: Port,
    due: Duration,
}

pub struct Mesh {
    fabric: MemoryFabric,
    random: Random,
    /// `None` once a node has ended.
    places: Vec<Option<Place>>,
    numbers: HashMap<Identity, usize>,
    /// Time passes in steps of this length: what comes during one is handled together at its end.
    step: Duration,
    pub sent: Sent,
    /// How many connections are up, each counted on both sides.
    pub up: usize,
    pub downs: Vec<Down>,
    /// How long the code of the nodes has run.
    pub busy: Duration,
}

impl Mesh {
    pub fn new(seed: u64, step: Duration) -> Self {
        let mut random = Random(seed);
        Self {
            fabric: MemoryFabric::new(random.number()),
            random,
            places: Vec::new(),
            numbers: HashMap::new(),
            step,
            sent: Sent::default(),
            up: 0,
            downs: Vec::new(),
            busy: Duration::ZERO,
        }
    }

    pub fn now(&self) -> Duration {
        self.fabric.now()
    }

    /// Starts a node, which all others see at once.
    pub fn start(&mut self) {
        let number = self.places.len();
        let identity = Identity::new(&format!("node-{number:04}@host"), 1).expect("a valid name");
        let mut keys = [0; 20];
        keys[..8].copy_from_slice(&self.random.number().to_le_bytes());
        let settings = Settings::new(CLUSTER, identity.clone(), keys, self.random.number());
        self.places.push(Some(Place {
            node: Node::new(settings, Box::new(Everybody)),
            port: self.fabric.attach(&identity),
            due: Duration::ZERO,
        }));
        self.numbers.insert(identity, number);
    }

    /// A node that runs.
    pub fn node(&mut self, number: usize) -> &mut Node {
        let place = self.places[number].as_mut().expect("the node runs");
        // Whoever takes a node may change something that is to be sent.
        place.due = Duration::ZERO;
        &mut place.node
    }

    /// All nodes that run.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.places.iter().flatten().map(|place| &place.node)
    }

    /// Ends a node without a word. The others notice that its connection was closed, or only its silence.
    pub fn end(&mut self, number: usize, is_closed: bool) -> Node {
        let place = self.places[number].take().expect("the node runs");
        // What it has sent arrives before its connections end.
        self.run(self.step, |_| false);
        self.fabric.detach(place.node.identity(), is_closed);
        place.node
    }

    /// Lets time pass until `is_done` returns true after a step, or for so long. Returns how long it took.
    pub fn run(&mut self, time: Duration, mut is_done: impl FnMut(&Self) -> bool) -> Duration {
        let start = self.now();
        let end = start + time;
        loop {
            self.poll_due();
            let now = self.now();
            if now >= end || is_done(self) {
                return now - start;
            }
            let due = self.places.iter().flatten().map(|place| place.due).min();
            let next = due
                .into_iter()
                .chain(self.fabric.next_due())
                .min()
                .unwrap_or(end)
                .min(end);
            let steps = next
                .saturating_sub(now)
                .as_nanos()
                .div_ceil(self.step.as_nanos())
                .max(1);
            let next = (now + self.step * steps as u32).min(end);
            let Self {
                places, numbers, busy, ..
            } = self;
            self.fabric.arrive_all(next, |to, brought| {
                let Some(place) = numbers.get(&to).and_then(|number| places[*number].as_mut()) else {
                    return;
                };
                let begun = Instant::now();
                place.node.handle(next, brought.event());
                *busy += begun.elapsed();
                place.due = Duration::ZERO;
            });
        }
    }

    fn poll_due(&mut self) {
        let now = self.now();
        for place in self.places.iter_mut().flatten() {
            if place.due > now {
                continue;
            }
            let begun = Instant::now();
            place.node.poll(now);
            let frames = place.node.take_frames();
            while let Some(event) = place.node.next_event() {
                match event {
                    Event::Up { .. } => self.up += 1,
                    Event::Down { node, loss, .. } => {
                        self.up -= 1;
                        self.downs.push(Down { node, at: now, loss });
                    }
                    _ => {}
                }
            }
            place.due = place.node.next_due().unwrap_or(Duration::MAX);
            self.busy += begun.elapsed();
            for (to, frame) in frames {
                self.sent.frames += 1;
                self.sent.bytes += frame.len() as u64;
                if frame[0] == 1 {
                    self.sent.hellos += frame.len() as u64;
                }
                place.port.send(&to, frame);
            }
        }
    }
}
