//! What runs in the processes that the tests start: a node that does what is said to it, a line each, and says what it sees.
#![allow(unreachable_pub, reason = "a module of one test")]

use std::io::BufRead;
use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::connections::until_room;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::wait::{Held, Wait};
use lunatic_kernel::{Kernel, WaitFor};
use lunatic_nodes::cluster::{Above, Made, Request, Told};
use lunatic_nodes::driver::{Driver, Inlet};
use lunatic_nodes::trust::{PeerRights, SharedSecret};
use lunatic_nodes::{Cluster, Identity, Settings};
use lunatic_zenoh::ZenohFabric;

use crate::closures::{Closures, Me, Outcome, Threaded, seed};

/// The tag of messages: not that of exits.
const NUMBERED: u64 = 7;

struct Says;

impl Above<Closures> for Says {
    fn spawn(&self, _: &Arc<Kernel<Closures>>, request: Request<'_>) -> Made<Closures> {
        Made::Refused(request.ticket, "nobody spawns here".into())
    }

    fn told(&self, told: &Told) {
        match told {
            Told::Up(_, node) => println!("up {node}"),
            Told::Down(_, node, loss) => println!("down {node}: {loss}"),
            other => println!("told {other:?}"),
        }
    }
}

/// Receives numbered messages of each sender, and says when all have come in order.
async fn server(me: Me) -> Outcome {
    // Whoever is linked to it may be lost with its node.
    me.trap_exits();
    let mut next = std::collections::HashMap::new();
    loop {
        let body = me.receive(&[NUMBERED]).await.body;
        let number = |at: usize| u64::from_le_bytes(body[8 * at..][..8].try_into().unwrap());
        let (run, seq, count) = (number(0), number(1), number(2));
        let sender = String::from_utf8_lossy(&body[24..]).into_owned();
        let expected = next.entry((sender.clone(), run)).or_insert(0);
        if seq != *expected {
            println!("{sender} sent {seq}, expected {expected}");
        }
        *expected = seq + 1;
        if seq + 1 == count {
            println!("{count} from {sender} in order");
        }
    }
}

async fn send(me: Me, to: Id, own: String, count: u64) -> Outcome {
    let run = me.kernel.random();
    for seq in 0..count {
        let mut body = Vec::new();
        for number in [run, seq, count] {
            body.extend(number.to_le_bytes());
        }
        body.extend(own.bytes());
        let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
        let wait = Wait::new(kernel, process, WaitFor::Send, to, lunatic_sys::codes::NO_TIMEOUT);
        loop {
            match me.send(to, NUMBERED, &body) {
                Err(SendRefusal::Full) => _ = until_room(&wait, to.peer()).await,
                Ok(()) => break,
                Err(refusal) => {
                    println!("refused after {seq}: {refusal:?}");
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

async fn watch(me: Me, to: Id, name: String) -> Outcome {
    me.trap_exits();
    me.link(to)?;
    println!("watches {name}");
    let reason = ExitReason::from_bytes(&me.receive(&[]).await.body);
    println!("link to {name} fired: {reason:?}");
    Ok(())
}

pub fn main() {
    let variable = |name: &str| std::env::var(name).expect("the test sets it");
    let own = variable("NODE_NAME");
    let identity = Identity::new(&own, 1).expect("a good name");
    let threads = Threaded::new();
    let kernel = &threads.kernel;
    let cluster = variable("NODE_CLUSTER");
    let settings = Settings::new(&cluster, identity.clone(), [0; 20], kernel.random());
    let trust = Box::new(SharedSecret::new(b"the secret of the tests", PeerRights::ALL));
    let node = Cluster::new(kernel.clone(), settings, trust, Box::new(Says)).expect("a new kernel");
    let node = Arc::new(node);
    let main = kernel.start_system((), |()| seed(server)).expect("there is room");
    node.register(own.as_bytes(), main.main().expect("it runs"), 0, 0, Box::new(()))
        .expect("nobody else is called so");
    let inlet = Inlet::new();
    let fabric = ZenohFabric::open(
        &lunatic_zenoh::Settings {
            cluster,
            identity,
            listen: vec![variable("NODE_LISTEN")],
            seeds: variable("NODE_SEEDS").split_whitespace().map(String::from).collect(),
            tls: None,
        },
        inlet.clone(),
    );
    let _driver = Driver::start(node.clone(), fabric.expect("the address is free"), inlet).expect("there is a thread");
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<_> = line.split_whitespace().collect();
        // A name travels a moment after its node.
        let find = |name: &str| loop {
            match node.find(name.as_bytes()) {
                Some(id) => break id,
                None => std::thread::yield_now(),
            }
        };
        let started = match words[..] {
            ["send", name, count] => {
                let (to, own, count) = (find(name), own.clone(), count.parse().expect("a number"));
                kernel.start_system((), |()| seed(move |me| send(me, to, own, count)))
            }
            ["watch", name] => {
                let (to, name) = (find(name), name.to_owned());
                kernel.start_system((), |()| seed(move |me| watch(me, to, name)))
            }
            _ => panic!("nobody says {line:?}"),
        };
        started.expect("there is room");
    }
}
