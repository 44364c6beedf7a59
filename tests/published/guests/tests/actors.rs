//! Abstract processes, supervisors, names, timers, process-local data, caught panics, tasks, protocols, functions.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use lunatic::ap::handlers::{DeferredRequest, Message, Request};
use lunatic::ap::{
    AbstractProcess, Config, DeferredRequestHandler, DeferredResponse, MessageHandler, ProcessRef, RequestHandler,
    StartupError, State,
};
use lunatic::function::FuncRef;
use lunatic::protocol::{End, Recv, Send};
use lunatic::serializer::{Json, MessagePack};
use lunatic::supervisor::{Supervisor, SupervisorConfig, SupervisorStrategy};
use lunatic::{abstract_process, process_local, spawn_link, Mailbox, Process, Tag};

/// A counter in full.
struct Counter;

#[derive(serde::Serialize, serde::Deserialize)]
struct Add(u32);
#[derive(serde::Serialize, serde::Deserialize)]
struct Get;
#[derive(serde::Serialize, serde::Deserialize)]
struct Later;
#[derive(serde::Serialize, serde::Deserialize)]
struct Fail;

impl AbstractProcess for Counter {
    type State = u32;
    type Serializer = lunatic::serializer::Bincode;
    type Arg = Option<u32>;
    type Handlers = (Message<Add>, Request<Get>, DeferredRequest<Later>, Message<Fail>);
    type StartupError = String;

    fn init(_: Config<Self>, start: Option<u32>) -> Result<u32, String> {
        match start {
            Some(13) => panic!("unlucky"),
            Some(start) => Ok(start),
            None => Err("no number".into()),
        }
    }
}

impl MessageHandler<Add> for Counter {
    fn handle(mut state: State<Self>, Add(number): Add) {
        *state += number;
    }
}

impl MessageHandler<Fail> for Counter {
    fn handle(_: State<Self>, _: Fail) {
        panic!("on purpose");
    }
}

impl RequestHandler<Get> for Counter {
    type Response = u32;

    fn handle(state: State<Self>, _: Get) -> u32 {
        *state
    }
}

impl DeferredRequestHandler<Later> for Counter {
    type Response = u32;

    fn handle(state: State<Self>, _: Later, response: DeferredResponse<u32, Self>) {
        let value = *state;
        spawn_link!(|response, value| response.send_response(value + 1000));
    }
}

#[lunatic::test]
fn requests_and_messages_are_handled_in_order() {
    let counter = Counter::start(Some(1)).unwrap();
    counter.send(Add(2));
    assert_eq!(counter.request(Get), 3);
    assert_eq!(counter.deferred_request(Later), 1003);
    for number in 0..500 {
        counter.send(Add(1));
        assert_eq!(counter.request(Get), 4 + number);
    }
    counter.shutdown();
    assert!(!counter.is_alive());
}

#[lunatic::test]
fn what_goes_wrong_at_the_start_is_reported() {
    assert!(matches!(Counter::start(None), Err(StartupError::Custom(text)) if text == "no number"));
    assert!(matches!(Counter::start(Some(13)), Err(StartupError::InitPanicked)));
}

#[lunatic::test]
fn a_name_is_given_once() {
    let first = Counter::start_as(&"counter", Some(5)).unwrap();
    match Counter::start_as(&"counter", Some(6)) {
        Err(StartupError::NameAlreadyRegistered(existing)) => assert_eq!(existing, first),
        _ => panic!("the name is there"),
    }
    let found = ProcessRef::<Counter>::lookup(&"counter").unwrap();
    assert_eq!(found.request(Get), 5);
    assert!(ProcessRef::<Counter>::lookup(&"other").is_none());
}

#[lunatic::test]
fn plain_processes_have_names_too(mailbox: Mailbox<u8>) {
    assert!(Process::<u8>::lookup(&"me").is_none());
    mailbox.this().register(&"me");
    Process::<u8>::lookup(&"me").unwrap().send(9);
    assert_eq!(mailbox.receive(), 9);
}

#[lunatic::test]
fn a_request_can_time_out() {
    struct Slow;
    #[abstract_process]
    impl Slow {
        #[init]
        fn init(_: Config<Self>, _: ()) -> Result<Self, ()> {
            Ok(Self)
        }

        #[handle_request]
        fn wait(&self, ms: u64) -> u64 {
            lunatic::sleep(Duration::from_millis(ms));
            ms
        }
    }
    let slow = Slow::start(()).unwrap();
    assert!(slow.with_timeout(Duration::from_millis(5)).wait(200).is_err());
    assert_eq!(slow.with_timeout(Duration::from_secs(60)).wait(1).unwrap(), 1);
}

#[lunatic::test]
fn a_delayed_message_comes_later_or_never() {
    let counter = Counter::start(Some(0)).unwrap();
    let begin = Instant::now();
    counter.with_delay(Duration::from_millis(30)).send(Add(1));
    let cancelled = counter.with_delay(Duration::from_secs(60)).send(Add(100));
    assert!(cancelled.cancel());
    while counter.request(Get) == 0 {
        lunatic::sleep(Duration::from_millis(1));
    }
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert_eq!(counter.request(Get), 1);
}

#[lunatic::test]
fn a_link_death_is_handled() {
    struct Watcher {
        deaths: u32,
    }
    #[abstract_process]
    impl Watcher {
        #[init]
        fn init(config: Config<Self>, _: ()) -> Result<Self, ()> {
            config.die_if_link_dies(false);
            Counter::link().start(Some(1)).unwrap().send(Fail);
            Ok(Self { deaths: 0 })
        }

        #[handle_link_death]
        fn handle_link_death(&mut self, _: Tag) {
            self.deaths += 1;
        }

        #[handle_request]
        fn deaths(&self) -> u32 {
            self.deaths
        }
    }
    let watcher = Watcher::start(()).unwrap();
    while watcher.deaths() == 0 {
        lunatic::sleep(Duration::from_millis(1));
    }
    assert_eq!(watcher.deaths(), 1);
}

struct Office;

impl Supervisor for Office {
    type Arg = SupervisorStrategyName;
    type Children = (Counter, Counter);

    fn init(config: &mut SupervisorConfig<Self>, strategy: SupervisorStrategyName) {
        config.set_strategy(match strategy {
            SupervisorStrategyName::OneForOne => SupervisorStrategy::OneForOne,
            SupervisorStrategyName::OneForAll => SupervisorStrategy::OneForAll,
            SupervisorStrategyName::RestForOne => SupervisorStrategy::RestForOne,
        });
        config.set_args((Some(10), Some(20)));
        config.set_names((Some("first".to_owned()), Some("second".to_owned())));
    }
}

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
enum SupervisorStrategyName {
    OneForOne,
    OneForAll,
    RestForOne,
}

/// Adds to both children, fails one, and tells what both count when that one has been started again.
fn after_a_failure(strategy: SupervisorStrategyName, fails: &str) -> (u32, u32) {
    let office = Office::link().start(strategy).unwrap();
    let child = |name: &str| ProcessRef::<Counter>::lookup(name).unwrap();
    for name in ["first", "second"] {
        child(name).send(Add(1));
    }
    assert_eq!((child("first").request(Get), child("second").request(Get)), (11, 21));
    let failed = child(fails).id();
    child(fails).send(Fail);
    // The supervisor takes the name from the failed one before the next has it.
    while ProcessRef::<Counter>::lookup(fails).is_none_or(|child| child.id() == failed) {
        lunatic::sleep(Duration::from_millis(1));
    }
    // Answered after all children have been started again.
    let (first, second) = office.children();
    let counts = (first.request(Get), second.request(Get));
    office.shutdown();
    assert!(!first.is_alive() && !second.is_alive());
    counts
}

#[lunatic::test]
fn one_for_one() {
    assert_eq!(after_a_failure(SupervisorStrategyName::OneForOne, "first"), (10, 21));
}

#[lunatic::test]
fn one_for_all() {
    assert_eq!(after_a_failure(SupervisorStrategyName::OneForAll, "second"), (10, 20));
}

#[lunatic::test]
fn rest_for_one() {
    assert_eq!(after_a_failure(SupervisorStrategyName::RestForOne, "second"), (11, 20));
}

#[lunatic::test]
fn the_first_and_the_rest_for_one() {
    assert_eq!(after_a_failure(SupervisorStrategyName::RestForOne, "first"), (10, 20));
}

process_local! {
    static NUMBER: Cell<u32> = Cell::new(1);
    static WORDS: RefCell<Vec<String>> = RefCell::new(Vec::new());
}

#[lunatic::test]
fn process_local_data_is_each_processs_own() {
    NUMBER.set(2);
    WORDS.with_borrow_mut(|mut words| words.push("mine".into()));
    let child = spawn_link!(@task || {
        WORDS.with_borrow_mut(|mut words| words.push("its".into()));
        (NUMBER.replace(7), WORDS.take())
    });
    assert_eq!(child.result(), (1, vec!["its".to_owned()]));
    assert_eq!((NUMBER.get(), WORDS.take()), (2, vec!["mine".to_owned()]));
}

#[lunatic::test]
fn panics_are_caught_and_the_process_goes_on(mailbox: Mailbox<u8>) {
    let value = String::from("kept");
    assert_eq!(lunatic::panic::catch_panic(|| value.len()).unwrap(), 4);
    assert!(lunatic::panic::catch_panic(|| panic!("on purpose")).is_err());
    // It may wait in there, and be caught within what is caught.
    let this = mailbox.this();
    let inner = lunatic::panic::catch_panic(|| {
        this.send(3);
        let received = mailbox.receive();
        assert!(lunatic::panic::catch_panic(|| assert_eq!(1, 2)).is_err());
        lunatic::sleep(Duration::from_millis(5));
        received
    });
    assert_eq!(inner.unwrap(), 3);
}

#[lunatic::test]
fn a_protocol_is_followed() {
    type Adder = Recv<i32, Recv<i32, Send<i32, End>>>;
    let adder = spawn_link!(|protocol: Protocol<Adder>| {
        let (protocol, a) = protocol.receive();
        let (protocol, b) = protocol.receive();
        let _ = protocol.send(a + b);
    });
    let adder = adder.send(2).send(2);
    let (_, sum) = adder.receive();
    assert_eq!(sum, 4);
}

#[lunatic::test]
fn functions_are_sent(mailbox: Mailbox<FuncRef<fn(i32) -> i32>>) {
    let this = mailbox.this();
    spawn_link!(|this| this.send(FuncRef::new(|number: i32| number + 1)));
    assert_eq!((mailbox.receive())(41), 42);
}

#[lunatic::test]
fn other_serializers_do_as_well() {
    fn echo<S>() -> Vec<String>
    where
        S: lunatic::serializer::CanSerialize<(Process<Vec<String>, S>, Vec<String>)>
            + lunatic::serializer::CanSerialize<Vec<String>>
            + lunatic::serializer::CanSerialize<()>,
    {
        // SAFETY: this process has no other mailbox: all that is sent to it is of this type, by this serializer.
        let this = unsafe { Process::<Vec<String>, S>::this() };
        this.send(vec!["a".into(), "größer".into()]);
        // SAFETY: as above.
        let mailbox = unsafe { Mailbox::<Vec<String>, S>::new() };
        mailbox.receive()
    }
    assert_eq!(echo::<Json>(), ["a", "größer"]);
    assert_eq!(echo::<MessagePack>(), ["a", "größer"]);
}

#[lunatic::test]
fn there_is_one_node() {
    use lunatic::distributed::{lookup_nodes, node_id, nodes};
    assert_eq!(nodes(), [node_id()]);
    assert_eq!(lookup_nodes("").unwrap(), [node_id()]);
    assert!(lookup_nodes("region=moon").unwrap().is_empty());
    let child = Process::<u8>::spawn_node(node_id(), 5_u8, |number, _: Mailbox<u8>| assert_eq!(number, 5));
    assert_eq!(child.node_id(), node_id());
}

#[lunatic::test]
fn metrics_are_counted() {
    lunatic::metrics::counter("published_counter", 2);
    lunatic::metrics::increment_counter("published_counter");
    lunatic::metrics::gauge("published_gauge", 1.5);
    lunatic::metrics::increment_gauge("published_gauge", 1.0);
    lunatic::metrics::decrement_gauge("published_gauge", 0.5);
    lunatic::metrics::histogram("published_histogram", 3.0);
}

#[lunatic::test]
#[should_panic(expected = "a #hash and more")]
fn an_expected_panic_is_found() {
    panic!("not only a #hash and more of it");
}

#[lunatic::test]
fn a_result_can_be_returned() -> Result<(), std::num::ParseIntError> {
    let number: u32 = "12".parse()?;
    assert_eq!(number, 12);
    Ok(())
}
