//! Answers that a node has not been asked for: only the node that was asked answers, to the process that has asked, and once.

#[path = "../../kernel/tests/closures/mod.rs"]
mod closures;

use std::sync::Arc;
use std::time::Duration;

use closures::{Closures, SETTINGS, seed};
use lunatic_kernel::Kernel;
use lunatic_kernel::adoption::Ties;
use lunatic_kernel::simulation::Simulation;
use lunatic_nodes::cluster::{Above, Answer, Made, Request};
use lunatic_nodes::fabric::FabricEvent;
use lunatic_nodes::record::Record;
use lunatic_nodes::trust::Everybody;
use lunatic_nodes::{Cluster, Identity, Node, NodeId, Settings};
use parking_lot::Mutex;

/// Spawns nothing.
struct Nothing;

impl Above<Closures> for Nothing {
    fn spawn(&self, _: &Arc<Kernel<Closures>>, request: Request<'_>) -> Made<Closures> {
        Made::Refused(request.ticket, "no".into())
    }
}

fn settings(name: &str, number: u8) -> Settings {
    let identity = Identity::new(name, 1).unwrap();
    // The number of a node, as a kernel has one, and a secret.
    let mut keys = [number; 20];
    keys[..4].copy_from_slice(&u32::from(number).to_le_bytes());
    Settings::new("test", identity, keys, u64::from(number) << 8)
}

/// A kernel in a cluster, and two nodes that say what the test lets them say.
struct Asked {
    simulation: Simulation<Closures>,
    cluster: Arc<Cluster<Closures>>,
    others: [Node; 2],
    now: Duration,
}

impl Asked {
    fn new() -> Self {
        let simulation = Simulation::new(SETTINGS, 1, Closures);
        let kernel = simulation.kernel().clone();
        let cluster = Cluster::new(kernel, settings("asks", 1), Box::new(Everybody), Box::new(Nothing));
        let others = [("one", 2), ("other", 3)];
        let mut asked = Self {
            simulation,
            cluster: Arc::new(cluster.unwrap()),
            others: others.map(|(name, number)| Node::new(settings(name, number), Box::new(Everybody))),
            now: Duration::ZERO,
        };
        for other in &asked.others {
            let event = FabricEvent::Seen(other.identity().clone());
            asked.cluster.handle(Duration::ZERO, event);
        }
        asked.exchange();
        assert_eq!(asked.cluster.members().iter().filter(|member| member.is_up).count(), 2);
        asked
    }

    /// Lets all talk until they have said everything.
    fn exchange(&mut self) {
        for _ in 0..10 {
            self.now += Duration::from_millis(50);
            self.simulation.run(1000);
            for (to, frame) in self.cluster.poll(self.now) {
                let to = self.others.iter_mut().find(|other| *other.identity() == to);
                to.unwrap().handle(self.now, FabricEvent::Frame(&frame));
            }
            for other in &mut self.others {
                other.poll(self.now);
                for (_, frame) in other.take_frames() {
                    self.cluster.handle(self.now, FabricEvent::Frame(&frame));
                }
            }
        }
    }

    fn say(&mut self, other: usize, record: &Record<'_>) {
        let to: NodeId = self.cluster.id();
        self.others[other].send(to, record).unwrap();
        self.exchange();
    }
}

#[test]
fn a_spawn_is_answered_once_by_the_node_that_was_asked() {
    let mut asked = Asked::new();
    let [one, _] = [0, 1].map(|other: usize| asked.others[other].id());
    let (requests, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (said, got, cluster) = (requests.clone(), answers.clone(), asked.cluster.clone());
    let parent = asked.simulation.kernel().start_system((), move |()| {
        seed(move |me| async move {
            for _ in 0..2 {
                let request = cluster.spawn(&me.process, one, Ties::default(), b"what").unwrap();
                said.lock().push(request);
            }
            let requests = said.lock().clone();
            // One more than it has asked for.
            for _ in 0..3 {
                let mail = me.receive(&requests).await;
                got.lock().push((mail.tag, Answer::from_bytes(&mail.body).unwrap()));
            }
            Ok(())
        })
    });
    let parent = parent.unwrap().main().unwrap().raw();
    asked.exchange();
    let [first, second] = requests.lock()[..] else {
        panic!("it has asked twice")
    };
    let spawned = |to, request| Record::Spawned {
        to,
        request,
        process: 77,
    };
    let refused = |to, request| Record::NotSpawned { to, request, why: "no" };
    // Another node, another process, and no request at all.
    for record in [spawned(parent, first), refused(parent, first)] {
        asked.say(1, &record);
    }
    for record in [
        spawned(parent + 1, first),
        refused(parent + 1, first),
        spawned(parent, first ^ 1),
    ] {
        asked.say(0, &record);
    }
    assert!(answers.lock().is_empty());
    // The right one, and once more.
    for record in [spawned(parent, first), spawned(parent, first), refused(parent, first)] {
        asked.say(0, &record);
    }
    asked.say(0, &refused(parent, second));
    let answers = answers.lock();
    assert!(
        matches!(&answers[..], [(a, Answer::Spawned(_)), (b, Answer::Refused(_))] if (*a, *b) == (first, second)),
        "{answers:?}"
    );
}
