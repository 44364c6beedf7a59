//! What a node may do that a policy gives rights, and one that it gives none: nodes without processes.

use std::sync::Arc;
use std::time::Duration;

use lunatic_cluster::{Policed, Policies};
use lunatic_kernel::delivery::Signal;
use lunatic_kernel::exit::ExitReason;
use lunatic_nodes::fabric::FabricEvent;
use lunatic_nodes::record::{Read, Record};
use lunatic_nodes::store::hash;
use lunatic_nodes::{Event, Identity, Node, NodeId, Settings};

const CLUSTER: &str = "demo";

/// A node `a` with a policy, and a node that is connected to it.
struct Both {
    a: Node,
    b: Node,
    now: Duration,
}

impl Both {
    fn new(policy: &str, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, policy).unwrap();
        let policies = Arc::new(Policies::read(Some(&path)).unwrap());
        let open = Arc::new(Policies::read(None).unwrap());
        let node = |name: &str, number: u8, policies: Arc<Policies>| {
            let settings = Settings::new(CLUSTER, Identity::new(name, 1).unwrap(), [number; 20], number.into());
            Node::new(settings, Box::new(Policed(policies)))
        };
        let mut both = Self {
            a: node("a", 5, policies),
            b: node(name, 7, open),
            now: Duration::ZERO,
        };
        let seen = FabricEvent::Seen(both.a.identity().clone());
        both.b.handle(both.now, seen);
        let seen = FabricEvent::Seen(both.b.identity().clone());
        both.a.handle(both.now, seen);
        both.run();
        assert!(both.a.is_up(both.b.id()) && both.b.is_up(both.a.id()));
        while both.a.next_event().is_some() || both.b.next_event().is_some() {}
        both
    }

    /// Lets both send what they have to say.
    fn run(&mut self) {
        for _ in 0..20 {
            self.now += Duration::from_millis(100);
            carry(self.now, &mut self.a, &mut self.b);
            carry(self.now, &mut self.b, &mut self.a);
        }
    }

    fn send(&mut self, record: &Record<'_>) {
        let to = self.a.id();
        self.b.send(to, record).unwrap();
        self.run();
    }

    fn signal(&mut self, signal: Signal<'_>) {
        let (from, to) = (1 << 26 | 1, 1 << 26 | 2);
        self.send(&Record::Signal { from, to, signal });
    }
}

/// Carries the frames of one node to the other.
fn carry(now: Duration, from: &mut Node, to: &mut Node) {
    from.poll(now);
    for (_, frame) in from.take_frames() {
        to.handle(now, FabricEvent::Frame(&frame));
    }
}

/// The records that a node has to handle, in words; and whether a module has come.
fn events(node: &mut Node) -> (Vec<String>, bool) {
    let (mut records, mut module) = (Vec::new(), false);
    while let Some(event) = node.next_event() {
        match event {
            Event::Record { bytes, .. } => records.push(in_words(&bytes)),
            Event::Arrived { .. } => module = true,
            _ => {}
        }
    }
    (records, module)
}

fn in_words(bytes: &[u8]) -> String {
    match Record::read(bytes) {
        Read::Known(Record::Signal { signal, .. }) => match signal {
            Signal::Message { .. } => "message".into(),
            Signal::Exit { reason, sent } => format!("exit {sent} {reason:?}"),
            Signal::Down { reference, reason } => format!("down {reference} {reason:?}"),
            other => format!("{other:?}"),
        },
        Read::Known(Record::Spawn { .. }) => "spawn".into(),
        Read::Known(Record::NotSpawned { why, .. }) => why.into(),
        _ => "something else".into(),
    }
}

/// Does everything that needs a right. Returns what `a` has to handle, what `b` is answered, whether `a` knows the name
/// and whether `b` gets the module.
fn does_all(policy: &str, name: &str) -> (Vec<String>, Vec<String>, bool, bool) {
    let mut both = Both::new(policy, name);
    both.signal(Signal::Message {
        tag: 1,
        body: b"hello",
        trace: "",
    });
    both.signal(Signal::Link);
    both.signal(Signal::Monitor { reference: 9 });
    let reason = ExitReason::Killed;
    both.signal(Signal::Exit { reason, sent: true });
    both.send(&Record::Spawn {
        parent: 1 << 26 | 1,
        request: 3,
        link: false,
        monitor: 0,
        what: b"anything",
    });
    both.b.register(b"name", 1 << 26 | 1, 0).unwrap();
    let module = b"a module";
    both.a.keep_module(hash(module), module[..].into());
    let holder: NodeId = both.a.id();
    both.b.fetch(both.now, hash(module), &[holder]);
    both.run();
    let knows = both.a.find(b"name").is_some();
    let (answers, gets) = events(&mut both.b);
    (events(&mut both.a).0, answers, knows, gets)
}

#[test]
fn a_node_with_all_rights_may_do_everything() {
    let rule = "[[peer]]\nname = 'b'\nspawn = true\nlink = true\nkill = true\nnames = true\nmodules = true\n";
    let (came, answers, knows, gets) = does_all(rule, "b");
    assert_eq!(
        came,
        [
            "message",
            "Link",
            "Monitor { reference: 9 }",
            "exit true Killed",
            "spawn"
        ]
    );
    assert_eq!((answers, knows, gets), (Vec::new(), true, true));
}

#[test]
fn a_node_that_no_rule_fits_may_only_send_messages() {
    let (came, answers, knows, gets) = does_all("[[peer]]\nname = 'c'\nspawn = true\nlink = true\n", "b");
    assert_eq!(came, ["message"]);
    // As if the processes did not exist.
    assert_eq!(
        answers,
        [
            "exit false NoProcess",
            "down 9 NoProcess",
            "the node may not spawn processes here"
        ]
    );
    assert_eq!((knows, gets), (false, false));
}
