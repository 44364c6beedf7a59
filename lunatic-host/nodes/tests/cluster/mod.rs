//! Kernels whose processes are closures, each a node of a cluster on the fabric in memory.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::simulation::Simulation;
use lunatic_kernel::{Kernel, Process, System};
use lunatic_nodes::cluster::{Above, Made, Request, Told};
use lunatic_nodes::fabric::Fabric as _;
use lunatic_nodes::frame::VERSIONS;
use lunatic_nodes::memory::{Faults, MemoryFabric, Port};
use lunatic_nodes::random::Random;
use lunatic_nodes::trust::Everybody;
use lunatic_nodes::{Cluster, Identity, Settings};
use lunatic_sys::layout::RawHandle;
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, seed};

/// The address that stands in bytes.
pub fn address(bytes: &[u8]) -> RawHandle {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    RawHandle {
        id: word(0),
        key: word(8),
    }
}

/// The address of a process as bytes.
pub fn address_bytes(kernel: &Kernel<Closures>, id: Id) -> Vec<u8> {
    let address = kernel.process_address(id);
    [address.id.to_le_bytes(), address.key.to_le_bytes()].concat()
}

/// Waits for ever.
pub async fn as_long_as(me: &Me) -> Outcome {
    me.receive(&[u64::MAX]).await;
    Ok(())
}

/// Writes down the number at the beginning of each message.
pub async fn collects(me: Me, log: Arc<Mutex<Vec<u64>>>) -> Outcome {
    loop {
        let body = me.receive(&[1]).await.body;
        log.lock().push(u64::from_le_bytes(body[..8].try_into().unwrap()));
    }
}

/// Spawns closures by names, as children of a process that is there for that.
struct Spawner {
    keeper: Id,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Above<Closures> for Spawner {
    fn spawn(&self, kernel: &Arc<Kernel<Closures>>, request: Request<'_>) -> Made<Closures> {
        match self.make(kernel, request.what) {
            Ok(child) => Made::Process(request.ticket, child),
            Err(why) => Made::Refused(request.ticket, why),
        }
    }

    fn told(&self, told: &Told) {
        self.told.lock().push(told.clone());
    }
}

impl Spawner {
    fn make(&self, kernel: &Arc<Kernel<Closures>>, what: &[u8]) -> Result<Arc<Process<Closures>>, String> {
        let keeper = kernel.find(self.keeper).ok_or("the keeper has ended")?;
        let seed = match what {
            b"fails" => seed(|_| async { Err(ExitReason::Exit(9)) }),
            b"waits" => seed(|me: Me| async move { as_long_as(&me).await }),
            _ => return Err("there is no such entry".into()),
        };
        kernel.new_process(&keeper, seed).map_err(|limit| limit.to_string())
    }
}

struct Node {
    identity: Identity,
    versions: (u16, u16),
    simulation: Simulation<Closures>,
    cluster: Arc<Cluster<Closures>>,
    port: Port,
    told: Arc<Mutex<Vec<Told>>>,
}

pub struct Kernels {
    pub random: Random,
    fabric: MemoryFabric,
    nodes: Vec<Node>,
}

impl Kernels {
    /// So many nodes, which have seen each other.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut random = Random(seed);
        let fabric = MemoryFabric::new(random.number());
        let nodes = (0..count).map(|place| Node::new(place, &fabric, &mut random)).collect();
        let mut kernels = Self { random, fabric, nodes };
        kernels.meet();
        kernels
    }

    /// So many nodes, which speak these versions of the wire format.
    pub fn with_versions(seed: u64, count: usize, versions: (u16, u16)) -> Self {
        let (mut random, fabric) = (Random(seed), MemoryFabric::new(seed));
        let nodes = (0..count)
            .map(|place| Node::with_versions(place, versions, &fabric, &mut random))
            .collect();
        let mut kernels = Self { random, fabric, nodes };
        kernels.meet();
        kernels
    }

    /// Lets all nodes connect.
    fn meet(&mut self) {
        let count = self.nodes.len();
        self.run(Duration::from_secs(1));
        for node in &self.nodes {
            let up = node.cluster.members().iter().filter(|member| member.is_up).count();
            assert_eq!(up, count - 1);
        }
    }

    /// The time on the fabric.
    pub fn now(&self) -> Duration {
        self.fabric.now()
    }

    /// The frames that a node would send now, which are not sent.
    pub fn take_frames(&self, node: usize) -> Vec<Vec<u8>> {
        let frames = self.nodes[node].cluster.poll(self.now());
        frames.into_iter().map(|(_, frame)| frame).collect()
    }

    /// The kernel of a node leaves, and joins again as one that speaks these versions of the wire format.
    pub fn upgrade(&mut self, node: usize, versions: (u16, u16)) {
        self.leave(node);
        self.nodes[node].versions = versions;
        self.rejoin(node);
    }

    pub fn cluster(&self, node: usize) -> &Arc<Cluster<Closures>> {
        &self.nodes[node].cluster
    }

    pub fn kernel(&self, node: usize) -> &Arc<Kernel<Closures>> {
        self.nodes[node].simulation.kernel()
    }

    pub fn told(&self, node: usize) -> Vec<Told> {
        self.nodes[node].told.lock().clone()
    }

    /// How many processes live on a node.
    pub fn alive(&self, node: usize) -> usize {
        let mut count = 0;
        self.kernel(node).for_each_process(|_| count += 1);
        count
    }

    pub fn start<F: Future<Output = Outcome> + Send + 'static>(
        &self,
        node: usize,
        code: impl FnOnce(Me) -> F + Send + 'static,
    ) -> Arc<System<Closures>> {
        self.kernel(node).start_system((), |()| seed(code)).unwrap()
    }

    pub fn start_with<F: Future<Output = Outcome> + Send + 'static>(
        &self,
        node: usize,
        code: impl FnOnce(Me, Arc<Cluster<Closures>>) -> F + Send + 'static,
    ) -> Arc<System<Closures>> {
        let cluster = self.cluster(node).clone();
        self.start(node, |me| code(me, cluster))
    }

    /// Starts a process and lets time pass until it has ended; how it did.
    pub fn run_client<F: Future<Output = Outcome> + Send + 'static>(
        &mut self,
        node: usize,
        code: impl FnOnce(Me, Arc<Cluster<Closures>>) -> F + Send + 'static,
    ) -> ExitReason {
        let system = self.start_with(node, code);
        self.run(Duration::from_secs(2));
        system.exit_reason().expect("the client has ended")
    }

    /// The address of a system's main process.
    pub fn address(&self, node: usize, system: Arc<System<Closures>>) -> RawHandle {
        self.kernel(node).process_address(system.main().unwrap())
    }

    pub fn set_faults(&self, from: usize, to: usize, faults: Faults) {
        let [from, to] = [from, to].map(|node| &self.nodes[node].identity);
        self.fabric.set_faults(from, to, faults);
    }

    /// Nothing arrives any more between two nodes, and nobody says so.
    pub fn cut(&self, one: usize, other: usize) {
        self.set_faults(one, other, Faults::CUT);
        self.set_faults(other, one, Faults::CUT);
    }

    /// A node leaves, as when its driver is dropped.
    pub fn leave(&self, node: usize) {
        let (node, now) = (&self.nodes[node], self.fabric.now());
        for (to, frame) in node.cluster.leave(now) {
            node.port.send(&to, frame);
        }
        node.cluster.close(now);
        self.fabric.detach(&node.identity, true);
    }

    /// The kernel of a node that has left joins the cluster again.
    pub fn rejoin(&mut self, node: usize) {
        let Self { random, fabric, nodes } = self;
        nodes[node].join(fabric, random);
    }

    pub fn freeze(&self, node: usize) {
        self.fabric.freeze(&self.nodes[node].identity);
    }

    pub fn thaw_all(&self) {
        for node in &self.nodes {
            self.fabric.thaw(&node.identity);
        }
    }

    pub fn heal(&self) {
        self.fabric.heal();
    }

    /// Lets so much time pass on the fabric. The kernels' own time runs as their timers need it.
    pub fn run(&mut self, time: Duration) {
        let end = self.fabric.now() + time;
        loop {
            let (now, mut due) = (self.fabric.now(), None);
            for node in &mut self.nodes {
                if self.fabric.is_frozen(&node.identity) {
                    continue;
                }
                node.pump(now);
                due = [due, node.cluster.next_due()].into_iter().flatten().min();
            }
            let next = due.into_iter().chain(self.fabric.next_due()).min().unwrap_or(end);
            let next = next.max(now + Duration::from_micros(1)).min(end);
            let nodes = &self.nodes;
            self.fabric.arrive_all(next, |to, brought| {
                if let Some(node) = nodes.iter().find(|node| node.identity == to) {
                    node.cluster.handle(next, brought.event());
                }
            });
            if next == end {
                break;
            }
        }
        let now = self.fabric.now();
        for node in &mut self.nodes {
            if !self.fabric.is_frozen(&node.identity) {
                node.pump(now);
            }
        }
    }
}

impl Node {
    fn new(place: usize, fabric: &MemoryFabric, random: &mut Random) -> Self {
        Self::with_versions(place, VERSIONS, fabric, random)
    }

    fn with_versions(place: usize, versions: (u16, u16), fabric: &MemoryFabric, random: &mut Random) -> Self {
        let simulation = Simulation::new(SETTINGS, random.number(), Closures);
        let identity = Identity::new(&format!("node-{place}"), 1).unwrap();
        let told = Arc::<Mutex<Vec<Told>>>::default();
        Self {
            port: fabric.attach(&identity),
            cluster: cluster(&simulation, (&identity, versions), &told, random),
            simulation,
            identity,
            versions,
            told,
        }
    }

    fn join(&mut self, fabric: &MemoryFabric, random: &mut Random) {
        let name = self.identity.name.clone();
        self.identity = Identity::new(&name, self.identity.incarnation + 1).unwrap();
        self.cluster = cluster(&self.simulation, (&self.identity, self.versions), &self.told, random);
        self.port = fabric.attach(&self.identity);
    }

    /// Runs the processes until all wait, and sends what they have sent.
    fn pump(&mut self, now: Duration) {
        for (to, frame) in self.cluster.poll(now) {
            self.port.send(&to, frame);
        }
        let mut steps = 0;
        while self.simulation.run(100) > 0 {
            for (to, frame) in self.cluster.poll(now) {
                self.port.send(&to, frame);
            }
            steps += 1;
            assert!(steps < 100_000, "processes of a test come to rest");
        }
        for (to, frame) in self.cluster.poll(now) {
            self.port.send(&to, frame);
        }
    }
}

fn cluster(
    simulation: &Simulation<Closures>,
    (identity, versions): (&Identity, (u16, u16)),
    told: &Arc<Mutex<Vec<Told>>>,
    random: &mut Random,
) -> Arc<Cluster<Closures>> {
    let kernel = simulation.kernel().clone();
    let keeper = kernel.start_system((), |()| seed(|me: Me| async move { as_long_as(&me).await }));
    let spawner = Spawner {
        keeper: keeper.unwrap().main().unwrap(),
        told: told.clone(),
    };
    let settings = Settings {
        versions,
        ..Settings::new("test", identity.clone(), [0; 20], random.number())
    };
    let cluster = Cluster::new(kernel, settings, Box::new(Everybody), Box::new(spawner));
    Arc::new(cluster.expect("a new kernel has room for nodes"))
}
