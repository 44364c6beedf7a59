//! Actors, from the inside: run with `cargo lunatic test`.

use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Info, Next, StartError};
use lunatic::mailbox::{CallError, Mail, ReplyTo};
use lunatic::process::trap_exit;
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, ProcessConfig, Task, registry, this_process, timer};
use serde::{Deserialize, Serialize};

struct Counter {
    value: i64,
    /// Records how the counter exits.
    witness: Address<ExitReason>,
    deferred: Vec<ReplyTo<i64>>,
}

#[derive(Serialize, Deserialize)]
enum Call {
    Get(ReplyTo<i64>),
    /// Gets an answer when something is added next.
    NextValue(ReplyTo<i64>),
    Crash(ReplyTo<()>),
    Watch(Process, ReplyTo<()>),
}

#[derive(Serialize, Deserialize)]
enum Cast {
    Add(i64),
    End(ExitReason),
}

impl Actor for Counter {
    type Args = (i64, Address<ExitReason>);
    type Call = Call;
    type Cast = Cast;

    fn init((value, witness): Self::Args) -> Result<Self, ExitReason> {
        assert!(value != 1000, "too large");
        match value {
            1001 => std::process::abort(),
            1002 => this_process().kill(),
            1003 => std::process::exit(3),
            _ => {}
        }
        if value < 0 {
            return Err(ExitReason::Error("negative".to_owned()));
        }
        Ok(Self {
            value,
            witness,
            deferred: Vec::new(),
        })
    }

    fn handle_call(&mut self, call: Call) -> Next {
        match call {
            Call::Get(reply) => reply.send(self.value),
            Call::NextValue(reply) => self.deferred.push(reply),
            Call::Crash(_) => panic!("as asked"),
            Call::Watch(process, reply) => {
                let _ = process.monitor();
                reply.send(());
            }
        }
        Next::Continue
    }

    fn handle_cast(&mut self, cast: Cast) -> Next {
        match cast {
            Cast::Add(number) => {
                self.value += number;
                self.deferred.drain(..).for_each(|reply| reply.send(self.value));
                Next::Continue
            }
            Cast::End(reason) => Next::Stop(reason),
        }
    }

    fn handle_info(&mut self, info: Info) -> Next {
        match info {
            Info::Down { reason, .. } => self.witness.send(reason),
            other => panic!("{other:?}"),
        }
        Next::Continue
    }

    fn terminate(&mut self, reason: &ExitReason) {
        self.witness.send(reason.clone());
    }
}

fn start(value: i64) -> Result<ActorRef<Counter>, StartError> {
    Counter::start((value, Mailbox::new().address()))
}

#[track_caller]
fn witnessed(reason: &ExitReason) {
    assert_eq!(Mailbox::<ExitReason>::new().try_receive().ok().as_ref(), Some(reason));
}

#[lunatic::test]
fn calls_and_casts_are_handled_in_their_order() {
    let counter = start(0).unwrap();
    for number in 1..=100 {
        counter.cast(Cast::Add(1));
        assert_eq!(counter.call(Call::Get).unwrap(), number);
    }
}

#[lunatic::test]
fn a_start_that_fails_says_why_and_harms_nobody() {
    let failed = ExitReason::Error("negative".to_owned());
    assert_eq!(start(-1), Err(StartError::Init(failed.clone())));
    let linked = Counter::start_link((-1, Mailbox::new().address()));
    assert_eq!(linked, Err(StartError::Init(failed)));
    let panicked = start(1000);
    assert!(matches!(panicked, Err(StartError::Init(ExitReason::Panic(text))) if text.contains("too large")));
}

#[lunatic::test]
fn an_actor_starts_although_the_mailbox_of_its_starter_is_full() {
    let starter = Process::builder().mailbox_max(1).spawn(|| {
        Mailbox::<u8>::new().address().try_send(1).unwrap();
        let counter = start(5).unwrap();
        assert_eq!(counter.call(Call::Get).unwrap(), 5);
        assert_eq!(
            start(-1),
            Err(StartError::Init(ExitReason::Error("negative".to_owned())))
        );
        trap_exit(true);
        let linked = Counter::start_link((6, Mailbox::new().address())).unwrap();
        assert_eq!(linked.call(Call::Get).unwrap(), 6);
    });
    assert_eq!(starter.unwrap().join(), ExitReason::Normal);
}

struct Large;

impl Actor for Large {
    type Args = Vec<u8>;
    type Call = ();
    type Cast = ();

    fn init(_: Vec<u8>) -> Result<Self, ExitReason> {
        Ok(Self)
    }
}

#[lunatic::test]
fn a_start_whose_argument_has_no_room_fails() {
    let config = ProcessConfig::new().tree_memory(16 << 20);
    let builder = Process::builder().config(&config).name("large").link();
    for _ in 0..2 {
        let failed = Large::start_with(&builder, vec![0; 20 << 20]);
        assert!(matches!(failed, Err(StartError::Args(_))), "{failed:?}");
        // It was killed, and harms nobody.
        assert_eq!(registry::lookup("large"), None);
    }
    Large::start_with(&builder, vec![0; 10]).unwrap().stop();
}

/// A process that starts an actor with a link, and does not trap exits, survives however the actor exits before it is
/// ready.
#[lunatic::test]
fn a_linked_start_that_fails_ends_nobody() {
    let starter = Process::spawn(|| {
        let witness = Mailbox::new().address();
        for value in [-1, 1000, 1001, 1002, 1003] {
            let failed = Counter::start_link((value, witness));
            let expected = match &failed {
                Err(StartError::Init(reason)) => match (value, reason) {
                    (-1, ExitReason::Error(text)) => text == "negative",
                    (1000, ExitReason::Panic(text)) => text == "too large",
                    (1001, ExitReason::Trap { .. }) => true,
                    (1002, ExitReason::Killed) | (1003, ExitReason::Exit(3)) => true,
                    _ => false,
                },
                _ => false,
            };
            assert!(expected, "{value}: {failed:?}");
            let linked = Process::builder().link();
            assert!(Counter::start_with(&linked, (value, witness)).is_err());
        }
    });
    assert_eq!(starter.unwrap().join(), ExitReason::Normal);
}

#[lunatic::test]
fn a_link_holds_from_when_the_actor_is_ready() {
    for starter_ends_first in [true, false] {
        let told = Channel::new(0);
        let witness = Mailbox::<ExitReason>::new().address();
        let starter = Process::spawn(move || {
            let counter = Counter::start_link((1, witness)).unwrap();
            told.send(counter);
            Mailbox::<()>::new().receive();
        })
        .unwrap();
        let counter = told.receive();
        let (first, second) = match starter_ends_first {
            true => (starter, counter.process()),
            false => (counter.process(), starter),
        };
        let reason = ExitReason::Error("enough".to_owned());
        first.exit(&reason);
        assert_eq!(second.join(), reason);
    }
}

#[lunatic::test]
fn an_actor_cannot_wait_for_itself() {
    struct Narcissus;

    #[derive(Serialize, Deserialize)]
    enum Ask {
        CallYourself(ReplyTo<bool>),
        StopYourself(ReplyTo<()>),
    }

    impl Actor for Narcissus {
        type Args = ();
        type Call = Ask;
        type Cast = ();

        fn init((): ()) -> Result<Self, ExitReason> {
            Ok(Self)
        }

        fn handle_call(&mut self, ask: Ask) -> Next {
            let here = ActorRef::<Self>::of(this_process());
            match ask {
                Ask::CallYourself(reply) => {
                    let answer = here.call(Ask::CallYourself);
                    reply.send(matches!(answer, Err(CallError::CallingSelf)));
                }
                Ask::StopYourself(_) => _ = here.stop(),
            }
            Next::Continue
        }
    }

    let narcissus = Narcissus::start(()).unwrap();
    assert!(narcissus.call(Ask::CallYourself).unwrap());
    let stopped = narcissus.call(Ask::StopYourself);
    assert!(matches!(stopped, Err(CallError::Gone(ExitReason::Panic(text))) if text.contains("its own end")));
}

/// Gets messages of types that are not its own, and joins a task in a later request than the one that spawned it.
struct Open {
    heard: Vec<String>,
    tasks: Vec<Task<u64>>,
}

#[derive(Serialize, Deserialize)]
enum OpenCall {
    Heard(ReplyTo<Vec<String>>),
    Compute(u64, ReplyTo<Process>),
    Results(ReplyTo<Vec<Option<u64>>>),
}

impl Actor for Open {
    type Args = ();
    type Call = OpenCall;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self {
            heard: Vec::new(),
            tasks: Vec::new(),
        })
    }

    fn handle_call(&mut self, call: OpenCall) -> Next {
        match call {
            OpenCall::Heard(reply) => reply.send(std::mem::take(&mut self.heard)),
            OpenCall::Compute(number, reply) => {
                let compute = move || {
                    if number == 0 {
                        panic!("nothing to do")
                    } else {
                        2 * number
                    }
                };
                let task = Task::spawn(compute).unwrap();
                reply.send(task.process());
                self.tasks.push(task);
            }
            OpenCall::Results(reply) => reply.send(self.tasks.drain(..).map(|task| task.join().ok()).collect()),
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        let Info::Message(message) = info else {
            return Next::Continue;
        };
        let message = match message.read::<u32>() {
            Ok(number) => {
                self.heard.push(format!("number {number}"));
                return Next::Continue;
            }
            Err(message) => message,
        };
        self.heard.push(match message.read_topic::<String>("urgent") {
            Ok(word) => format!("urgent {word}"),
            Err(message) => format!("{message:?}"),
        });
        Next::Continue
    }
}

#[lunatic::test]
fn an_actor_gets_all_other_mail_in_its_order() {
    let open = Open::start(()).unwrap();
    let here = open.process();
    Address::<u32>::of(here).send(1);
    Address::<u8>::of(here).send(2);
    Address::<u32>::of(here).send(3);
    assert_eq!(
        open.call(OpenCall::Heard).unwrap(),
        ["number 1", "AnyMessage(1 bytes)", "number 3"]
    );
    let group = registry::Group::named("open");
    group.join(here).unwrap();
    assert_eq!(group.broadcast(&4_u32), 1);
    assert_eq!(open.call(OpenCall::Heard).unwrap(), ["number 4"]);
    open.stop();
}

#[lunatic::test]
fn an_actor_joins_tasks_in_a_later_request() {
    let open = Open::start(()).unwrap();
    for number in 0..20 {
        let task = open.call(|reply| OpenCall::Compute(number, reply)).unwrap();
        if number % 2 == 0 {
            // The actor receives the result before it joins the task.
            task.join();
            open.call(OpenCall::Heard).unwrap();
        }
    }
    let results = open.call(OpenCall::Results).unwrap();
    let expected: Vec<Option<u64>> = (0..20).map(|number| (number > 0).then_some(2 * number)).collect();
    assert_eq!(results, expected);
    open.stop();
}

/// An actor does not keep a message that it does not handle, so its mailbox never fills. The first such message is
/// reported.
#[lunatic::test]
fn mail_that_no_actor_asks_for_is_dropped_and_reported_once() {
    struct Deaf;

    impl Actor for Deaf {
        type Args = ();
        type Call = ReplyTo<()>;
        type Cast = ();

        fn init((): ()) -> Result<Self, ExitReason> {
            Ok(Self)
        }

        fn handle_call(&mut self, reply: ReplyTo<()>) -> Next {
            reply.send(());
            Next::Continue
        }
    }

    let builder = Process::builder()
        .mailbox_max(3)
        .config(&ProcessConfig::new().capture_stderr());
    let deaf = Deaf::start_with(&builder, ()).unwrap();
    for number in 0..1000_u32 {
        Address::<u32>::of(deaf.process()).try_send(number).unwrap();
        deaf.call(|reply| reply).unwrap();
    }
    deaf.stop();
    let reports = String::from_utf8(deaf.process().take_stderr()).unwrap();
    assert_eq!(reports.lines().count(), 1, "{reports}");
    assert!(
        reports.contains("drops a message") && reports.contains("Deaf"),
        "{reports}"
    );
}

#[lunatic::test]
fn an_answer_can_be_deferred() {
    let counter = start(1).unwrap();
    let asking = lunatic::Task::spawn(move || counter.call(Call::NextValue).unwrap()).unwrap();
    // Adds until one request has been answered.
    let mut asking = Some(asking);
    while let Some(task) = asking.take() {
        counter.cast(Cast::Add(1));
        asking = task.join_timeout(Duration::from_millis(1)).err();
    }
    counter.stop();
}

#[lunatic::test]
fn a_crash_in_a_handler_is_an_exit_with_that_reason() {
    let counter = start(1).unwrap();
    let crashed = counter.call(Call::Crash);
    assert!(matches!(crashed, Err(CallError::Gone(ExitReason::Panic(text))) if text == "as asked"));
    assert!(matches!(counter.call(Call::Get), Err(CallError::Gone(_))));
    assert!(
        Mailbox::<ExitReason>::new().try_receive().is_err(),
        "terminate is not called after a panic"
    );
}

#[lunatic::test]
fn an_actor_terminates_for_each_orderly_end() {
    assert_eq!(start(1).unwrap().stop(), ExitReason::Normal);
    witnessed(&ExitReason::Normal);
    assert_eq!(start(1).unwrap().stop_with(&ExitReason::Shutdown), ExitReason::Shutdown);
    witnessed(&ExitReason::Shutdown);
    let counter = start(1).unwrap();
    counter.cast(Cast::End(ExitReason::Error("my own wish".to_owned())));
    assert_eq!(counter.process().join(), ExitReason::Error("my own wish".to_owned()));
    witnessed(&ExitReason::Error("my own wish".to_owned()));
    assert_eq!(
        counter.stop(),
        ExitReason::Error("my own wish".to_owned()),
        "stopping twice is harmless"
    );
}

#[lunatic::test]
fn an_actor_hears_of_ends() {
    let counter = start(1).unwrap();
    let other = Process::spawn(|| Mailbox::<()>::new().receive()).unwrap();
    counter.call(|reply| Call::Watch(other, reply)).unwrap();
    other.kill();
    assert_eq!(Mailbox::<ExitReason>::new().receive(), ExitReason::Killed);
}

struct Trapper(Address<ExitReason>);

impl Actor for Trapper {
    type Args = Address<ExitReason>;
    type Call = ();
    type Cast = ();

    fn init(witness: Self::Args) -> Result<Self, ExitReason> {
        trap_exit(true);
        Ok(Self(witness))
    }

    fn terminate(&mut self, reason: &ExitReason) {
        self.0.send(reason.clone());
    }
}

#[lunatic::test]
fn an_actor_that_traps_exits_terminates_with_its_parent() {
    let witness = Mailbox::<ExitReason>::new().address();
    let parent = Process::spawn(move || {
        Trapper::start_link(witness).unwrap();
        lunatic::process::exit(ExitReason::Error("the parent".to_owned()));
    });
    parent.unwrap().join();
    assert_eq!(
        Mailbox::<ExitReason>::new().receive(),
        ExitReason::Error("the parent".to_owned())
    );
}

#[lunatic::test]
fn what_an_actor_does_not_take_ends_it() {
    trap_exit(true);
    let trapper = Trapper::start_link(Mailbox::new().address()).unwrap();
    trapper.cast(());
    match Mailbox::<()>::new().receive_mail() {
        Mail::Exit { from, reason } => {
            assert_eq!(from, trapper.process());
            assert!(matches!(reason, ExitReason::Error(text) if text.contains("does not handle casts")));
        }
        other => panic!("{other:?}"),
    }
}

#[lunatic::test]
fn an_actor_can_have_a_name_and_timers() {
    let builder = Process::builder().name("the counter");
    let counter = Counter::start_with(&builder, (5, Mailbox::new().address())).unwrap();
    assert_eq!(ActorRef::named("the counter"), Some(counter));
    let taken = Counter::start_with(&builder, (6, Mailbox::new().address()));
    assert!(
        matches!(taken, Err(StartError::Spawn(lunatic::SpawnError::NameTaken(holder))) if holder == counter.process())
    );
    let waiting = lunatic::Task::spawn(move || counter.call(Call::NextValue).unwrap()).unwrap();
    let ticks = timer::send_interval(counter.casts(), Cast::Add(1), Duration::from_millis(1));
    assert!(waiting.join().unwrap() > 5);
    assert!(ticks.cancel());
    counter.stop();
    assert_eq!(registry::lookup("the counter"), None);
    assert_ne!(counter.process(), this_process());
}
