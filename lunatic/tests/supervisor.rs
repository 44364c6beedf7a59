//! Supervisors, from the inside: run with `cargo lunatic test`.

use std::time::{Duration, Instant};

use lunatic::actor::{Actor, ActorRef, Next, StartError};
use lunatic::mailbox::{Mail, ReplyTo};
use lunatic::process::trap_exit;
use lunatic::supervisor::{
    AutoShutdown, Backoff, Child, ChildInfo, DynamicOptions, DynamicSupervisor, Intensity, PoolOptions, Restart,
    Shutdown, Spec, Strategy, Supervise, SuperviseError, Supervisor, WorkerPool,
};
use lunatic::{Address, ExitReason, Mailbox, Process, registry, this_process, time};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Event {
    Started(String),
    /// The child did not start.
    Failed(String),
    Terminated(String),
}

/// Reports when it starts and terminates, and exits as requested.
struct Probe(String, Address<Event>);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Cast {
    End(ExitReason),
    Panic,
}

impl Actor for Probe {
    type Args = (String, Address<Event>);
    type Call = ReplyTo<String>;
    type Cast = Cast;

    fn init((name, witness): Self::Args) -> Result<Self, ExitReason> {
        // A process that holds these names makes the probe fail: once, or for as long as it holds the name.
        if registry::unregister(&format!("fail {name}")) || registry::lookup(&format!("always fail {name}")).is_some() {
            witness.send(Event::Failed(name));
            return Err(ExitReason::Error("it was told to fail".to_owned()));
        }
        if name == "unwilling" {
            return Err(ExitReason::Error("it does not want to".to_owned()));
        }
        trap_exit(true);
        witness.send(Event::Started(name.clone()));
        Ok(Self(name, witness))
    }

    fn handle_call(&mut self, reply: ReplyTo<String>) -> Next {
        reply.send(self.0.clone());
        Next::Continue
    }

    fn handle_cast(&mut self, cast: Cast) -> Next {
        match cast {
            Cast::End(reason) => Next::Stop(reason),
            Cast::Panic => panic!("as told"),
        }
    }

    fn terminate(&mut self, _: &ExitReason) {
        self.1.send(Event::Terminated(self.0.clone()));
    }
}

/// The children that a test needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Plan {
    strategy: Strategy,
    names: Vec<String>,
    restart: Restart,
    restarts_max: u32,
    significant: Vec<String>,
    auto_shutdown: AutoShutdown,
    backoff: Option<Backoff>,
    witness: Address<Event>,
}

impl Plan {
    fn new(strategy: Strategy, names: &[&str]) -> Self {
        Self {
            strategy,
            names: names.iter().map(|name| name.to_string()).collect(),
            restart: Restart::Permanent,
            restarts_max: 1,
            significant: Vec::new(),
            auto_shutdown: AutoShutdown::Never,
            backoff: None,
            witness: Mailbox::new().address(),
        }
    }

    fn spec(&self) -> Spec {
        let spec = match self.strategy {
            Strategy::OneForOne => Spec::one_for_one(),
            Strategy::OneForAll => Spec::one_for_all(),
            Strategy::RestForOne => Spec::rest_for_one(),
        };
        let spec = spec
            .intensity(self.restarts_max, LONG)
            .auto_shutdown(self.auto_shutdown)
            .quiet();
        let spec = match self.backoff {
            Some(backoff) => spec.backoff(backoff),
            None => spec,
        };
        self.names.iter().fold(spec.addable::<Probe>(), |spec, name| {
            let child = Child::actor::<Probe>(name.clone(), (name.clone(), self.witness)).restart(self.restart);
            let significant = self.significant.contains(name);
            spec.child(if significant { child.significant() } else { child })
        })
    }

    fn start(self) -> ActorRef<Supervisor<Planned>> {
        Supervisor::start(self).unwrap()
    }
}

struct Planned;

impl Supervise for Planned {
    type Args = Plan;

    fn init(plan: Plan) -> Spec {
        plan.spec()
    }
}

type Planner = ActorRef<Supervisor<Planned>>;

/// The processes of the children, in order.
fn processes(supervisor: &Planner) -> Vec<Option<Process>> {
    let children = supervisor.children().unwrap();
    children.into_iter().map(|child| child.process).collect()
}

/// The ways in which a child can exit.
fn ends() -> Vec<(fn(Process), bool)> {
    fn cast(process: Process, cast: Cast) {
        ActorRef::<Probe>::of(process).cast(cast);
    }
    vec![
        (|process| cast(process, Cast::End(ExitReason::Normal)), true),
        (|process| cast(process, Cast::End(ExitReason::Shutdown)), true),
        (
            |process| cast(process, Cast::End(ExitReason::Error("no".to_owned()))),
            false,
        ),
        (|process| cast(process, Cast::End(ExitReason::Exit(3))), false),
        (|process| cast(process, Cast::Panic), false),
        (|process| process.kill(), false),
    ]
}

/// For each restart type, each kind of exit, each strategy, and each position among three children: the children that
/// are restarted are those that OTP restarts, and no others are affected.
#[lunatic::test]
fn the_matrix_of_restarts() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            for (end, orderly) in ends() {
                for place in 0..3 {
                    let mut plan = Plan::new(strategy, &["a", "b", "c"]);
                    plan.restart = restart;
                    let supervisor = plan.start();
                    let before = processes(&supervisor);
                    let victim = before[place].unwrap();
                    end(victim);
                    victim.join();
                    let after = processes(&supervisor);
                    let restarts = match restart {
                        Restart::Permanent => true,
                        Restart::Transient => !orderly,
                        Restart::Temporary => false,
                    };
                    let case = format!("{strategy:?}, {restart:?}, orderly: {orderly}, child {place}");
                    if restart == Restart::Temporary {
                        let mut left = before.clone();
                        left.remove(place);
                        assert_eq!(after, left, "{case}");
                    } else {
                        for other in 0..3 {
                            let replaced = restarts
                                && match strategy {
                                    Strategy::OneForOne => other == place,
                                    Strategy::OneForAll => true,
                                    Strategy::RestForOne => other >= place,
                                };
                            match (replaced, other == place) {
                                (true, _) => {
                                    assert!(after[other].is_some_and(|process| process.is_alive()), "{case}");
                                    assert_ne!(after[other], before[other], "{case}");
                                    assert!(!before[other].unwrap().is_alive(), "{case}");
                                }
                                (false, true) => assert_eq!(after[other], None, "{case}"),
                                (false, false) => assert_eq!(after[other], before[other], "{case}"),
                            }
                        }
                    }
                    supervisor.stop();
                    assert!(after.iter().flatten().all(|process| !process.is_alive()), "{case}");
                }
            }
        }
    }
}

fn events() -> Vec<Event> {
    let mailbox = Mailbox::new();
    std::iter::from_fn(|| mailbox.try_receive().ok()).collect()
}

fn started(names: &[&str]) -> Vec<Event> {
    names.iter().map(|name| Event::Started(name.to_string())).collect()
}

fn terminated(names: &[&str]) -> Vec<Event> {
    names.iter().map(|name| Event::Terminated(name.to_string())).collect()
}

#[lunatic::test]
fn children_start_in_order_and_end_in_reverse_order() {
    let supervisor = Plan::new(Strategy::OneForAll, &["a", "b", "c"]).start();
    assert_eq!(events(), started(&["a", "b", "c"]));
    let second = processes(&supervisor)[1].unwrap();
    second.kill();
    second.join();
    processes(&supervisor);
    let expected = [terminated(&["c", "a"]), started(&["a", "b", "c"])].concat();
    assert_eq!(events(), expected);
    assert_eq!(supervisor.stop(), ExitReason::Normal);
    assert_eq!(events(), terminated(&["c", "b", "a"]));
}

fn failed(names: &[&str]) -> Vec<Event> {
    names.iter().map(|name| Event::Failed(name.to_string())).collect()
}

/// Waits for the next event.
fn next_event() -> Event {
    Mailbox::new().receive()
}

fn kill(process: Option<Process>) {
    process.unwrap().kill();
    process.unwrap().join();
}

/// As in OTP, the next try restarts the sibling that did not start, with the children that the strategy adds to it.
#[lunatic::test]
fn a_sibling_that_does_not_start_is_tried_again_itself() {
    let cases = [
        // -a -c -b +a !b +b +c
        (Strategy::RestForOne, vec![], vec!["b", "c"]),
        // -a -c -b +a !b -a +a +b +c
        (Strategy::OneForAll, vec!["a"], vec!["a", "b", "c"]),
    ];
    for (strategy, ended_again, started_again) in cases {
        let mut plan = Plan::new(strategy, &["a", "b", "c"]);
        plan.restarts_max = 2;
        let supervisor = plan.start();
        assert_eq!(events(), started(&["a", "b", "c"]));
        registry::register("fail b", this_process()).unwrap();
        kill(processes(&supervisor)[0]);
        let expected = [
            terminated(&["c", "b"]),
            started(&["a"]),
            failed(&["b"]),
            terminated(&ended_again),
            started(&started_again),
        ]
        .concat();
        let trace: Vec<Event> = expected.iter().map(|_| next_event()).collect();
        assert_eq!(trace, expected, "{strategy:?}");
        let children = supervisor.children().unwrap();
        assert!(
            children
                .iter()
                .all(|child| child.process.is_some_and(|process| process.is_alive()))
        );
        assert_eq!(
            children.iter().map(|child| child.restarts).collect::<Vec<_>>(),
            [1, 1, 0]
        );
        supervisor.stop();
        assert_eq!(events(), terminated(&["c", "b", "a"]));
    }
}

/// As in OTP, the child is `restarting`, and can be terminated for good.
#[lunatic::test]
fn a_supervisor_answers_while_a_child_does_not_start() {
    let mut plan = Plan::new(Strategy::OneForOne, &["a", "b"]);
    plan.restarts_max = u32::MAX;
    let supervisor = plan.start();
    registry::register("always fail a", this_process()).unwrap();
    kill(processes(&supervisor)[0]);
    for _ in 0..3 {
        let children = supervisor.children().unwrap();
        assert_eq!((children[0].process, children[0].restarting), (None, true));
        assert!(children[1].process.is_some() && !children[1].restarting);
        assert_eq!(supervisor.restart_child("a"), Err(SuperviseError::Restarting));
        assert_eq!(supervisor.delete_child("a"), Err(SuperviseError::Restarting));
    }
    // The other child is handled meanwhile.
    let other = processes(&supervisor)[1];
    kill(other);
    assert!(processes(&supervisor)[1].is_some_and(|process| Some(process) != other));
    supervisor.terminate_child("a").unwrap();
    let tried = supervisor.children().unwrap()[0].restarts;
    assert!(tried > 1);
    events();
    let children = supervisor.children().unwrap();
    assert_eq!((children[0].restarting, children[0].restarts), (false, tried));
    assert_eq!(events(), [], "it is not tried any more");
    assert!(matches!(supervisor.restart_child("a"), Err(SuperviseError::Start(_))));
    assert!(registry::unregister("always fail a"));
    assert!(supervisor.restart_child("a").unwrap().is_alive());
    supervisor.stop();
}

/// Each try counts; the supervisor gives up after the allowed number.
#[lunatic::test]
fn a_child_that_never_starts_uses_up_the_intensity() {
    let mut plan = Plan::new(Strategy::OneForOne, &["a", "b"]);
    plan.restarts_max = 5;
    let supervisor = plan.start();
    registry::register("always fail a", this_process()).unwrap();
    kill(processes(&supervisor)[0]);
    assert_eq!(supervisor.process().join(), ExitReason::Shutdown);
    let expected = [started(&["a", "b"]), failed(&["a"; 5]), terminated(&["b"])].concat();
    assert_eq!(events(), expected);
}

#[lunatic::test]
fn restarts_wait_longer_each_time_in_a_row() {
    time::pause();
    let second = Duration::from_secs(1);
    let mut plan = Plan::new(Strategy::OneForOne, &["a", "b"]);
    plan.restarts_max = 100;
    plan.backoff = Some(Backoff::new(second).factor(3).max(10 * second));
    let supervisor = plan.start();
    events();
    registry::register("always fail a", this_process()).unwrap();
    let start = Instant::now();
    kill(processes(&supervisor)[0]);
    for seconds in [1, 4, 13, 23, 33] {
        let children = supervisor.children().unwrap();
        assert!(children[0].restarting && children[1].process.is_some());
        assert_eq!(next_event(), Event::Failed("a".to_owned()));
        assert_eq!(start.elapsed(), seconds * second);
    }
    assert!(registry::unregister("always fail a"));
    assert_eq!(next_event(), Event::Started("a".to_owned()));
    assert_eq!(start.elapsed(), 43 * second);
    // It fails again before it has run for long, and then after that.
    kill(processes(&supervisor)[0]);
    assert_eq!(next_event(), Event::Started("a".to_owned()));
    assert_eq!(start.elapsed(), 53 * second);
    time::advance(11 * second);
    kill(processes(&supervisor)[0]);
    assert_eq!(next_event(), Event::Started("a".to_owned()));
    assert_eq!(start.elapsed(), 65 * second);
    supervisor.stop();
}

/// Children that are restarted together do not run while one of them waits.
#[lunatic::test]
fn who_is_restarted_together_waits_together() {
    for (strategy, victim, together) in [
        (Strategy::OneForOne, 1, vec![]),
        (Strategy::OneForAll, 1, vec!["a", "c"]),
        (Strategy::RestForOne, 1, vec!["c"]),
    ] {
        let minute = Duration::from_secs(60);
        let mut plan = Plan::new(strategy, &["a", "b", "c"]);
        plan.backoff = Some(Backoff::new(minute));
        let supervisor = plan.start();
        events();
        kill(processes(&supervisor)[victim]);
        let children = supervisor.children().unwrap();
        for (place, child) in children.iter().enumerate() {
            let is_down = place == victim || together.contains(&child.id.as_str());
            assert_eq!(child.process.is_none(), is_down, "{strategy:?} {child:?}");
            assert_eq!(child.restarting, place == victim, "{strategy:?} {child:?}");
        }
        let reversed: Vec<&str> = together.iter().rev().copied().collect();
        assert_eq!(events(), terminated(&reversed));
        supervisor.terminate_child("b").unwrap();
        assert!(supervisor.children().unwrap().iter().all(|child| !child.restarting));
        supervisor.restart_child("b").unwrap();
        supervisor.stop();
    }
}

#[lunatic::test]
fn a_dynamic_supervisor_answers_while_a_child_does_not_start() {
    time::pause();
    let hour = Duration::from_secs(3600);
    let options = DynamicOptions {
        quiet: true,
        backoff: Some(Backoff::new(hour).factor(1)),
        ..DynamicOptions::default()
    };
    let supervisor = DynamicSupervisor::<Probe>::start(options).unwrap();
    let witness = Mailbox::new().address();
    let [first, second] = ["a", "b"].map(|name| supervisor.start_child((name.to_owned(), witness)).unwrap());
    events();
    let start = Instant::now();
    registry::register("always fail a", this_process()).unwrap();
    kill(Some(first.process()));
    for hours in 1..=3 {
        assert_eq!(supervisor.child_count(), Ok(2));
        assert_eq!(supervisor.child_actors(), Ok(vec![second]));
        assert_eq!(next_event(), Event::Failed("a".to_owned()));
        assert_eq!(start.elapsed(), hours * hour);
    }
    supervisor.terminate_child(first).unwrap();
    assert_eq!(supervisor.terminate_child(first), Err(SuperviseError::NotFound));
    time::advance(10 * hour);
    assert_eq!((supervisor.child_count(), events()), (Ok(1), vec![]));
    supervisor.stop();
}

#[lunatic::test]
fn a_pool_answers_while_a_worker_does_not_start() {
    time::pause();
    let second = Duration::from_secs(1);
    let args = ("worker".to_owned(), Mailbox::new().address());
    let options = PoolOptions::new::<Probe>(2, args)
        .grow_to(3)
        .intensity(100, LONG)
        .backoff(Backoff::new(second).max(4 * second));
    let pool = WorkerPool::<Probe>::start(options).unwrap();
    assert_eq!(events(), started(&["worker"; 2]));
    let start = Instant::now();
    registry::register("always fail worker", this_process()).unwrap();
    let [lent, victim] = [pool.take().unwrap(), pool.take().unwrap()];
    kill(Some(victim.process()));
    for seconds in [1, 3, 7, 11] {
        let status = pool.status().unwrap();
        assert_eq!((status.free, status.lent, status.restarting), (0, 1, 1));
        assert_eq!(next_event(), Event::Failed("worker".to_owned()));
        assert_eq!(start.elapsed(), seconds * second);
    }
    assert!(registry::unregister("always fail worker"));
    assert!(pool.take().unwrap().process().is_alive());
    assert_eq!(start.elapsed(), 15 * second);
    drop((lent, victim));
    assert_eq!(status(&pool), (2, 0, 0));
    pool.stop();
}

#[lunatic::test]
fn a_child_that_does_not_start_ends_those_before_it() {
    let failed = Supervisor::<Planned>::start(Plan::new(Strategy::OneForOne, &["a", "b", "unwilling", "d"]));
    match failed {
        Err(StartError::Init(ExitReason::Error(text))) => {
            assert!(
                text.contains("`unwilling`") && text.contains("does not want to"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(events(), [started(&["a", "b"]), terminated(&["b", "a"])].concat());
}

#[lunatic::test]
fn faulty_specs_do_not_start() {
    let failed = Supervisor::<Planned>::start(Plan::new(Strategy::OneForOne, &["a", "a"]));
    assert!(matches!(failed, Err(StartError::Init(ExitReason::Error(text))) if text.contains("two children")));
    assert_eq!(events(), []);
}

/// One restart more than allowed terminates the supervisor in an orderly way, with the reason `Shutdown`.
#[lunatic::test]
fn a_supervisor_gives_up_after_too_many_restarts() {
    let mut plan = Plan::new(Strategy::OneForOne, &["a", "b"]);
    plan.restarts_max = 3;
    let supervisor = plan.start();
    for restarts in 0..4 {
        let children = supervisor.children().unwrap();
        assert_eq!(children[1].restarts, restarts);
        let victim = children[1].process.unwrap();
        victim.kill();
        victim.join();
    }
    assert_eq!(supervisor.process().join(), ExitReason::Shutdown);
    assert_eq!(events().last(), Some(&Event::Terminated("a".to_owned())));
}

struct Tree;

impl Supervise for Tree {
    type Args = (u32, Plan);

    fn init((depth, plan): Self::Args) -> Spec {
        let spec = Spec::one_for_one().intensity(3, LONG).quiet();
        match depth {
            0 => spec.child(Child::supervisor::<Planned>("leaves", plan)),
            _ => spec.child(Child::supervisor::<Tree>("below", (depth - 1, plan))),
        }
    }
}

/// A supervisor that gives up is restarted by its own supervisor, with all its children; trees of any depth terminate
/// in order.
#[lunatic::test]
fn failures_escalate_in_a_tree() {
    let mut plan = Plan::new(Strategy::OneForOne, &["a", "b"]);
    plan.restarts_max = 0;
    let top = Supervisor::<Tree>::start((5, plan)).unwrap();
    let leaves = || {
        let mut below = top;
        for _ in 0..5 {
            below = ActorRef::of(below.children().unwrap()[0].process.unwrap());
        }
        let children = below.children().unwrap();
        (below, Planner::of(children[0].process.unwrap()))
    };
    let (parent, first) = leaves();
    let victim = processes(&first)[0].unwrap();
    victim.kill();
    victim.join();
    assert_eq!(first.process().join(), ExitReason::Shutdown);
    assert_eq!(parent.children().unwrap()[0].restarts, 1);
    let (_, second) = leaves();
    assert_ne!(first, second);
    let alive: Vec<_> = processes(&second).into_iter().flatten().collect();
    assert_eq!(alive.len(), 2);
    events();
    top.stop();
    assert!(alive.iter().all(|process| !process.is_alive()));
    assert_eq!(events(), terminated(&["b", "a"]));
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Stubborn(Shutdown, Address<()>);

impl Supervise for Stubborn {
    type Args = Self;

    fn init(Stubborn(shutdown, ready): Self) -> Spec {
        let child = Child::process("mule", move || {
            trap_exit(true);
            ready.send(());
            loop {
                let _ = Mailbox::<()>::topic("nothing").receive_mail();
            }
        });
        Spec::one_for_one().child(child.shutdown(shutdown))
    }
}

/// Children that ignore the request to exit are killed after their timeout, or immediately.
#[lunatic::test]
fn stubborn_children_are_killed() {
    for shutdown in [Shutdown::Timeout(Duration::from_millis(5)), Shutdown::BrutalKill] {
        let supervisor = Supervisor::<Stubborn>::start(Stubborn(shutdown, Mailbox::new().address())).unwrap();
        Mailbox::<()>::new().receive();
        let mule = supervisor.children().unwrap()[0].process.unwrap();
        supervisor.stop();
        assert_eq!(mule.join(), ExitReason::Killed);
    }
}

#[lunatic::test]
fn a_supervisor_ends_with_its_parent() {
    let told = Mailbox::<Process>::new().address();
    let witness = Mailbox::new().address();
    let parent = Process::spawn(move || {
        let plan = Plan {
            witness,
            ..Plan::new(Strategy::OneForOne, &["a"])
        };
        told.send(Supervisor::<Planned>::start_link(plan).unwrap().process());
        Mailbox::<()>::new().receive();
    })
    .unwrap();
    let supervisor = Mailbox::<Process>::new().receive();
    parent.exit(&ExitReason::Error("enough".to_owned()));
    assert_eq!(supervisor.join(), ExitReason::Error("enough".to_owned()));
    assert_eq!(events(), [started(&["a"]), terminated(&["a"])].concat());
}

#[lunatic::test]
fn children_are_seen_to_by_hand() {
    let supervisor = Plan::new(Strategy::OneForOne, &["a"]).start();
    let args = |name: &str| (name.to_owned(), Mailbox::new().address());
    let added = supervisor.add_child::<Probe>("b", args("b"), Restart::Permanent, Shutdown::default());
    let added = added.unwrap();
    assert_eq!(added.call(|reply| reply).unwrap(), "b");
    let again = supervisor.add_child::<Probe>("b", args("b"), Restart::Permanent, Shutdown::default());
    assert_eq!(again, Err(SuperviseError::Exists));
    let unwilling = supervisor.add_child::<Probe>("c", args("unwilling"), Restart::Permanent, Shutdown::default());
    assert!(matches!(unwilling, Err(SuperviseError::Start(_))));
    let options = DynamicOptions::default();
    let other = supervisor.add_child::<DynamicSupervisor<Probe>>("d", options, Restart::Permanent, Shutdown::default());
    assert!(matches!(other, Err(SuperviseError::Refused(_))));
    assert_eq!(supervisor.delete_child("b"), Err(SuperviseError::Running));
    assert_eq!(supervisor.restart_child("b"), Err(SuperviseError::Running));
    supervisor.terminate_child("b").unwrap();
    assert!(!added.process().is_alive());
    let restarted = supervisor.restart_child("b").unwrap();
    assert_ne!(restarted, added.process());
    supervisor.terminate_child("b").unwrap();
    supervisor.delete_child("b").unwrap();
    assert_eq!(supervisor.terminate_child("b"), Err(SuperviseError::NotFound));
    let ids: Vec<String> = supervisor
        .children()
        .unwrap()
        .into_iter()
        .map(|child| child.id)
        .collect();
    assert_eq!(ids, ["a"]);
    supervisor.stop();
    assert!(matches!(supervisor.children(), Err(SuperviseError::Gone(_))));
}

/// The orderly exit of significant children terminates the supervisor: of the first one, or of the last one.
#[lunatic::test]
fn significant_children_end_their_supervisor() {
    for (auto_shutdown, ends_after) in [(AutoShutdown::AnySignificant, 1), (AutoShutdown::AllSignificant, 2)] {
        let mut plan = Plan::new(Strategy::OneForOne, &["a", "b", "c"]);
        plan.restart = Restart::Transient;
        plan.auto_shutdown = auto_shutdown;
        plan.significant = vec!["a".to_owned(), "c".to_owned()];
        let supervisor = plan.start();
        let children = processes(&supervisor);
        for (count, place) in [(0, 1), (1, 0), (2, 2)] {
            assert_eq!(
                supervisor.process().is_alive(),
                count <= ends_after,
                "{auto_shutdown:?} {count}"
            );
            let child = ActorRef::<Probe>::of(children[place].unwrap());
            child.stop();
            if count == ends_after {
                assert_eq!(supervisor.process().join(), ExitReason::Shutdown);
                break;
            }
            supervisor.children().unwrap();
        }
    }
}

struct Many;

impl Supervise for Many {
    type Args = u32;

    fn init(count: u32) -> Spec {
        let spec = Spec::one_for_one().intensity(count, LONG).quiet();
        (0..count).fold(spec, |spec, number| {
            spec.child(Child::process(number.to_string(), || {
                Mailbox::<()>::new().receive();
            }))
        })
    }
}

#[lunatic::test]
fn ten_thousand_children_are_supervised() {
    let supervisor = Supervisor::<Many>::start(10_000).unwrap();
    let children = supervisor.children().unwrap();
    assert_eq!(children.len(), 10_000);
    let victims: Vec<&ChildInfo> = children.iter().step_by(100).collect();
    for victim in &victims {
        victim.process.unwrap().kill();
    }
    for victim in &victims {
        victim.process.unwrap().join();
    }
    let after = supervisor.children().unwrap();
    assert_eq!(after.iter().filter(|child| child.restarts == 1).count(), victims.len());
    assert!(
        after
            .iter()
            .all(|child| child.process.is_some_and(|process| process.is_alive()))
    );
    supervisor.stop();
    assert!(after.iter().all(|child| !child.process.unwrap().is_alive()));
}

#[lunatic::test]
fn a_dynamic_supervisor_restarts_each_child_with_its_own_arguments() {
    let options = DynamicOptions {
        intensity: Intensity {
            restarts: 1000,
            period: LONG,
        },
        quiet: true,
        children_max: Some(1000),
        ..DynamicOptions::default()
    };
    let supervisor = DynamicSupervisor::<Probe>::start(options).unwrap();
    let witness = Mailbox::<Event>::new().address();
    let children: Vec<_> = (0..1000)
        .map(|number: u32| supervisor.start_child((number.to_string(), witness)).unwrap())
        .collect();
    let one_more = supervisor.start_child(("one more".to_owned(), witness));
    assert!(matches!(one_more, Err(SuperviseError::Refused(_))));
    for child in children.iter().step_by(10) {
        child.process().kill();
        child.process().join();
    }
    let after = supervisor.child_actors().unwrap();
    let mut names: Vec<u32> = after
        .iter()
        .map(|child| child.call(|reply| reply).unwrap().parse().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, (0..1000).collect::<Vec<u32>>());
    supervisor.terminate_child(after[0]).unwrap();
    assert!(!after[0].process().is_alive());
    assert_eq!(supervisor.terminate_child(after[0]), Err(SuperviseError::NotFound));
    assert_eq!(supervisor.child_count(), Ok(999));
    supervisor.stop();
    assert!(after.iter().all(|child| !child.process().is_alive()));
}

#[lunatic::test]
fn a_dynamic_supervisor_gives_up_and_forgets_as_it_is_told() {
    let quiet = DynamicOptions {
        quiet: true,
        ..DynamicOptions::default()
    };
    let supervisor = DynamicSupervisor::<Probe>::start(quiet.clone()).unwrap();
    for _ in 0..2 {
        let child = supervisor
            .start_child(("a".to_owned(), Mailbox::new().address()))
            .unwrap();
        child.process().kill();
        child.process().join();
    }
    assert_eq!(supervisor.process().join(), ExitReason::Shutdown);
    let temporary = DynamicOptions {
        restart: Restart::Temporary,
        ..quiet
    };
    let supervisor = DynamicSupervisor::<Probe>::start(temporary).unwrap();
    for _ in 0..100 {
        let child = supervisor
            .start_child(("a".to_owned(), Mailbox::new().address()))
            .unwrap();
        child.process().kill();
        child.process().join();
    }
    assert_eq!(supervisor.child_count(), Ok(0));
}

fn pool(size: u32, max: u32) -> ActorRef<WorkerPool<Probe>> {
    let args = ("worker".to_owned(), Mailbox::new().address());
    let options = PoolOptions::new::<Probe>(size, args).grow_to(max).intensity(100, LONG);
    WorkerPool::start(options).unwrap()
}

fn status(pool: &ActorRef<WorkerPool<Probe>>) -> (u32, u32, u32) {
    let status = pool.status().unwrap();
    (status.free, status.lent, status.waiting)
}

#[lunatic::test]
fn a_pool_lends_each_worker_once_and_takes_it_back() {
    let pool = pool(2, 2);
    let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
    assert_ne!(first.process(), second.process());
    assert_eq!(first.call(|reply| reply).unwrap(), "worker");
    assert!(pool.take_timeout(Duration::from_millis(1)).is_err());
    assert_eq!(status(&pool), (0, 2, 0));
    let process = first.process();
    drop(first);
    assert_eq!(pool.take().unwrap().process(), process);
    drop(second);
    assert_eq!(status(&pool), (2, 0, 0));
}

#[lunatic::test]
fn a_pool_replaces_workers_that_crash() {
    let pool = pool(3, 3);
    let lent = pool.take().unwrap();
    let (victim, other) = (lent.process(), pool.take().unwrap().process());
    for process in [victim, other] {
        process.kill();
        process.join();
    }
    assert_eq!(status(&pool), (3, 0, 0));
    drop(lent);
    assert_eq!(status(&pool), (3, 0, 0), "what is gone is not given back");
}

#[lunatic::test]
fn a_pool_gets_its_worker_back_when_the_borrower_ends() {
    let pool = pool(1, 1);
    let borrower = Process::spawn(move || {
        std::mem::forget(pool.take().unwrap());
    });
    borrower.unwrap().join();
    assert!(pool.take().is_ok());
}

#[lunatic::test]
fn a_pool_grows_and_shrinks() {
    let pool = pool(1, 3);
    let loans = [pool.take().unwrap(), pool.take().unwrap(), pool.take().unwrap()];
    assert_eq!(status(&pool), (0, 3, 0));
    drop(loans);
    assert_eq!(status(&pool), (1, 0, 0));
    pool.resize(5).unwrap();
    assert_eq!(status(&pool), (5, 0, 0));
    pool.resize(2).unwrap();
    assert_eq!(status(&pool), (2, 0, 0));
    pool.stop();
}

#[lunatic::test]
fn a_pool_that_was_made_smaller_stays_small_under_load() {
    let args = ("worker".to_owned(), Mailbox::new().address());
    let fixed = WorkerPool::start(PoolOptions::new::<Probe>(4, args)).unwrap();
    fixed.resize(2).unwrap();
    let growing = pool(4, 3);
    growing.resize(2).unwrap();
    for (pool, most) in [(fixed, 2), (growing, 3)] {
        let loans: Vec<_> = (0..most).map(|_| pool.take().unwrap()).collect();
        assert!(pool.take_timeout(Duration::from_millis(1)).is_err());
        assert_eq!(status(&pool), (0, most, 0));
        drop(loans);
        assert_eq!(status(&pool), (2, 0, 0));
        pool.stop();
    }
}

#[lunatic::test]
fn a_pool_serves_those_who_wait_in_their_order() {
    let pool = pool(1, 1);
    let loan = pool.take().unwrap();
    let served = Mailbox::<u32>::new().address();
    for number in 0..10 {
        Process::spawn(move || {
            let _loan = pool.take().unwrap();
            served.send(number);
        })
        .unwrap();
        while status(&pool).2 != number + 1 {
            lunatic::yield_now();
        }
    }
    drop(loan);
    let order: Vec<u32> = (0..10).map(|_| Mailbox::new().receive()).collect();
    assert_eq!(order, (0..10).collect::<Vec<u32>>());
}

#[lunatic::test]
fn a_linked_supervisor_that_gives_up_tells_who_started_it() {
    trap_exit(true);
    let mut plan = Plan::new(Strategy::OneForOne, &["a"]);
    plan.restarts_max = 0;
    let supervisor = Supervisor::<Planned>::start_link(plan).unwrap();
    processes(&supervisor)[0].unwrap().kill();
    assert_eq!(
        Mailbox::<()>::new().receive_mail(),
        Mail::Exit {
            from: supervisor.process(),
            reason: ExitReason::Shutdown
        }
    );
    assert_ne!(supervisor.process(), this_process());
}
