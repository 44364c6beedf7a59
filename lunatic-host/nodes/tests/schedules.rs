//! What holds whatever goes wrong on the way: schedules of messages, names and faults, each made from a seed.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lunatic_kernel::delivery::Signal;
use lunatic_nodes::memory::Faults;
use lunatic_nodes::node::SendRefusal;
use lunatic_nodes::random::Random;
use lunatic_nodes::record::{Read, Record};
use lunatic_nodes::{Event, NodeId};

use world::World;

const NAMES: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
type Epoch = (u64, u64);

/// What one node has seen of another.
#[derive(Default)]
struct Seen {
    is_up: bool,
    /// The epoch of the messages since it came up, and the number of the next one of each pair.
    epoch: Option<Epoch>,
    next: BTreeMap<u64, u64>,
}

/// What must hold, and what has been seen so far.
#[derive(Default)]
struct Model {
    seen: BTreeMap<(NodeId, NodeId), Seen>,
    /// Epochs in which messages arrived: each shows up once.
    epochs: BTreeSet<(NodeId, NodeId, Epoch)>,
    /// Numbers of the next messages, by nodes, epoch and sending process.
    sent: BTreeMap<(NodeId, NodeId, Epoch, u64), u64>,
    delivered: u64,
    lost: u64,
    fetched: u64,
}

impl Model {
    fn told(&mut self, own: NodeId, event: Event) {
        match event {
            Event::Up { node, .. } => {
                let before = self.seen.insert(
                    (own, node),
                    Seen {
                        is_up: true,
                        ..Seen::default()
                    },
                );
                assert!(before.is_none_or(|before| !before.is_up), "a node came up twice");
            }
            Event::Down { node, .. } => {
                let seen = self.seen.get_mut(&(own, node)).expect("it was up");
                assert!(std::mem::take(&mut seen.is_up), "a node went down twice");
                self.lost += 1;
            }
            Event::Record { node, bytes } => self.on_message(own, node, &bytes),
            Event::Arrived { .. } => self.fetched += 1,
            Event::Fetched { result, .. } => self.fetched += u64::from(result.is_ok()),
            _ => {}
        }
    }

    fn on_message(&mut self, own: NodeId, node: NodeId, bytes: &[u8]) {
        let Read::Known(Record::Signal { from, signal, .. }) = Record::read(bytes) else {
            panic!("nobody sends anything but signals");
        };
        let Signal::Message { body, .. } = signal else {
            panic!("nobody sends anything but messages");
        };
        let number = |at: usize| u64::from_le_bytes(body[8 * at..][..8].try_into().unwrap());
        let (epoch, seq) = ((number(0), number(1)), number(2));
        let seen = self.seen.get_mut(&(own, node)).expect("it is up");
        assert!(seen.is_up, "a message after the end of its epoch");
        if seen.epoch.is_none() {
            assert!(self.epochs.insert((node, own, epoch)), "an epoch began twice");
            seen.epoch = Some(epoch);
        }
        assert_eq!(seen.epoch, Some(epoch), "a message of another epoch");
        let next = seen.next.entry(from).or_default();
        assert_eq!(seq, *next, "messages of one pair arrive in order, without a hole");
        *next += 1;
        self.delivered += 1;
    }

    /// A process of one node sends a message to one of another, if they are connected.
    fn send(&mut self, world: &mut World, from: usize, to: usize, len: u64) {
        let (own, other) = (world.places[from].id, world.places[to].id);
        let process = 1 + world.random.below(3);
        let node = world.node(from);
        let Some(member) = node.members().find(|member| member.node == other && member.is_up) else {
            return;
        };
        let seq = self.sent.entry((own, other, member.epoch, process)).or_default();
        let mut body = Vec::new();
        for number in [member.epoch.0, member.epoch.1, *seq] {
            body.extend(number.to_le_bytes());
        }
        body.resize(24 + len as usize, 7);
        let record = Record::Signal {
            from: process,
            to: 1,
            signal: Signal::Message {
                tag: 0,
                body: &body,
                trace: "",
            },
        };
        match node.send(other, &record) {
            Ok(()) => *seq += 1,
            Err(refusal) => assert_eq!(refusal, SendRefusal::Full, "it is connected"),
        }
    }
}

/// Something that happens to the nodes or between them.
fn act(world: &mut World, model: &mut Model) {
    let count = world.places.len() as u64;
    let from = world.random.below(count) as usize;
    let to = (from + 1 + world.random.below(count - 1) as usize) % count as usize;
    let identity = world.places[from].identity.clone();
    let name = NAMES[world.random.below(4) as usize];
    match world.random.below(16) {
        0..5 => {
            let sizes = [10, 1000, 70_000, 300_000];
            for _ in 0..world.random.below(20) {
                let len = sizes[world.random.below(4) as usize];
                model.send(world, from, to, len);
            }
        }
        5..8 => {
            let faults = some_faults(&mut world.random);
            world.fabric.set_faults(&identity, &world.places[to].identity, faults);
        }
        8 => world.fabric.freeze(&identity),
        9 => world.fabric.thaw(&identity),
        10 => world.fabric.heal(),
        11 => {
            let is_noticed = world.random.once_in(2);
            world.restart(from, is_noticed);
        }
        12 => {
            let (process, priority) = (1 + world.random.below(3), world.random.below(2) as u8);
            _ = world.node(from).register(name, process, priority);
        }
        13 => _ = world.node(from).unregister(name),
        14 => {
            let process = 1 + world.random.below(3);
            match world.random.once_in(2) {
                true => _ = world.node(from).join(name, process),
                false => _ = world.node(from).leave_group(name, process),
            }
        }
        _ => {
            let len = world.random.below(200_000) as usize;
            let module = vec![len as u8; len];
            let hash = lunatic_nodes::store::hash(&module);
            world.node(to).keep_module(hash, module.into());
            let (now, holders) = (world.fabric.now(), [world.places[from].id, world.places[to].id]);
            world.node(from).fetch(now, hash, &holders);
        }
    }
    let time = [10, 100, 1000, 5000, 10_000][world.random.below(5) as usize];
    world.run(Duration::from_millis(time), |world, place, event| {
        model.told(world.places[place].id, event);
    });
}

fn some_faults(random: &mut Random) -> Faults {
    match random.below(5) {
        0 => Faults::CUT,
        1 => Faults {
            delay: Duration::from_millis(random.below(3000)),
            ..Faults::NONE
        },
        2 => Faults {
            loses: 2 + random.below(50),
            ..Faults::NONE
        },
        3 => Faults {
            doubles: 1 + random.below(10),
            ..Faults::NONE
        },
        _ => Faults {
            reorders: 2 + random.below(50),
            ..Faults::NONE
        },
    }
}

fn settle(world: &mut World, model: &mut Model, seconds: u64) {
    world.run(Duration::from_secs(seconds), |world, place, event| {
        model.told(world.places[place].id, event);
    });
}

/// Runs the schedule of a seed.
fn check(seed: u64) -> Model {
    let (mut world, mut model) = (World::new(seed, 3), Model::default());
    settle(&mut world, &mut model, 1);
    for _ in 0..20 {
        act(&mut world, &mut model);
    }
    // All is well again: each node sees each other, and all agree on names and groups.
    world.fabric.heal();
    settle(&mut world, &mut model, 40);
    let all: Vec<_> = world.places.iter().map(|place| place.id).collect();
    for place in 0..all.len() {
        let own = all[place];
        let mut up: Vec<_> = world
            .node(place)
            .members()
            .filter(|member| member.is_up)
            .map(|member| member.node)
            .collect();
        up.push(own);
        up.sort_unstable();
        let mut expected = all.clone();
        expected.sort_unstable();
        assert_eq!(up, expected, "all nodes see each other");
    }
    let names = |world: &mut World, place| {
        let node = world.node(place);
        let groups = NAMES.map(|group| node.group(group, None).collect::<Vec<_>>());
        let names = node.names().map(|(name, holder)| (name.to_vec(), holder));
        (names.collect::<Vec<_>>(), groups)
    };
    for place in 1..all.len() {
        assert_eq!(names(&mut world, place), names(&mut world, 0), "all agree");
    }
    // What was sent in the last epochs has arrived to the last message.
    for ((own, node), seen) in &model.seen {
        let Some(epoch) = seen
            .epoch
            .filter(|_| seen.is_up && all.contains(own) && all.contains(node))
        else {
            continue;
        };
        for (process, next) in &seen.next {
            assert_eq!(
                model.sent[&(*node, *own, epoch, *process)],
                *next,
                "all of an epoch that is up"
            );
        }
    }
    // One is left, and keeps nothing of the others.
    for place in 1..all.len() {
        let is_noticed = world.random.once_in(2);
        world.end(place, is_noticed);
    }
    settle(&mut world, &mut model, 200);
    let figures = world.node(0).figures();
    // What the transport still sees, it greets for ever.
    assert_eq!((figures.foreign_rows, figures.fetches, figures.queued), (0, 0, 0));
    assert!(model.seen.iter().all(|((own, _), seen)| *own != all[0] || !seen.is_up));
    model
}

fn check_all(seeds: std::ops::Range<u64>) {
    let (mut delivered, mut lost, mut fetched) = (0, 0, 0);
    for seed in seeds.clone() {
        let checked = std::panic::catch_unwind(|| check(seed));
        let model = checked.unwrap_or_else(|panic| {
            eprintln!("it was the schedule of seed {seed}");
            std::panic::resume_unwind(panic)
        });
        delivered += model.delivered;
        lost += model.lost;
        fetched += model.fetched;
    }
    println!("{seeds:?}: {delivered} messages delivered, {lost} epochs ended, {fetched} modules fetched");
    assert!(delivered > 0 && lost > 0 && fetched > 0, "schedules do something");
}

#[test]
fn what_arrives_is_a_prefix_names_converge_and_nothing_is_left() {
    check_all(0..60);
}

/// `SCHEDULES` says how many, from seed `FROM`.
#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_schedules() {
    let variable = |name, or| std::env::var(name).map_or(or, |value| value.parse().expect("a number"));
    let (from, count): (u64, u64) = (variable("FROM", 1000), variable("SCHEDULES", 100_000));
    check_all(from..from + count);
}
