//! Nodes without kernels, over the fabric in memory: each event of each node is given to a function, in order.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::time::Duration;

use lunatic_nodes::fabric::{Brought, Fabric as _};
use lunatic_nodes::memory::{MemoryFabric, Port};
use lunatic_nodes::random::Random;
use lunatic_nodes::trust::{PeerRights, SharedSecret};
use lunatic_nodes::{Attributes, Event, Identity, Node, NodeId, Settings};

pub const CLUSTER: &str = "test";

/// One place where a node runs, or does not.
pub struct Place {
    pub identity: Identity,
    pub id: NodeId,
    pub node: Option<Node>,
    port: Port,
}

pub struct World {
    pub fabric: MemoryFabric,
    pub random: Random,
    pub places: Vec<Place>,
}

fn name(place: usize) -> String {
    format!("node-{place}")
}

pub fn settings(identity: &Identity, random: &mut Random) -> Settings {
    let mut keys = [0; 20];
    keys[..8].copy_from_slice(&random.number().to_le_bytes());
    Settings {
        attributes: attributes(identity),
        ..Settings::new(CLUSTER, identity.clone(), keys, random.number())
    }
}

/// The attributes of a node: its name, and which start of it this is.
pub fn attributes(identity: &Identity) -> Attributes {
    let attributes = [format!("name={identity}"), format!("start={}", identity.incarnation)];
    Attributes::parse(attributes).unwrap()
}

pub fn secret() -> Box<SharedSecret> {
    Box::new(SharedSecret::new(b"a secret of the cluster", PeerRights::ALL))
}

impl World {
    pub fn new(seed: u64, count: usize) -> Self {
        let mut random = Random(seed);
        let fabric = MemoryFabric::new(random.number());
        let mut world = Self {
            fabric,
            random,
            places: Vec::new(),
        };
        for place in 0..count {
            let made = world.start(place, 1);
            world.places.push(made);
        }
        world
    }

    fn start(&mut self, place: usize, incarnation: u64) -> Place {
        let identity = Identity::new(&name(place), incarnation).unwrap();
        let node = Node::new(settings(&identity, &mut self.random), secret());
        Place {
            id: node.id(),
            node: Some(node),
            port: self.fabric.attach(&identity),
            identity,
        }
    }

    /// A node ends without a word, and another of its name starts.
    pub fn restart(&mut self, place: usize, is_noticed: bool) {
        self.end(place, is_noticed);
        let incarnation = self.places[place].identity.incarnation + 1;
        self.places[place] = self.start(place, incarnation);
    }

    pub fn end(&mut self, place: usize, is_noticed: bool) {
        self.fabric.detach(&self.places[place].identity, is_noticed);
        self.places[place].node = None;
    }

    pub fn node(&mut self, place: usize) -> &mut Node {
        self.places[place].node.as_mut().expect("the node runs")
    }

    pub fn place_of(&self, id: NodeId) -> Option<usize> {
        self.places.iter().position(|place| place.id == id)
    }

    /// Takes the frames and events of a node.
    fn pump(&mut self, place: usize, told: &mut impl FnMut(&mut World, usize, Event)) {
        let now = self.fabric.now();
        if self.fabric.is_frozen(&self.places[place].identity) {
            return;
        }
        if let Some(node) = &mut self.places[place].node {
            node.poll(now);
        }
        while let Some(event) = self.places[place].node.as_mut().and_then(Node::next_event) {
            told(self, place, event);
        }
        let Place { node, port, .. } = &mut self.places[place];
        if let Some(node) = node {
            node.poll(now);
            for (to, frame) in node.take_frames() {
                port.send(&to, frame);
            }
        }
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration, mut told: impl FnMut(&mut World, usize, Event)) {
        let end = self.fabric.now() + time;
        loop {
            for place in 0..self.places.len() {
                self.pump(place, &mut told);
            }
            let awake = self
                .places
                .iter()
                .filter(|place| !self.fabric.is_frozen(&place.identity));
            let due = awake.filter_map(|place| place.node.as_ref()?.next_due()).min();
            let next = due.into_iter().chain(self.fabric.next_due()).min();
            // Time passes even if a node says that it has something to do at once, again and again.
            let least = self.fabric.now() + Duration::from_micros(1);
            let next = next.unwrap_or(end).max(least).min(end);
            let places = &mut self.places;
            self.fabric
                .arrive_all(next, |to, brought| take(places, &to, &brought, next));
            if next == end {
                break;
            }
        }
        for place in 0..self.places.len() {
            self.pump(place, &mut told);
        }
    }
}

fn take(places: &mut [Place], to: &Identity, brought: &Brought, now: Duration) {
    let place = places.iter_mut().find(|place| place.identity == *to);
    if let Some(node) = place.and_then(|place| place.node.as_mut()) {
        node.handle(now, brought.event());
    }
}
