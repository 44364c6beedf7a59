//! A program in two versions: with the feature `new`, and without. The tests run the first and upgrade it to the second.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use lunatic::actor::{Actor, ActorRef, Info, Next};
use lunatic::code::{self, Saved, StateError, Version};
use lunatic::mailbox::{Mail, ReplyTo};
use lunatic::net::{SocketAddr, TcpListener, TcpStream};
use lunatic::process::Monitor;
use lunatic::registry::{self, Group};
use lunatic::supervisor::{
    Child, DynamicOptions, DynamicSupervisor, PoolOptions, Spec, Supervise, Supervisor, WorkerPool,
};
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, process, sleep, this_process, timer};
use lunatic_http::{Made, Router, Server};
use serde::{Deserialize, Serialize};

lunatic_test_guests::scenarios![
    keeps, many, traps, panics, refuses, loops, lies, exits, sends, spawns, returns, plain, tree, killed, linked,
    forth, frozen, children, managers, unsaved, serving, web, model, back, pauses
];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

/// The number of the program's own version.
const OWN: u32 = if cfg!(feature = "new") { 2 } else { 1 };

/// Says that the test may go on, and waits until the host is done with what it does then.
fn ready() {
    say_ready();
    assert!(is_done(LONG), "the test goes on");
}

fn say_ready() {
    process::trap_exit(true);
    registry::register("ready", this_process()).unwrap();
}

/// Whether the test has said that the host is done, within this time.
fn is_done(timeout: Duration) -> bool {
    match Mailbox::<()>::new().receive_mail_timeout(timeout) {
        Some(Mail::Exit { reason, .. }) => reason == ExitReason::Error("done".into()),
        _ => false,
    }
}

// What a process has that changes.

#[derive(Serialize, Deserialize)]
struct Keeper {
    #[cfg(not(feature = "new"))]
    count: u32,
    #[cfg(feature = "new")]
    #[serde(alias = "count")]
    total: u64,
    #[cfg(feature = "new")]
    #[serde(default)]
    added: Option<String>,
    channel: Channel<u32>,
    listener: TcpListener,
    stream: TcpStream,
    ticks: u32,
    #[serde(skip)]
    has_changed: bool,
}

#[derive(Serialize, Deserialize)]
enum Ask {
    Version(ReplyTo<(u32, u32, bool)>),
    Count(ReplyTo<u64>),
    Ticks(ReplyTo<u32>),
    Address(ReplyTo<SocketAddr>),
    /// Says something on the connection that it has.
    Say(ReplyTo<()>),
    Crash,
}

#[derive(Serialize, Deserialize)]
struct Tick;

impl Actor for Keeper {
    /// Where to connect to.
    type Args = SocketAddr;
    type Call = Ask;
    type Cast = u32;

    code::keep_state!();

    fn init(address: SocketAddr) -> Result<Self, ExitReason> {
        timer::send_interval(Mailbox::new().address(), Tick, Duration::from_millis(1));
        process::trap_exit(true);
        Ok(Self {
            #[cfg(not(feature = "new"))]
            count: 40,
            #[cfg(feature = "new")]
            total: 40,
            #[cfg(feature = "new")]
            added: Some("made here".into()),
            channel: Channel::new(0),
            listener: lunatic_test_guests::listener().0,
            stream: TcpStream::connect(address).unwrap(),
            ticks: 0,
            has_changed: false,
        })
    }

    fn changed(&mut self) {
        self.has_changed = true;
    }

    fn handle_call(&mut self, ask: Ask) -> Next {
        match ask {
            Ask::Version(reply) => reply.send((OWN, Version::own().number(), self.has_changed)),
            #[cfg(not(feature = "new"))]
            Ask::Count(reply) => reply.send(u64::from(self.count)),
            #[cfg(feature = "new")]
            Ask::Count(reply) => {
                assert_eq!(self.added, None);
                reply.send(self.total);
            }
            Ask::Ticks(reply) => reply.send(self.ticks),
            Ask::Address(reply) => reply.send(self.listener.local_addr().unwrap()),
            Ask::Say(reply) => {
                self.stream.write_all(b"hello").unwrap();
                let (mut accepted, _) = self.listener.accept().unwrap();
                accepted.write_all(b"welcome").unwrap();
                self.channel.send(7);
                reply.send(());
            }
            Ask::Crash => panic!("it was asked to"),
        }
        Next::Continue
    }

    fn handle_cast(&mut self, number: u32) -> Next {
        #[cfg(not(feature = "new"))]
        {
            self.count += number;
        }
        #[cfg(feature = "new")]
        {
            self.total += u64::from(number);
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        if let Info::Message(message) = info
            && let Ok(Tick) = message.read()
        {
            self.ticks += 1;
        }
        Next::Continue
    }
}

/// All that a process is and has stays as it is.
fn keeps() {
    let (listener, address) = lunatic_test_guests::listener();
    let keeper = Keeper::start(address).unwrap();
    let (mut client, _) = listener.accept().unwrap();
    let process = keeper.process();
    registry::register("keeper", process).unwrap();
    Group::named("keepers").join(process).unwrap();
    process::trap_exit(true);
    process.link();
    let monitor = process.monitor();
    keeper.cast(2);
    let before = keeper.call(Ask::Ticks).unwrap();
    assert_eq!(keeper.call(Ask::Version).unwrap(), (1, 1, false));
    ready();
    assert_eq!(keeper.call(Ask::Version).unwrap(), (2, 2, true));
    assert_eq!(keeper.call(Ask::Count).unwrap(), 42);
    while keeper.call(Ask::Ticks).unwrap() <= before {
        sleep(Duration::from_millis(1));
    }
    let mut second = TcpStream::connect(keeper.call(Ask::Address).unwrap()).unwrap();
    keeper.call(Ask::Say).unwrap();
    let mut bytes = [0; 7];
    client.read_exact(&mut bytes[..5]).unwrap();
    assert_eq!(&bytes[..5], b"hello");
    second.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"welcome");
    assert_eq!(registry::lookup("keeper"), Some(process));
    assert_eq!(Group::named("keepers").members(), [process]);
    // It traps exits still.
    let stranger = Process::spawn(move || process.exit(&ExitReason::Shutdown));
    stranger.unwrap().join();
    assert_eq!(keeper.call(Ask::Count).unwrap(), 42);
    assert!(keeper.call(Ask::crash).is_err());
    let mut told = (false, false);
    while told != (true, true) {
        match Mailbox::<()>::new().receive_mail() {
            Mail::Exit { from, .. } => told.0 |= from == process,
            Mail::Down { monitor: of, .. } => told.1 |= of == monitor,
            _ => unreachable!("nobody sends that"),
        }
    }
}

impl Ask {
    fn crash(_: ReplyTo<()>) -> Self {
        Self::Crash
    }
}

/// Counts, and is sure that nothing is lost, doubled or out of order.
#[derive(Serialize, Deserialize)]
struct Exact {
    next: u32,
}

impl Actor for Exact {
    type Args = ();
    type Call = ReplyTo<(u32, u32)>;
    type Cast = u32;

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self { next: 0 })
    }

    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        reply.send((OWN, self.next));
        Next::Continue
    }

    fn handle_cast(&mut self, number: u32) -> Next {
        assert_eq!(number, self.next);
        self.next += 1;
        Next::Continue
    }
}

fn size() -> usize {
    let size = std::env::args().nth(2);
    size.map_or(300, |size| size.parse().unwrap())
}

/// Many actors that are sent to all the while.
fn many() {
    let actors: Vec<ActorRef<Exact>> = (0..size()).map(|_| Exact::start(()).unwrap()).collect();
    say_ready();
    let mut sent = 0;
    while !is_done(Duration::ZERO) {
        actors.iter().for_each(|actor| actor.cast(sent));
        sent += 1;
        if sent.is_multiple_of(16) {
            // They are to keep up.
            actors.iter().for_each(|actor| _ = actor.call(|reply| reply).unwrap());
        }
    }
    for actor in actors {
        assert_eq!(actor.call(|reply| reply).unwrap(), (2, sent));
    }
}

// What does not change.

/// What an actor of the second version does with a state, or with its time.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Way {
    Trap,
    Panic,
    Refuse,
    Loop,
    Lie,
    Exit,
    Send,
    Spawn,
    Return,
}

#[derive(Serialize, Deserialize)]
struct Stubborn {
    way: Way,
    other: Process,
    count: u32,
}

impl Actor for Stubborn {
    type Args = (Way, Process);
    type Call = ReplyTo<(u32, u32)>;
    type Cast = u32;

    fn init((way, other): Self::Args) -> Result<Self, ExitReason> {
        Ok(Self { way, other, count: 1 })
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(self))
    }

    fn code_change(old: Saved, from: Version) -> Result<Self, StateError> {
        assert_eq!(from.number(), 1);
        let state: Self = old.read()?;
        match state.way {
            Way::Trap => std::process::abort(),
            Way::Panic => panic!("no such state"),
            Way::Refuse => return Err("it is Saturday".into()),
            Way::Loop => loop {
                std::hint::black_box(());
            },
            Way::Lie => _ = old.read::<String>()?,
            Way::Exit => process::exit(ExitReason::Error("it gives up".into())),
            Way::Send => Address::<u32>::of(state.other).send(1),
            Way::Spawn => _ = Process::spawn(|| ()),
            Way::Return => std::process::exit(0),
        }
        Ok(state)
    }

    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        reply.send((OWN, self.count));
        Next::Continue
    }

    fn handle_cast(&mut self, number: u32) -> Next {
        assert_eq!(number, self.count);
        self.count += 1;
        Next::Continue
    }
}

/// The second version does not take the state: the first goes on, with all that was sent meanwhile.
fn stubborn(way: Way) {
    let actor = Stubborn::start((way, this_process())).unwrap();
    say_ready();
    let mut sent = 1;
    while !is_done(Duration::from_millis(1)) {
        actor.cast(sent);
        sent += 1;
    }
    assert_eq!(actor.call(|reply| reply).unwrap(), (1, sent));
    assert_eq!(Mailbox::<u32>::new().receive_timeout(Duration::ZERO).ok(), None);
}

fn traps() {
    stubborn(Way::Trap);
}
fn panics() {
    stubborn(Way::Panic);
}
fn refuses() {
    stubborn(Way::Refuse);
}
fn loops() {
    stubborn(Way::Loop);
}
fn lies() {
    stubborn(Way::Lie);
}
fn exits() {
    stubborn(Way::Exit);
}
fn sends() {
    stubborn(Way::Send);
}
fn spawns() {
    stubborn(Way::Spawn);
}
fn returns() {
    stubborn(Way::Return);
}

/// An actor that does not say how its state is saved.
struct Unsaved;

impl Actor for Unsaved {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        reply.send(OWN);
        Next::Continue
    }
}

fn unsaved() {
    let actor = Unsaved::start(()).unwrap();
    ready();
    assert_eq!(actor.call(|reply| reply).unwrap(), 1);
}

// Processes that are no actors.

#[derive(Serialize, Deserialize)]
struct Sum {
    total: u64,
}

fn add_up(mut sum: Sum) {
    let numbers = Mailbox::<(u64, ReplyTo<(u32, u64)>)>::new();
    loop {
        sum = code::upgrade_here(sum, add_up);
        let (number, reply) = numbers.receive();
        sum.total += number;
        reply.send((OWN, sum.total));
    }
}

/// A loop that offers its point of change.
fn plain() {
    let adder = Process::spawn(|| add_up(Sum { total: 0 })).unwrap();
    let numbers = Address::<(u64, ReplyTo<(u32, u64)>)>::of(adder);
    assert_eq!(numbers.call(|reply| (1, reply)).unwrap(), (1, 1));
    say_ready();
    assert!(!code::check());
    // It comes to its point with each number.
    let mut sum = 1;
    loop {
        sum += 1;
        let (version, total) = numbers.call(|reply| (1, reply)).unwrap();
        assert_eq!(total, sum);
        if version == 2 {
            break;
        }
    }
    assert!(is_done(LONG));
    assert!(code::check());
    assert_eq!(Version::own().number(), 1);
}

// Supervisors.

struct Tree;

impl Supervise for Tree {
    type Args = u8;

    fn init(args: u8) -> Spec {
        assert_eq!(args, 7);
        let spec = Spec::one_for_one()
            .quiet()
            .child(Child::actor::<Exact>("stays", ()).name("stays"));
        if cfg!(feature = "new") {
            spec.child(Child::actor::<Exact>("comes", ()).name("comes"))
        } else {
            spec.child(Child::actor::<Exact>("goes", ()).name("goes"))
        }
    }
}

/// A supervisor goes on with its children, starts new ones and ends those that are no more; what it restarts is new.
fn tree() {
    let tree = Supervisor::<Tree>::start(7).unwrap();
    let child = |name| ActorRef::<Exact>::named(name);
    let stays = child("stays").unwrap();
    stays.cast(0);
    ready();
    // It answers when its children are what they are to be.
    assert_eq!(tree.children().unwrap().len(), 2);
    assert_eq!(child("stays"), Some(stays));
    assert_eq!(stays.call(|reply| reply).unwrap(), (2, 1));
    assert_eq!(child("goes"), None);
    let comes = child("comes").unwrap();
    assert_eq!(comes.call(|reply| reply).unwrap(), (2, 0));
    stays.process().kill();
    stays.process().join();
    let again = loop {
        match child("stays") {
            Some(again) if again != stays => break again,
            _ => sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!(again.call(|reply| reply).unwrap(), (2, 0));
    assert_eq!(tree.children().unwrap().len(), 2);
}

/// Children of actors that have changed run what their parents run.
#[derive(Serialize, Deserialize)]
struct Parent;

impl Actor for Parent {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        Process::spawn(move || reply.send(OWN)).unwrap();
        Next::Continue
    }
}

fn children() {
    let parent = Parent::start(()).unwrap();
    assert_eq!(parent.call(|reply| reply).unwrap(), 1);
    ready();
    assert_eq!(parent.call(|reply| reply).unwrap(), 2);
    let versions = Channel::new(0);
    Process::spawn(move || versions.send((OWN, Version::own().number(), Version::current().number()))).unwrap();
    assert_eq!(versions.receive(), (1, 1, 2));
}

/// Dynamic supervisors and pools know still what they knew.
fn managers() {
    let options = DynamicOptions {
        quiet: true,
        ..DynamicOptions::default()
    };
    let sessions = DynamicSupervisor::<Exact>::start(options).unwrap();
    let first = sessions.start_child(()).unwrap();
    let second = sessions.start_child(()).unwrap();
    first.cast(0);
    let pool = WorkerPool::<Exact>::start(PoolOptions::new::<Exact>(2, ())).unwrap();
    let taken = pool.take().unwrap();
    taken.cast(0);
    ready();
    assert_eq!(sessions.child_count().unwrap(), 2);
    assert_eq!(first.call(|reply| reply).unwrap(), (2, 1));
    sessions.terminate_child(second).unwrap();
    assert_eq!(sessions.child_actors().unwrap(), [first]);
    first.process().kill();
    first.process().join();
    let again = loop {
        match *sessions.child_actors().unwrap() {
            [again] if again != first => break again,
            _ => sleep(Duration::from_millis(1)),
        }
    };
    assert_eq!(again.call(|reply| reply).unwrap(), (2, 0));
    let status = pool.status().unwrap();
    assert_eq!((status.free, status.lent), (1, 1));
    assert_eq!(taken.call(|reply| reply).unwrap(), (2, 1));
    drop(taken);
    while pool.status().unwrap().free != 2 {
        sleep(Duration::from_millis(1));
    }
}

// What happens meanwhile.

/// A process on trial is killed.
fn killed() {
    let actor = Stubborn::start((Way::Loop, this_process())).unwrap();
    registry::register("victim", actor.process()).unwrap();
    say_ready();
    assert_eq!(actor.process().join_timeout(LONG), Ok(ExitReason::Killed));
}

/// A process on trial gets the exit signal of a link.
fn linked() {
    let actor = Stubborn::start((Way::Loop, this_process())).unwrap();
    let process = actor.process();
    let go = Channel::<()>::new(0);
    Process::spawn(move || {
        process.link();
        go.receive();
        panic!("the other end of a link");
    })
    .unwrap();
    say_ready();
    sleep(Duration::from_millis(50));
    go.send(());
    assert!(matches!(process.join_timeout(LONG), Ok(ExitReason::Panic(_))));
}

/// To and fro again and again.
fn forth() {
    let actor = Exact::start(()).unwrap();
    say_ready();
    let mut sent = 0;
    while !is_done(Duration::from_millis(1)) {
        actor.cast(sent);
        sent += 1;
    }
    assert_eq!(actor.call(|reply| reply).unwrap().1, sent);
}

/// Many that are frozen.
fn frozen() {
    let actors: Vec<ActorRef<Exact>> = (0..100).map(|_| Exact::start(()).unwrap()).collect();
    actors.iter().for_each(|actor| actor.cast(0));
    ready();
    for actor in actors {
        assert_eq!(actor.call(|reply| reply).unwrap(), (2, 1));
    }
}

/// A process that accepts connections, and changes between two of them.
#[derive(Serialize, Deserialize)]
struct Counter {
    listener: TcpListener,
    served: u32,
}

fn serve(mut server: Counter) {
    loop {
        server = code::upgrade_here(server, serve);
        let (mut stream, _) = server.listener.accept().unwrap();
        server.served += 1;
        stream.write_all(&[OWN as u8, server.served as u8]).unwrap();
    }
}

fn serving() {
    let (listener, address) = lunatic_test_guests::listener();
    let server = Counter { listener, served: 0 };
    Process::spawn_with(server, serve).unwrap();
    let ask = || {
        let mut bytes = [0; 2];
        TcpStream::connect(address).unwrap().read_exact(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(ask(), [1, 1]);
    say_ready();
    let mut asked = 1_u8;
    loop {
        asked = asked.wrapping_add(1);
        let [version, served] = ask();
        assert_eq!(served, asked);
        if version == 2 {
            break;
        }
    }
    assert!(is_done(LONG));
}

/// A web server, whose connections stay open.
fn web() {
    let (listener, address) = lunatic_test_guests::listener();
    let app = || Router::new().get("/version", |_| OWN.to_string());
    let serve = move |listener: TcpListener| Server::from(listener).serve(Made(app)).unwrap();
    Process::spawn_with(listener, serve).unwrap();
    // One request after the other on one connection, and now and then a new one.
    let mut stream = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut stream), "1");
    say_ready();
    let (mut versions, mut others) = (Vec::new(), Vec::new());
    while !is_done(Duration::ZERO) {
        versions.push(ask(&mut stream));
        others.push(ask(&mut TcpStream::connect(address).unwrap()));
    }
    for versions in [&mut versions, &mut others] {
        assert_eq!(versions.last().unwrap(), "2");
        versions.dedup();
    }
    println!("{} and {} times", versions.len(), others.len());
}

/// What a server answers on a connection that it keeps.
fn ask(stream: &mut TcpStream) -> String {
    // In two pieces, so that the first is there when the connection changes.
    stream.write_all(b"GET /version HTTP/1.1\r\n").unwrap();
    stream.write_all(b"host: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut bytes = [0; 512];
    while !answer.ends_with(b"\r\n\r\n1") && !answer.ends_with(b"\r\n\r\n2") {
        let read = stream.read(&mut bytes).unwrap();
        assert_ne!(
            read,
            0,
            "the connection was closed after {:?}",
            String::from_utf8_lossy(&answer)
        );
        answer.extend_from_slice(&bytes[..read]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer[answer.len() - 1..].to_owned()
}

// Anything at any time.

/// What an actor of the next version does with the state of this one.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Fate {
    Takes,
    Traps,
    Refuses,
    Returns,
    Loops,
}

/// Counts what comes in its order, and what timers send.
#[derive(Serialize, Deserialize)]
struct Subject {
    next: u32,
    timed: u32,
    fate: Fate,
    changes: u32,
    ballast: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
enum Told {
    Number(u32),
    Timed,
    Fate(Fate),
}

/// How a subject is: its numbers, what timers sent, and how often it has changed.
type Answer = (u32, u32, u32);

impl Actor for Subject {
    type Args = ();
    type Call = ReplyTo<Answer>;
    type Cast = Told;

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self {
            next: 0,
            timed: 0,
            fate: Fate::Takes,
            changes: 0,
            ballast: Vec::new(),
        })
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(self))
    }

    fn code_change(old: Saved, _: Version) -> Result<Self, StateError> {
        let mut state: Self = old.read()?;
        match state.fate {
            Fate::Takes => {}
            Fate::Traps => std::process::abort(),
            Fate::Refuses => return Err("not this one".into()),
            Fate::Returns => std::process::exit(0),
            Fate::Loops => loop {
                std::hint::black_box(());
            },
        }
        state.changes += 1;
        Ok(state)
    }

    fn handle_call(&mut self, reply: ReplyTo<Answer>) -> Next {
        reply.send((self.next, self.timed, self.changes));
        Next::Continue
    }

    fn handle_cast(&mut self, told: Told) -> Next {
        match told {
            Told::Number(number) => {
                assert_eq!(number, self.next);
                self.next += 1;
                self.ballast.push(number);
                self.ballast.truncate(1000);
            }
            Told::Timed => self.timed += 1,
            Told::Fate(fate) => self.fate = fate,
        }
        Next::Continue
    }
}

/// What is expected of a subject: it is as if there were one version.
struct Expected {
    actor: ActorRef<Subject>,
    monitor: Monitor,
    next: u32,
    timed: u32,
}

impl Expected {
    fn begin() -> Self {
        let actor = Subject::start(()).unwrap();
        Self {
            actor,
            monitor: actor.process().monitor(),
            next: 0,
            timed: 0,
        }
    }

    /// It has ended: that is told once, and for this reason.
    fn ended(&mut self, reason: &ExitReason) {
        let Mail::Down { monitor, reason: told } = Mailbox::<()>::new().receive_mail() else {
            unreachable!("nobody sends anything else");
        };
        assert_eq!((monitor, &told), (self.monitor, reason));
        assert!(self.actor.call(|reply| reply).is_err());
        *self = Self::begin();
    }

    fn check(&self) -> u32 {
        loop {
            let (next, timed, changes) = self.actor.call(|reply| reply).unwrap();
            assert_eq!(next, self.next);
            assert!(timed <= self.timed);
            if timed == self.timed {
                return changes;
            }
            sleep(Duration::from_micros(100));
        }
    }
}

/// Does this and that with some actors, as the number after the name of the scenario says, until the test is done with upgrading them to
/// and fro.
fn model() {
    let seed = std::env::args().nth(2).unwrap();
    let mut seed = seed.parse::<u64>().unwrap() | 1;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut subjects: Vec<Expected> = (0..8).map(|_| Expected::begin()).collect();
    say_ready();
    let mut changes = 0;
    // All other mail is taken where it is expected.
    while !is_done(Duration::ZERO) {
        let subject = &mut subjects[random(8) as usize];
        let (actor, process) = (subject.actor, subject.actor.process());
        match random(40) {
            0..20 => {
                for _ in 0..=random(20) {
                    actor.cast(Told::Number(subject.next));
                    subject.next += 1;
                }
            }
            20..26 => changes += subject.check(),
            26..30 => {
                let fates = [
                    Fate::Takes,
                    Fate::Takes,
                    Fate::Traps,
                    Fate::Refuses,
                    Fate::Returns,
                    Fate::Loops,
                ];
                // The last one takes its time.
                let last = if random(8) == 0 { 6 } else { 5 };
                actor.cast(Told::Fate(fates[random(last) as usize]));
            }
            30..35 => {
                timer::send_after(actor.casts(), Told::Timed, Duration::from_micros(random(2000)));
                subject.timed += 1;
            }
            35 => {
                process.kill();
                subject.ended(&ExitReason::Killed);
            }
            36 => {
                let reason = ExitReason::Error("told to".into());
                process.exit(&reason);
                subject.ended(&reason);
            }
            37 => {
                actor.stop();
                subject.ended(&ExitReason::Normal);
            }
            38 => sleep(Duration::from_micros(random(3000))),
            _ => lunatic::yield_now(),
        }
    }
    for subject in &subjects {
        changes += subject.check();
    }
    println!("{changes}");
}

/// An actor whose state of the second version the first cannot read.
#[derive(Serialize, Deserialize)]
struct OneWay {
    #[cfg(not(feature = "new"))]
    count: u32,
    #[cfg(feature = "new")]
    #[serde(alias = "count")]
    total: u32,
}

impl Actor for OneWay {
    type Args = ();
    type Call = ReplyTo<(u32, u32)>;
    type Cast = ();

    code::keep_state!();

    #[cfg(not(feature = "new"))]
    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self { count: 0 })
    }

    #[cfg(feature = "new")]
    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self { total: 0 })
    }

    #[cfg(not(feature = "new"))]
    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        self.count += 1;
        reply.send((OWN, self.count));
        Next::Continue
    }

    #[cfg(feature = "new")]
    fn handle_call(&mut self, reply: ReplyTo<(u32, u32)>) -> Next {
        self.total += 1;
        reply.send((OWN, self.total));
        Next::Continue
    }
}

/// Asks until the test is done with the way there and back: prints the answers at which the version has changed.
fn back() {
    let actor = OneWay::start(()).unwrap();
    let mut answers = vec![actor.call(|reply| reply).unwrap()];
    say_ready();
    while !is_done(Duration::from_millis(1)) {
        answers.push(actor.call(|reply| reply).unwrap());
    }
    answers.push(actor.call(|reply| reply).unwrap());
    let at = |from: (u32, u32), to: (u32, u32)| from.0 != to.0 || to.1 != from.1 + 1;
    for pair in answers.windows(2).filter(|pair| at(pair[0], pair[1])) {
        println!("{} {} {} {}", pair[0].0, pair[0].1, pair[1].0, pair[1].1);
    }
}

/// An actor of one kibibyte.
#[derive(Serialize, Deserialize)]
struct Heavy {
    state: Vec<u64>,
}

impl Actor for Heavy {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = ();

    code::keep_state!();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self {
            state: (1 << 60..(1 << 60) + 128).collect(),
        })
    }

    fn handle_call(&mut self, reply: ReplyTo<u32>) -> Next {
        assert_eq!(self.state.len(), 128);
        reply.send(OWN);
        Next::Continue
    }
}

/// Actors of a kibibyte each, for figures.
fn pauses() {
    let actors: Vec<ActorRef<Heavy>> = (0..size()).map(|_| Heavy::start(()).unwrap()).collect();
    ready();
    actors
        .iter()
        .for_each(|actor| assert_eq!(actor.call(|reply| reply).unwrap(), 2));
}
