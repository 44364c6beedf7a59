//! Programs that run on three nodes, called `a`, `b` and `c`. Each runs on `a`; the others have no program of their own.

use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef, Next};
use lunatic::channel::{ReceiveError, ReceiveTimeoutError, SendTimeoutError, TryReceiveError, TrySendError};
use lunatic::mailbox::{CallError, Mail, ReplyTo, Select};
use lunatic::net::UdpSocket;
use lunatic::node::{Loss, Node, NodeEvent, global};
use lunatic::process::{Monitor, parent, trap_exit};
use lunatic::registry::{self, RegisterError};
use lunatic::rights::{Right, may};
use lunatic::supervisor::{Child, Spec, Supervise, Supervisor};
use lunatic::timer::send_after;
use lunatic::trace::{self, Context};
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, ProcessConfig, SpawnError, sleep, this_process};
use serde::{Deserialize, Serialize};

lunatic_test_guests::scenarios![
    children_run_on_the_nodes_that_were_chosen,
    calls_and_messages_go_between_nodes,
    links_monitors_and_kills_go_between_nodes,
    a_lost_node,
    a_node_that_stands_still,
    global_names_and_groups,
    a_sandbox_sees_no_nodes,
    visitors_have_the_names_and_the_output_of_their_parents,
    sockets_stay,
    timers_send_to_other_nodes,
    actors_and_supervised_children_run_on_other_nodes,
    a_slow_receiver_holds_up_its_senders,
    channels_work_on_all_nodes,
    channels_of_a_lost_node_are_closed,
    attributes_of_nodes,
    a_child_elsewhere_works_for_the_request_of_its_parent,
    a_call_takes_no_longer_than_its_timeout,
    nodes_are_listed,
    who_asks_a_node_that_stands_still_sends_it_little,
    three_nodes_of_one_process,
    without_a_cluster,
];

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// The nodes `b` and `c`, when both are connected.
fn others() -> [Node; 2] {
    let monitor = Node::monitor();
    loop {
        if let (Some(b), Some(c)) = (Node::named("b"), Node::named("c")) {
            return [b, c];
        }
        assert!(monitor.receive_timeout(LONG).is_some(), "nobody comes");
    }
}

fn this_parent() -> Process {
    parent().expect("the main process has spawned it")
}

/// Asks again and again, as what nodes tell each other of names takes a moment.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < LONG, "never: {what}");
        sleep(Duration::from_millis(2));
    }
}

fn children_run_on_the_nodes_that_were_chosen() {
    others();
    let mailbox = Mailbox::<(Node, Option<String>, String)>::new();
    for node in Node::all() {
        let text = format!("an argument for {node}");
        let child = Process::builder().node(node).spawn_with(text.clone(), |text: String| {
            let told = (Node::this(), Node::this().name(), text);
            Address::of(this_parent()).send(told);
        });
        let child = child.unwrap();
        assert_eq!(Node::of(child), Some(node));
        assert_eq!(mailbox.receive(), (node, node.name(), text));
        assert_eq!(child.join(), ExitReason::Normal);
    }
    println!("ok");
}

#[derive(Serialize, Deserialize)]
enum Request {
    Add(u64, u64, ReplyTo<u64>),
    Long(Vec<u8>, ReplyTo<usize>),
    Wait(ReplyTo<()>),
    Fail,
}

fn serve() {
    let requests = Mailbox::<Request>::new();
    loop {
        match requests.receive() {
            Request::Add(one, other, reply) => reply.send(one + other),
            Request::Long(bytes, reply) => reply.send(bytes.len()),
            Request::Wait(_) => {}
            Request::Fail => panic!("as told"),
        }
    }
}

fn calls_and_messages_go_between_nodes() {
    let [b, c] = others();
    let servers = [b, c].map(|node| Address::<Request>::of(Process::builder().node(node).spawn(serve).unwrap()));
    for number in 0..300 {
        for server in servers {
            assert_eq!(server.call(|reply| Request::Add(number, 1, reply)), Ok(number + 1));
        }
    }
    let long = vec![7; 3 << 20];
    assert_eq!(
        servers[0].call(|reply| Request::Long(long.clone(), reply)),
        Ok(long.len())
    );
    // An address that went from one node over another to a third is good there.
    let [one, other] = servers;
    let asks = Process::builder().node(c).spawn(move || {
        let sum = one.call(|reply| Request::Add(20, 1, reply)).unwrap();
        Address::of(this_parent()).send(2 * sum);
    });
    asks.unwrap();
    assert_eq!(Mailbox::<u64>::new().receive(), 42);
    let timeout = Duration::from_millis(20);
    assert_eq!(other.call_timeout(Request::Wait, timeout), Err(CallError::TimedOut));
    other.send(Request::Fail);
    match other.call(|reply| Request::Add(1, 1, reply)) {
        Err(CallError::Gone(ExitReason::Panic(text))) => assert!(text.contains("as told"), "{text}"),
        other => panic!("{other:?}"),
    }
    println!("ok");
}

fn waits() {
    Mailbox::<()>::new().receive();
}

fn next(mail: &Mailbox<u8>) -> Mail<u8> {
    mail.receive_mail_timeout(LONG).expect("something comes")
}

fn links_monitors_and_kills_go_between_nodes() {
    let [b, _] = others();
    let mail = Mailbox::<u8>::new();
    trap_exit(true);
    // A monitor from the start, and one that is made later.
    let (child, first): (Process, Monitor) = Process::builder().node(b).spawn_monitor(waits).unwrap();
    let second = child.monitor();
    assert!(child.is_alive());
    child.kill();
    for _ in 0..2 {
        let Mail::Down { monitor, reason } = next(&mail) else {
            panic!("a monitor reports")
        };
        assert!([first, second].contains(&monitor));
        assert_eq!(reason, ExitReason::Killed);
    }
    // A link from the start, in both directions.
    let child = Process::builder()
        .node(b)
        .link()
        .spawn(|| panic!("on purpose"))
        .unwrap();
    let Mail::Exit { from, reason } = next(&mail) else {
        panic!("the link reports")
    };
    assert_eq!(from, child);
    assert!(
        matches!(&reason, ExitReason::Panic(text) if text.contains("on purpose")),
        "{reason:?}"
    );
    let child = Process::builder().node(b).spawn(waits).unwrap();
    let linked = Process::spawn(move || {
        child.link();
        lunatic::process::exit(ExitReason::Error("with all of them".into()));
    });
    linked.unwrap();
    assert_eq!(child.join(), ExitReason::Error("with all of them".into()));
    // An unlinked child is not affected.
    let child = Process::builder().node(b).spawn(waits).unwrap();
    let unlinked = Process::spawn(move || {
        child.link();
        child.unlink();
        lunatic::process::exit(ExitReason::Error("alone".into()));
    });
    unlinked.unwrap().join();
    assert!(child.join_timeout(Duration::from_millis(50)).is_err());
    assert!(child.is_alive());
    child.exit(&ExitReason::Shutdown);
    assert_eq!(child.join(), ExitReason::Shutdown);
    assert!(!child.is_alive(), "its node says so");
    // A link to a process that has ended reports that.
    child.link();
    let Mail::Exit { from, reason } = next(&mail) else {
        panic!("the link reports")
    };
    assert_eq!((from, reason), (child, ExitReason::NoProcess));
    println!("ok");
}

fn a_lost_node() {
    let [b, c] = others();
    let nodes = Node::monitor();
    let mail = Mailbox::<u8>::new();
    trap_exit(true);
    let linked = Process::builder().node(b).link().spawn(waits).unwrap();
    let (_, monitor) = Process::builder().node(b).spawn_monitor(waits).unwrap();
    let called = Address::<Request>::of(Process::builder().node(b).spawn(serve).unwrap());
    let caller = Process::spawn_with(
        (called, this_process()),
        |(called, parent): (Address<Request>, Process)| {
            let answer = called.call(Request::Wait);
            assert_eq!(answer, Err(CallError::Gone(ExitReason::NodeGone)));
            Address::of(parent).send(1_u8);
        },
    );
    caller.unwrap();
    // The harness kills it now.
    println!("kill b");
    let (mut exits, mut downs, mut messages) = (0, 0, 0);
    for _ in 0..3 {
        match next(&mail) {
            Mail::Exit { from, reason } => {
                assert_eq!((from, reason), (linked, ExitReason::NodeGone));
                exits += 1;
            }
            Mail::Down { monitor: of, reason } => {
                assert_eq!((of, reason), (monitor, ExitReason::NodeGone));
                downs += 1;
            }
            Mail::Message(_) => messages += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((exits, downs, messages), (1, 1, 1));
    match nodes.receive_timeout(LONG) {
        Some(NodeEvent::Down { node, name, .. }) => assert_eq!((node, &*name), (b, "b")),
        other => panic!("{other:?}"),
    }
    assert_eq!(Process::builder().node(b).spawn(waits), Err(SpawnError::NodeGone));
    assert!(!linked.is_alive());
    assert_eq!(linked.join(), ExitReason::NodeGone);
    // The other node is as it was.
    let child = Process::builder().node(c).spawn(|| ()).unwrap();
    assert_eq!(child.join(), ExitReason::Normal);
    println!("ok");
}

fn a_node_that_stands_still() {
    let [b, c] = others();
    let nodes = Node::monitor();
    let servers = [b, c].map(|node| Address::<Request>::of(Process::builder().node(node).spawn(serve).unwrap()));
    println!("stop b");
    // Much more than may wait for a node: this process waits, and no other.
    let sender = Process::spawn_with(servers[0], |server: Address<Request>| {
        let text = vec![1; 100_000];
        for _ in 0..100 {
            let answer = server.call_timeout(|reply| Request::Long(text.clone(), reply), LONG);
            if let Err(error) = answer {
                assert_eq!(error, CallError::Gone(ExitReason::NodeGone));
                return;
            }
        }
        panic!("a node that stands still has answered");
    });
    let sender = sender.unwrap();
    let down = loop {
        assert_eq!(servers[1].call(|reply| Request::Add(1, 2, reply)), Ok(3));
        if let Some(event) = nodes.receive_timeout(Duration::from_millis(20)) {
            break event;
        }
    };
    match down {
        NodeEvent::Down { node, loss, .. } => assert_eq!((node, loss), (b, Loss::Silent)),
        other => panic!("{other:?}"),
    }
    assert_eq!(sender.join(), ExitReason::Normal);
    println!("go on b");
    match nodes.receive_timeout(LONG) {
        Some(NodeEvent::Up { node, .. }) => assert_eq!(node, b),
        other => panic!("{other:?}"),
    }
    // It is the same node, with the processes that it had.
    assert_eq!(servers[0].call(|reply| Request::Add(3, 4, reply)), Ok(7));
    println!("ok");
}

fn global_names_and_groups() {
    let [b, c] = others();
    let group = global::Group::named("workers");
    for node in [b, c] {
        let worker = Process::builder().node(node).spawn(|| {
            global::Group::named("workers").join(this_process()).unwrap();
            let parent = this_parent();
            loop {
                let number = Mailbox::<u64>::new().receive();
                Address::of(parent).send((number, Node::this()));
            }
        });
        worker.unwrap();
    }
    let members = eventually("both join", || {
        let members = group.members();
        (members.len() == 2).then_some(members)
    });
    assert_eq!(group.broadcast(&5_u64), 2);
    let answers = Mailbox::<(u64, Node)>::new();
    let mut answered = [answers.receive(), answers.receive()];
    answered.sort_unstable();
    let mut expected = [(5, b), (5, c)];
    expected.sort_unstable();
    assert_eq!(answered, expected);

    let named = Process::builder().node(b).spawn(|| {
        let claim = global::claim("leader", 3).unwrap();
        waits();
        drop(claim);
    });
    let named = named.unwrap();
    assert_eq!(eventually("it has the name", || global::lookup("leader")), named);
    assert_eq!(global::register("leader", this_process()), Err(RegisterError::Taken));
    // Only processes of this node can be given names here.
    assert_eq!(global::register("other", named), Err(RegisterError::Ended));
    named.kill();
    eventually("the name is free", || global::lookup("leader").is_none().then_some(()));
    global::register("leader", this_process()).unwrap();
    members[0].kill();
    eventually("one is left", || (group.members().len() == 1).then_some(()));
    println!("ok");
}

fn a_sandbox_sees_no_nodes() {
    let [b, _] = others();
    // A process without the right sees no nodes.
    let sandbox = Process::builder().config(&ProcessConfig::new().allow(Right::Spawn));
    let elsewhere = Process::builder().node(b).spawn(waits).unwrap();
    let sandboxed = sandbox.spawn_with((b, elsewhere), |(b, elsewhere): (Node, Process)| {
        assert!(!may(Right::Nodes));
        assert_eq!(Node::of(elsewhere), None);
        assert_eq!(Node::of(this_process()), Some(Node::this()));
        let refused = Process::builder().node(b).spawn(|| ());
        assert!(matches!(refused, Err(SpawnError::Denied(_))), "{refused:?}");
        assert_eq!(global::register("mine", this_process()), Err(RegisterError::Denied));
        assert_eq!(global::lookup("mine"), None);
    });
    assert_eq!(sandboxed.unwrap().join(), ExitReason::Normal);
    // A child on another node has no more rights than its parent, and no more than it is given.
    let config = ProcessConfig::new().allow(Right::Spawn).allow(Right::Nodes);
    let limited = Process::builder().config(&config).spawn_with(b, |b: Node| {
        let child = Process::builder().node(b).spawn(|| {
            assert!(may(Right::Spawn) && may(Right::Nodes));
            assert!(!may(Right::Names) && !may(Right::Compile));
        });
        assert_eq!(child.unwrap().join(), ExitReason::Normal);
    });
    assert_eq!(limited.unwrap().join(), ExitReason::Normal);
    let config = ProcessConfig::new().allow(Right::Names);
    let child = Process::builder().node(b).config(&config).spawn(|| {
        assert!(may(Right::Names) && !may(Right::Spawn) && !may(Right::Nodes));
    });
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
    // A budget cannot be charged for what happens on another node.
    let config = ProcessConfig::inherit().tree_processes(10);
    let budgeted = Process::builder().config(&config).spawn_with(b, |b: Node| {
        let refused = Process::builder().node(b).spawn(|| ());
        assert!(matches!(refused, Err(SpawnError::Denied(_))), "{refused:?}");
    });
    assert_eq!(budgeted.unwrap().join(), ExitReason::Normal);
    println!("ok");
}

/// Whether a child on this node finds what [`visitors_have_the_names_and_the_output_of_their_parents`] has registered there.
fn finds_visitor(node: Node) -> bool {
    let child = Process::builder().node(node).spawn(|| {
        match may(Right::Compile) {
            true => println!("seen"),
            false => println!("not to be seen"),
        }
        Address::of(this_parent()).send(registry::lookup("visitor").is_some());
    });
    child.unwrap();
    Mailbox::<bool>::new().receive()
}

fn visitors_have_the_names_and_the_output_of_their_parents() {
    let [b, c] = others();
    let visitor = Process::builder().node(b).spawn(|| {
        registry::register("visitor", this_process()).unwrap();
        Address::of(this_parent()).send(0_u8);
        waits();
    });
    let visitor = visitor.unwrap();
    Mailbox::<u8>::new().receive();
    assert!(finds_visitor(b), "they have the same parent");
    assert!(!finds_visitor(c), "names are those of one node");
    assert_eq!(registry::lookup("visitor"), None);
    // A visitor of a visitor has the names of both.
    let far = Process::builder()
        .node(c)
        .spawn_with(b, |b: Node| assert!(finds_visitor(b)));
    assert_eq!(far.unwrap().join(), ExitReason::Normal);
    let sandbox = Process::builder()
        .own_names()
        .spawn_with(b, |b: Node| assert!(!finds_visitor(b)));
    assert_eq!(sandbox.unwrap().join(), ExitReason::Normal);
    // Whoever cannot print here does not print there.
    let config = ProcessConfig::inherit().discard_stdout().deny(Right::Compile);
    let quiet = Process::builder().config(&config).spawn_with(b, |b: Node| {
        finds_visitor(b);
    });
    assert_eq!(quiet.unwrap().join(), ExitReason::Normal);
    visitor.kill();
    println!("ok");
}

fn sockets_stay() {
    let [b, _] = others();
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let child = Process::builder().node(b).spawn(waits).unwrap();
    let refused = Address::<UdpSocket>::of(child).try_send(socket());
    let Err(TrySendError::Stays(returned)) = refused else {
        panic!("{refused:?}")
    };
    assert!(returned.local_addr().is_ok(), "it is still ours");
    let channel = channel_on::<UdpSocket>(b, 0);
    let refused = channel.try_send(socket());
    assert!(matches!(refused, Err(TrySendError::Stays(_))), "{refused:?}");
    let refused = Process::builder().node(b).spawn_with(socket(), |_: UdpSocket| ());
    assert!(matches!(refused, Err(SpawnError::Argument(_))), "{refused:?}");
    println!("ok");
}

fn timers_send_to_other_nodes() {
    let [b, _] = others();
    let child = Process::builder().node(b).spawn(|| {
        let first = Mailbox::<u64>::new().receive();
        Address::of(this_parent()).send(first + Mailbox::<u64>::new().receive());
    });
    let child = Address::<u64>::of(child.unwrap());
    send_after(child, 40, Duration::from_millis(5));
    let cancelled = send_after(child, 1000, LONG);
    assert!(cancelled.cancel());
    send_after(child, 2, Duration::from_millis(10));
    assert_eq!(Mailbox::<u64>::new().receive(), 42);
    println!("ok");
}

/// Counts, and says where.
struct Counter(u64);

impl Actor for Counter {
    type Args = (String, u64);
    type Call = ReplyTo<(Node, u64)>;
    type Cast = u64;

    fn init((name, first): Self::Args) -> Result<Self, ExitReason> {
        global::register(&name, this_process()).map_err(|error| ExitReason::Error(error.to_string()))?;
        Ok(Self(first))
    }

    fn handle_call(&mut self, reply: Self::Call) -> Next {
        reply.send((Node::this(), self.0));
        Next::Continue
    }

    fn handle_cast(&mut self, more: u64) -> Next {
        self.0 += more;
        Next::Continue
    }
}

struct Counting;

impl Supervise for Counting {
    type Args = Node;

    fn init(node: Node) -> Spec {
        Spec::one_for_one().child(Child::actor::<Counter>("counter", ("supervised".to_owned(), 10)).node(node))
    }
}

fn actors_and_supervised_children_run_on_other_nodes() {
    let [b, c] = others();
    let counter = Counter::start_with(&Process::builder().node(b), ("alone".to_owned(), 1)).unwrap();
    counter.cast(4);
    assert_eq!(counter.call(|reply| reply), Ok((b, 5)));
    assert_eq!(counter.stop(), ExitReason::Normal);

    let supervisor = Supervisor::<Counting>::start(c).unwrap();
    let first = eventually("it is started", || global::lookup("supervised"));
    ActorRef::<Counter>::of(first).cast(1);
    assert_eq!(ActorRef::<Counter>::of(first).call(|reply| reply), Ok((c, 11)));
    first.kill();
    let again = || global::lookup("supervised").filter(|second| *second != first);
    let second = eventually("it is started again", again);
    assert_eq!(ActorRef::<Counter>::of(second).call(|reply| reply), Ok((c, 10)));
    supervisor.stop();
    assert!(second.join().is_orderly());
    println!("ok");
}

fn a_slow_receiver_holds_up_its_senders() {
    let [b, _] = others();
    const COUNT: u64 = 400;
    let child = Process::builder().node(b).spawn(|| {
        let messages = Mailbox::<(u64, Vec<u8>)>::new();
        for expected in 0..COUNT {
            let (number, bytes) = messages.receive();
            assert_eq!((number, bytes.len()), (expected, 100_000));
        }
        Address::of(this_parent()).send(COUNT);
    });
    let child = Address::<(u64, Vec<u8>)>::of(child.unwrap());
    for number in 0..COUNT {
        child.try_send((number, vec![1; 100_000])).unwrap();
    }
    assert_eq!(Mailbox::<u64>::new().receive(), COUNT);
    println!("ok");
}

/// A channel of a process of this node.
fn channel_on<T: lunatic::channel::Message + 'static>(node: Node, bound: usize) -> Channel<T> {
    let owner = Process::builder().node(node).spawn(move || {
        Address::of(this_parent()).send(Channel::<T>::new(bound));
        waits();
    });
    owner.unwrap();
    Mailbox::<Channel<T>>::new().receive()
}

fn channels_work_on_all_nodes() {
    let [b, c] = others();
    // Processes of all nodes take from one channel and put into another.
    let (tasks, results) = (Channel::<u64>::new(2), channel_on::<(Node, u64)>(c, 5));
    let here = Node::this();
    for node in [here, b, c] {
        let worker = Process::builder().node(node).spawn(move || {
            while let Ok(task) = tasks.receive_checked() {
                results.send((Node::this(), task * task));
            }
        });
        worker.unwrap();
    }
    let sender = Process::builder()
        .node(b)
        .spawn(move || (0..300).for_each(|task| tasks.send(task)));
    sender.unwrap();
    let mut squares: Vec<(Node, u64)> = (0..300).map(|_| results.receive()).collect();
    squares.sort_unstable_by_key(|(_, square)| *square);
    assert!(
        squares
            .iter()
            .map(|(_, square)| *square)
            .eq((0..300).map(|task| task * task))
    );
    assert!(
        [here, b, c]
            .into_iter()
            .all(|node| squares.iter().any(|(of, _)| *of == node))
    );
    // Attempts, timeouts, and a message that does not fit into one frame.
    let short = Duration::from_millis(5);
    let channel = channel_on::<Vec<u8>>(b, 1);
    assert_eq!(channel.try_receive(), Err(TryReceiveError::Empty));
    assert_eq!(channel.receive_timeout(short), Err(ReceiveTimeoutError::TimedOut));
    channel.try_send(vec![1; 3 << 20]).unwrap();
    assert_eq!(channel.try_send(vec![2]), Err(TrySendError::Full(vec![2])));
    assert_eq!(
        channel.send_timeout(vec![2], short),
        Err(SendTimeoutError::TimedOut(vec![2]))
    );
    assert_eq!(channel.receive().len(), 3 << 20);
    channel.send_timeout(vec![3], LONG).unwrap();
    assert_eq!(channel.receive_timeout(LONG), Ok(vec![3]));
    // What is ready.
    let (mailbox, other) = (Mailbox::<u8>::new(), channel_on::<Vec<u8>>(c, 0));
    let select = Select::new().channel(&channel).mailbox(&mailbox).channel(&other);
    assert_eq!(select.wait_timeout(Duration::ZERO), None);
    assert_eq!(select.wait_timeout(short), None);
    let sends = Process::builder().node(b).spawn(move || {
        sleep(Duration::from_millis(20));
        other.send(vec![4]);
    });
    sends.unwrap();
    assert_eq!((select.wait(), other.try_receive()), (2, Ok(vec![4])));
    Address::of(this_process()).send(5_u8);
    assert_eq!((select.wait(), mailbox.receive()), (1, 5));
    for channel in [channel, other] {
        channel.send(vec![6]);
    }
    Address::of(this_process()).send(7_u8);
    assert_eq!(
        select.wait_timeout(Duration::ZERO),
        Some(0),
        "the first of those that are ready"
    );
    println!("ok");
}

fn channels_of_a_lost_node_are_closed() {
    let [b, c] = others();
    let nodes = Node::monitor();
    let (lost, kept) = (channel_on::<u64>(b, 1), channel_on::<u64>(c, 1));
    lost.send(1);
    let ends = Mailbox::<(u8, bool)>::new();
    let sends = Process::spawn(move || {
        let refused = lost.send_timeout(2, LONG);
        Address::of(this_parent()).send((1_u8, refused == Err(SendTimeoutError::Closed(2))));
    });
    sends.unwrap();
    let empty = channel_on::<u64>(b, 0);
    let receives = Process::spawn(move || {
        let received = empty.receive_checked();
        Address::of(this_parent()).send((2_u8, received == Err(ReceiveError::Closed)));
    });
    receives.unwrap();
    // Those of that node that wait here are in nobody's way.
    let own = Channel::<u64>::new(0);
    let waiting = Process::builder().node(b).spawn(move || _ = own.receive()).unwrap();
    assert!(waiting.join_timeout(Duration::from_millis(20)).is_err());
    println!("kill b");
    let mut ended = [ends.receive(), ends.receive()];
    ended.sort_unstable();
    assert_eq!(ended, [(1, true), (2, true)]);
    assert!(matches!(nodes.receive_timeout(LONG), Some(NodeEvent::Down { node, .. }) if node == b));
    assert_eq!(lost.try_receive(), Err(TryReceiveError::Closed));
    assert_eq!(lost.try_send(3), Err(TrySendError::Closed(3)));
    lost.send(4);
    own.send(5);
    assert_eq!(own.receive(), 5);
    kept.send(6);
    assert_eq!(kept.receive(), 6);
    println!("ok");
}

fn attributes_of_nodes() {
    let [b, c] = others();
    assert_eq!(Node::with("zone", "here"), [Node::this(), c]);
    assert_eq!(Node::with("zone", "b is=elsewhere"), [b]);
    assert_eq!(
        (Node::with("zone", "nowhere"), Node::with("none", "")),
        (vec![], vec![])
    );
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(c.attributes(), [pair("disk", ""), pair("zone", "here")]);
    let (b_says, c_says) = Process::builder()
        .node(b)
        .spawn(move || {
            let told = (Node::this().attribute("zone"), c.attribute("zone"));
            Address::of(this_parent()).send(told);
        })
        .map(|_| Mailbox::<(Option<String>, Option<String>)>::new().receive())
        .unwrap();
    assert_eq!(
        (b_says.as_deref(), c_says.as_deref()),
        (Some("b is=elsewhere"), Some("here"))
    );
    println!("kill b");
    eventually("it is lost", || Node::named("b").is_none().then_some(()));
    assert_eq!((b.attributes(), b.attribute("zone")), (vec![], None));
    println!("ok");
}

fn a_child_elsewhere_works_for_the_request_of_its_parent() {
    let [b, _] = others();
    let context = Context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1").unwrap();
    let texts = Mailbox::<Option<String>>::new();
    for context in [Some(context), None] {
        assert!(trace::set(context.as_ref()));
        let child = Process::builder().node(b).spawn(|| {
            let text = trace::current().map(|context| context.to_text());
            Address::of(this_parent()).send(text);
        });
        child.unwrap();
        assert!(trace::set(None));
        assert_eq!(texts.receive(), context.as_ref().map(|context| context.to_text()));
        // Its message brings the context back.
        assert_eq!(trace::current(), context);
    }
    println!("ok");
}

fn a_call_takes_no_longer_than_its_timeout() {
    const TIMEOUT: Duration = Duration::from_secs(6);
    let [b, _] = others();
    let server = Address::<Request>::of(Process::builder().node(b).spawn(serve).unwrap());
    assert_eq!(server.call(|reply| Request::Add(1, 2, reply)), Ok(3));
    println!("stop b");
    // More than may wait for a node, so the request waits as well.
    let fillers: Vec<_> = (0..40)
        .map(|_| {
            let filler = Process::spawn_with(server, |server: Address<Request>| {
                server.call(|reply| Request::Long(vec![1; 100_000], reply)).unwrap();
            });
            filler.unwrap()
        })
        .collect();
    // They have filled the queue meanwhile.
    let short = Duration::from_millis(500);
    assert_eq!(server.call_timeout(Request::Wait, short), Err(CallError::TimedOut));
    // After more than half of the time, there is room.
    Process::spawn(|| {
        sleep(Duration::from_secs(4));
        println!("go on b");
    })
    .unwrap();
    let start = Instant::now();
    assert_eq!(server.call_timeout(Request::Wait, TIMEOUT), Err(CallError::TimedOut));
    let took = start.elapsed();
    assert!(took >= TIMEOUT && took < TIMEOUT + Duration::from_secs(3), "{took:?}");
    fillers
        .into_iter()
        .for_each(|filler| assert!(filler.join().is_orderly()));
    println!("ok");
}

/// Each of these sends a signal if there is room, and withdraws it at once.
fn who_asks_a_node_that_stands_still_sends_it_little() {
    let b = eventually("it comes", || Node::named("b"));
    let monitor = Node::monitor();
    let servers = [0, 1].map(|_| Address::<Request>::of(Process::builder().node(b).spawn(serve).unwrap()));
    for server in servers {
        assert_eq!(server.call(|reply| Request::Add(1, 2, reply)), Ok(3));
    }
    println!("stop b");
    let start = Instant::now();
    for round in 0..40_000 {
        // The node would be lost for its silence after 8 seconds.
        if start.elapsed() > Duration::from_secs(4) {
            break;
        }
        let server = servers[round % 2];
        assert!(server.process().join_timeout(Duration::ZERO).is_err());
        assert_eq!(
            server.call_timeout(Request::Wait, Duration::ZERO),
            Err(CallError::TimedOut)
        );
    }
    println!("look");
    // It has not been lost for that.
    assert_eq!(servers[0].call_timeout(|reply| Request::Add(1, 2, reply), LONG), Ok(3));
    while let Some(event) = monitor.receive_timeout(Duration::ZERO) {
        assert!(matches!(event, NodeEvent::Up { .. }), "{event:?}");
    }
    println!("ok");
}

/// The harness looks at this node, and then kills the other one.
fn nodes_are_listed() {
    let monitor = Node::monitor();
    let b = eventually("it comes", || Node::named("b"));
    println!("look");
    while !matches!(monitor.receive_timeout(LONG), Some(NodeEvent::Down { node, .. }) if node == b) {}
    println!("ok");
}

/// Runs with `cargo lunatic run --nodes 3`: all are there from the start.
fn three_nodes_of_one_process() {
    let nodes = Node::all();
    assert_eq!(nodes.len(), 3);
    assert_eq!(Node::named("node-1"), Some(Node::this()));
    for node in nodes {
        let child = Process::builder()
            .node(node)
            .spawn(move || assert_eq!(Node::this(), node));
        assert_eq!(child.unwrap().join(), ExitReason::Normal);
    }
    println!("ok");
}

/// Runs on a host that is no node.
fn without_a_cluster() {
    let this = Node::this();
    assert_eq!(Node::all(), [this]);
    assert_eq!((this.name(), Node::named("b")), (None, None));
    assert_eq!((this.attributes(), Node::with("zone", "here")), (vec![], vec![]));
    assert_eq!(Node::of(this_process()), Some(this));
    let child = Process::builder().node(this).spawn(|| ()).unwrap();
    assert_eq!(child.join(), ExitReason::Normal);
    let monitor = Node::monitor();
    assert_eq!(monitor.receive_timeout(Duration::ZERO), None);
    assert_eq!(global::register("name", this_process()), Err(RegisterError::Ended));
    assert_eq!(global::lookup("name"), None);
    assert_eq!(global::Group::named("group").members(), []);
}
