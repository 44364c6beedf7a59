//! Two kernels that are each other's node: what leaves one comes in at the other through the one place that decides where
//! things go.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::{Id, Peer};
use lunatic_kernel::calls::{CallRefusal, Unanswered};
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::connections::until_room;
use lunatic_kernel::delivery::{Remote, Signal};
use lunatic_kernel::exit::{ExitReason, Loss};
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::simulation::Simulation;
use lunatic_kernel::wait::{Held, Wait};
use lunatic_sys::codes::NO_TIMEOUT;
use parking_lot::Mutex;

use crate::closures::{Closures, Me, Outcome, SETTINGS, seed};

/// Signals on their way to the other node, in the order in which they were sent.
#[derive(Default)]
struct Cable(Mutex<VecDeque<(Id, Id, Owned)>>);

enum Owned {
    Message(u64, Vec<u8>, String),
    Other(Signal<'static>),
}

impl Remote for Cable {
    fn send(&self, from: Id, to: Id, signal: Signal<'_>) -> Result<(), SendRefusal> {
        let owned = match signal {
            Signal::Message { tag, body, trace } => Owned::Message(tag, body.to_vec(), trace.to_owned()),
            Signal::Exit { reason, sent } => Owned::Other(Signal::Exit { reason, sent }),
            Signal::Link => Owned::Other(Signal::Link),
            Signal::Unlink => Owned::Other(Signal::Unlink),
            Signal::Unlinked => Owned::Other(Signal::Unlinked),
            Signal::Monitor { reference } => Owned::Other(Signal::Monitor { reference }),
            Signal::Demonitor { reference } => Owned::Other(Signal::Demonitor { reference }),
            Signal::Down { reference, reason } => Owned::Other(Signal::Down { reference, reason }),
            _ => unreachable!("the kernel sends nothing else"),
        };
        self.0.lock().push_back((from, to, owned));
        Ok(())
    }
}

/// Two nodes and the cables between them.
struct Cluster {
    nodes: [Simulation<Closures>; 2],
    cables: [Arc<Cable>; 2],
    peers: [Peer; 2],
}

impl Cluster {
    fn new() -> Self {
        let nodes = [1, 2].map(|number| Simulation::new(SETTINGS, number, Closures));
        let cables = [Arc::new(Cable::default()), Arc::new(Cable::default())];
        let peers = [0, 1].map(|own: usize| {
            let keys = nodes[1 - own].kernel().process_keys().clone();
            nodes[own].kernel().connect(keys, cables[own].clone()).unwrap()
        });
        Self { nodes, cables, peers }
    }

    /// Runs both until nothing happens any more on either.
    fn run(&mut self) {
        let mut is_busy = true;
        while is_busy {
            is_busy = false;
            for own in [0, 1] {
                is_busy |= self.nodes[own].run(1000) > 0;
                let sent: Vec<_> = self.cables[own].0.lock().drain(..).collect();
                for (from, to, signal) in sent {
                    is_busy = true;
                    let other = self.nodes[1 - own].kernel();
                    let (from, to) = (from.on(self.peers[1 - own]), to.on(Peer::HERE));
                    match &signal {
                        Owned::Message(tag, body, trace) => {
                            let tag = *tag;
                            other.receive(from, to, Signal::Message { tag, body, trace });
                        }
                        Owned::Other(signal) => other.receive(from, to, signal.clone()),
                    }
                }
            }
        }
    }
}

#[test]
fn links_monitors_exits_and_messages_reach_another_node() {
    let mut cluster = Cluster::new();
    // A process that answers until it is told to fail.
    let server = cluster.nodes[1].kernel().start_system((), |()| {
        seed(|me| async move {
            loop {
                let mail = me.receive(&[]).await;
                if !mail.kind.is_message() {
                    continue;
                }
                let address = u128::from_le_bytes(mail.body[..16].try_into().unwrap());
                let address = lunatic_sys::layout::RawHandle {
                    id: address as u64,
                    key: (address >> 64) as u64,
                };
                let client = me
                    .kernel
                    .process_named(address)
                    .expect("the client's address is good here, too");
                match mail.tag {
                    1 => me.send(client, 2, b"pong").unwrap(),
                    _ => return Err(ExitReason::Error("as told".into())),
                }
            }
        })
    });
    let server = server.unwrap();
    let address = cluster.nodes[1].kernel().process_address(server.main().unwrap());
    let client = cluster.nodes[0].kernel().start_system((), move |()| {
        seed(move |me| async move {
            me.trap_exits();
            let own = me.kernel.process_address(me.id());
            let own = [own.id.to_le_bytes(), own.key.to_le_bytes()].concat();
            let server = me
                .kernel
                .process_named(address)
                .expect("the server's address is good here");
            assert!(!server.is_here());
            me.link(server)?;
            let reference = me.monitor(server);
            me.send(server, 1, &own).unwrap();
            assert_eq!(me.receive(&[]).await.body[..], *b"pong");
            me.send(server, 3, &own).unwrap();
            let told = [me.receive(&[]).await, me.receive(&[]).await];
            assert!(told.iter().any(|mail| mail.kind == Kind::Exit(server)));
            assert!(told.iter().any(|mail| mail.kind == Kind::Down(server, reference)));
            for mail in told {
                assert_eq!(
                    ExitReason::from_bytes(&mail.body),
                    Some(ExitReason::Error("as told".into()))
                );
            }
            // It has ended by now, and its node says so.
            me.link(server)?;
            assert_eq!(
                ExitReason::from_bytes(&me.receive(&[]).await.body),
                Some(ExitReason::NoProcess)
            );
            Ok(())
        })
    });
    let client = client.unwrap();
    cluster.run();
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
}

#[test]
fn the_loss_of_a_node_ends_links_and_monitors_to_it() {
    let mut cluster = Cluster::new();
    let server = cluster.nodes[1].kernel().start_system((), |()| seed(waits));
    let address = cluster.nodes[1]
        .kernel()
        .process_address(server.unwrap().main().unwrap());
    let client = cluster.nodes[0].kernel().start_system((), move |()| {
        seed(move |me| async move {
            me.trap_exits();
            let server = me.kernel.process_named(address).unwrap();
            me.link(server)?;
            me.monitor(server);
            for _ in 0..2 {
                assert_eq!(
                    ExitReason::from_bytes(&me.receive(&[]).await.body),
                    Some(ExitReason::NodeGone(Loss::Silent))
                );
            }
            assert_eq!(me.send(server, 1, b"too late"), Err(SendRefusal::Closed));
            me.monitor(server);
            me.link(server)?;
            for _ in 0..2 {
                assert_eq!(
                    ExitReason::from_bytes(&me.receive(&[]).await.body),
                    Some(ExitReason::NodeGone(Loss::Unconnected))
                );
            }
            assert!(me.kernel.snapshot(me.id()).unwrap().links.is_empty());
            Ok(())
        })
    });
    let client = client.unwrap();
    // The client waits, and its wait is no deadlock while something may come from outside: here the test goes on itself.
    cluster.nodes[0].run(3);
    cluster.nodes[0].kernel().disconnect(cluster.peers[0], Loss::Silent);
    cluster.run();
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
}

async fn waits(me: Me) -> Outcome {
    me.receive(&[1]).await;
    Ok(())
}

#[test]
fn an_address_that_no_node_has_given_out_names_nothing() {
    let cluster = Cluster::new();
    let stranger = Simulation::new(SETTINGS, 3, Closures);
    let system = stranger.kernel().start_system((), |()| seed(waits)).unwrap();
    let address = stranger.kernel().process_address(system.main().unwrap());
    for node in &cluster.nodes {
        assert_eq!(node.kernel().process_named(address), None);
    }
}

#[test]
fn a_link_that_crosses_its_removal_is_on_neither_side() {
    let mut cluster = Cluster::new();
    let mains = [0, 1].map(|node: usize| {
        let system = cluster.nodes[node].kernel().start_system((), |()| seed(waits)).unwrap();
        system.main().unwrap()
    });
    cluster.run();
    let links =
        |cluster: &Cluster| [0, 1].map(|node| cluster.nodes[node].kernel().snapshot(mains[node]).unwrap().links_len);
    let link = |cluster: &Cluster, own: usize| {
        let kernel = cluster.nodes[own].kernel();
        let process = kernel.find(mains[own]).unwrap();
        kernel.link(&process, mains[1 - own].on(cluster.peers[own]));
    };
    let unlink = |cluster: &Cluster, own: usize| {
        let kernel = cluster.nodes[own].kernel();
        kernel.unlink(&kernel.find(mains[own]).unwrap(), mains[1 - own].on(cluster.peers[own]));
    };
    link(&cluster, 1);
    link(&cluster, 0);
    unlink(&cluster, 0);
    cluster.run();
    assert_eq!(links(&cluster), [0, 0]);
    // Once the removal is confirmed, links are made as before.
    link(&cluster, 1);
    cluster.run();
    assert_eq!(links(&cluster), [1, 1]);
    unlink(&cluster, 1);
    link(&cluster, 1);
    cluster.run();
    assert_eq!(links(&cluster), [1, 1]);
}

/// A node that takes everything, has no room, or is lost without the kernel knowing it yet.
#[derive(Default)]
struct Gate {
    state: Mutex<Option<SendRefusal>>,
    taken: Mutex<Vec<&'static str>>,
}

impl Remote for Gate {
    fn send(&self, _: Id, _: Id, signal: Signal<'_>) -> Result<(), SendRefusal> {
        let (name, can_wait) = match signal {
            Signal::Message { .. } => ("message", true),
            Signal::Monitor { .. } => ("monitor", false),
            _ => ("another", false),
        };
        match *self.state.lock() {
            Some(SendRefusal::Closed) => return Err(SendRefusal::Closed),
            Some(refusal) if can_wait => return Err(refusal),
            _ => {}
        }
        self.taken.lock().push(name);
        Ok(())
    }

    fn has_room(&self) -> bool {
        *self.state.lock() != Some(SendRefusal::Full)
    }
}

/// Runs a process that calls processes of another node behind this gate.
fn with_gate<F: Future<Output = Outcome> + Send + 'static>(
    code: impl FnOnce(Me, [Id; 2], Arc<Gate>) -> F + Send + 'static,
) {
    let mut node = Simulation::new(SETTINGS, 1, Closures);
    let (gate, keys) = (Arc::new(Gate::default()), node.kernel().new_keys());
    let peer = node.kernel().connect(keys, gate.clone()).unwrap();
    let callees = [1, 2].map(|slot| Id::new(slot, 0).on(peer));
    let client = node
        .kernel()
        .start_system((), move |()| seed(move |me| code(me, callees, gate)));
    let client = client.unwrap();
    node.run(1000);
    assert_eq!(client.exit_reason(), Some(ExitReason::Normal));
}

/// Begins a call and gives it up; what the caller is told.
fn begin(me: &Me, callee: Id) -> Result<bool, CallRefusal> {
    let reference = me.kernel.open_reference(&me.process);
    let begun = me
        .kernel
        .begin_call_elsewhere(&me.process, callee, reference, 1, (b"request", &None));
    let (_, next) = me.kernel.end_call(&me.process, reference, true).unwrap();
    me.kernel.close_reference(&me.process, next);
    begun
}

#[test]
fn a_call_to_a_node_without_room_sends_nothing() {
    with_gate(|me, callees, gate| async move {
        *gate.state.lock() = Some(SendRefusal::Full);
        for round in 0..10 {
            let full = CallRefusal::Unanswered(Unanswered::Refused(SendRefusal::Full));
            assert_eq!(begin(&me, callees[round % 2]), Err(full));
        }
        assert!(gate.taken.lock().is_empty());
        *gate.state.lock() = None;
        assert_eq!(begin(&me, callees[0]), Ok(true));
        assert_eq!(*gate.taken.lock(), ["monitor", "message"]);
        Ok(())
    });
}

#[test]
fn a_call_to_a_node_that_was_just_lost_says_so() {
    with_gate(|me, [callee, _], gate| async move {
        assert_eq!(begin(&me, callee), Ok(true));
        *gate.state.lock() = Some(SendRefusal::Closed);
        let gone = ExitReason::NodeGone(Loss::Unconnected);
        for _ in 0..2 {
            let gone = CallRefusal::Unanswered(Unanswered::Gone(gone.clone()));
            assert_eq!(begin(&me, callee), Err(gone));
        }
        // When the node is back, the callee is watched again.
        *gate.state.lock() = None;
        assert_eq!(begin(&me, callee), Ok(true));
        assert_eq!(*gate.taken.lock(), ["monitor", "message", "monitor", "message"]);
        Ok(())
    });
}

#[test]
fn a_wait_knows_the_time_that_is_left() {
    with_gate(|me, [callee, _], gate| async move {
        *gate.state.lock() = Some(SendRefusal::Full);
        let wait = |timeout| {
            let (kernel, process) = (Held::Borrowed(&me.kernel), Held::Borrowed(&me.process));
            Wait::new(kernel, process, WaitFor::Send, callee, timeout)
        };
        assert_eq!(wait(NO_TIMEOUT).rest_ns(), NO_TIMEOUT);
        let (long, short) = (wait(5_000_000), wait(2_000_000));
        assert_eq!(long.rest_ns(), 5_000_000);
        while until_room(&short, callee.peer()).await {}
        // Another wait of this process goes on with what is left.
        let (rest, none) = (long.rest_ns(), short.rest_ns());
        // Each step of the simulation takes a microsecond.
        assert!((2_990_000..=3_000_000).contains(&rest) && none == 0, "{rest}, {none}");
        Ok(())
    });
}
