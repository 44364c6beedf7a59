//! What mutual TLS costs between two nodes: frames over TCP on loopback with and without it, in turns.
//!
//! `cargo run --release -p lunatic-cluster --example tls_cost [ROUNDS]` prints a table of medians and ratios. Both nodes are
//! in this process, and nothing but their transport runs. `lunatic node` always uses TLS, with `--dev` too.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_cluster::Certified;
use lunatic_nodes::Identity;
use lunatic_nodes::driver::Inlet;
use lunatic_nodes::fabric::{Brought, Fabric as _};
use lunatic_nodes::frame::{Route, State};
use lunatic_nodes::identity::NodeId;
use lunatic_nodes::tcp::guard::Guard;
use lunatic_nodes::tcp::{TcpFabric, TcpSettings};

const CLUSTER: &str = "cost";
const TRIPS: u64 = 20_000;
/// How many frames may be on their way at a time: a queue that is full drops frames.
const ON_WAY: u64 = 64;

struct Place {
    identity: Identity,
    inlet: Inlet,
    fabric: Arc<TcpFabric>,
    /// How many frames have come that nobody has waited for yet.
    came: Cell<u64>,
}

impl Place {
    fn open(name: &str, is_secure: bool, join: Option<SocketAddr>) -> std::io::Result<Self> {
        let guard = match is_secure {
            true => Some(Arc::new(Certified::with_secret(&[7; 32], CLUSTER, name)?) as Arc<dyn Guard>),
            false => None,
        };
        let (identity, inlet) = (Identity::new(name, 1).expect("a valid name"), Inlet::new());
        let settings = TcpSettings {
            cluster: CLUSTER.into(),
            identity: identity.clone(),
            listen: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
            join: join.into_iter().map(|join| join.to_string().into()).collect(),
            guard,
            report: Arc::new(|text| eprintln!("{text}")),
        };
        let fabric = TcpFabric::open(settings, inlet.clone())?;
        Ok(Self {
            identity,
            inlet,
            fabric,
            came: Cell::new(0),
        })
    }

    /// Waits for so many frames.
    fn takes(&self, count: u64) {
        let mut came = self.came.get();
        while came < count {
            let (brought, _) = self.inlet.take(None).expect("the inlet stays open");
            came += brought.iter().filter(|one| matches!(one, Brought::Frame(_))).count() as u64;
        }
        self.came.set(came - count);
    }

    fn sees(&self, other: &Self) {
        let seen = Brought::Seen(other.identity.clone());
        while !self.inlet.take(None).expect("the inlet stays open").0.contains(&seen) {}
    }

    fn frame(&self, len: usize) -> Vec<u8> {
        let route = Route {
            from: self.identity.id(CLUSTER),
            to: NodeId(1),
            mine: 1,
            theirs: 1,
        };
        route.data(1, State::default(), &vec![7; len])
    }
}

/// Two nodes that are connected.
struct Pair(Place, Place);

impl Pair {
    fn new(is_secure: bool) -> std::io::Result<Self> {
        let a = Place::open("a", is_secure, None)?;
        let b = Place::open("b", is_secure, Some(a.fabric.address()))?;
        a.sees(&b);
        b.sees(&a);
        Ok(Self(a, b))
    }

    /// The time of a round trip of frames with so many bytes.
    fn round_trip(&self, len: usize) -> f64 {
        let Self(a, b) = self;
        let (there, back) = (a.frame(len), b.frame(len));
        let trip = || {
            a.fabric.send(&b.identity, there.clone());
            b.takes(1);
            b.fabric.send(&a.identity, back.clone());
            a.takes(1);
        };
        per_op(TRIPS, || (0..TRIPS).for_each(|_| trip()))
    }

    /// The time of one of many frames with so many bytes.
    fn stream(&self, len: usize, count: u64) -> f64 {
        let Self(a, b) = self;
        let frame = a.frame(len);
        per_op(count, || {
            for number in 0..count + ON_WAY {
                if number < count {
                    a.fabric.send(&b.identity, frame.clone());
                }
                if number >= ON_WAY {
                    b.takes(1);
                }
            }
        })
    }
}

fn per_op(count: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / count as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> std::io::Result<()> {
    let rounds: usize = match std::env::args().nth(1).map(|text| text.parse()) {
        None => 5,
        Some(Ok(rounds @ 1..)) => rounds,
        Some(_) => {
            eprintln!("usage: tls_cost [ROUNDS], a number from 1 on");
            std::process::exit(2)
        }
    };
    let pairs = [Pair::new(false)?, Pair::new(true)?];
    type Work = (&'static str, fn(&Pair) -> f64);
    let works: [Work; 3] = [
        ("round trip, 100 bytes", |pair| pair.round_trip(100)),
        ("frame of 1 kB, one of many", |pair| pair.stream(1000, 100_000)),
        ("frame of 64 kB, one of many", |pair| pair.stream(64_000, 10_000)),
    ];
    println!("| | plain | mutual TLS | ratio |\n|---|---|---|---|");
    for (name, work) in works {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (pair, times) in pairs.iter().zip(&mut times) {
                times.push(work(pair));
            }
        }
        let [plain, secure] = times.map(median);
        let show = |ns: f64| format!("{:.1?}", Duration::from_nanos(ns as u64));
        println!(
            "| {name} | {} | {} | {:.2} |",
            show(plain),
            show(secure),
            secure / plain
        );
    }
    Ok(())
}
