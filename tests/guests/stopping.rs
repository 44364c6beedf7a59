//! Programs that are asked to stop: each prints `ready` when it may be.

use std::io::Write;
use std::time::{Duration, Instant};

use lunatic::actor::Actor;
use lunatic::mailbox::Mail;
use lunatic::process::trap_exit;
use lunatic::registry::{Group, register};
use lunatic::supervisor::{Child, Shutdown, Spec, Supervise, Supervisor};
use lunatic::{Channel, ExitReason, Mailbox, Process, sleep, this_process};
use lunatic_http::{Body, Server};

lunatic_test_guests::scenarios![
    a_tree,
    many,
    talking,
    one_after_the_other,
    belongings,
    nobody_listens,
    one_returns,
    one_ignores_it,
    one_fails,
    a_server,
    a_supervised_server,
];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

fn ready() -> ! {
    println!("ready");
    loop {
        sleep(LONG);
    }
}

/// Says that it is ready, and waits for a signal.
fn ready_for_a_signal() -> Mail<()> {
    trap_exit(true);
    println!("ready");
    Mailbox::new().receive_mail_timeout(LONG).expect("it is stopped before")
}

/// Two processes that have one of each kind of thing, or two.
fn belongings() {
    let channel = Channel::<u64>::new(8);
    channel.send(7);
    channel.send(8);
    let _empty = Channel::<u64>::new(0);
    let reader = Process::spawn(move || {
        let requests = Channel::<u64>::new(0);
        requests.receive();
        channel.receive();
    })
    .unwrap();
    register("shop", this_process()).unwrap();
    register("a\u{1b}[2Jreader", reader).unwrap();
    for process in [this_process(), reader] {
        Group::named("room").join(process).unwrap();
    }
    let (listener, address) = lunatic_test_guests::listener();
    println!("ready {address}");
    sleep(LONG);
    drop(listener);
}

/// Says when it is ended.
struct Worker(String);

impl Actor for Worker {
    type Args = String;
    type Call = ();
    type Cast = ();

    fn init(name: String) -> Result<Self, ExitReason> {
        trap_exit(true);
        Ok(Self(name))
    }

    fn terminate(&mut self, reason: &ExitReason) {
        println!("{} {reason}", self.0);
    }
}

struct Branch;

impl Supervise for Branch {
    type Args = String;

    fn init(name: String) -> Spec {
        let worker = |number| {
            let name = format!("{name}{number}");
            Child::actor::<Worker>(name.clone(), name)
        };
        Spec::one_for_one().child(worker(1)).child(worker(2))
    }
}

struct Tree;

impl Supervise for Tree {
    type Args = ();

    fn init((): ()) -> Spec {
        Spec::one_for_one()
            .child(Child::actor::<Worker>("first", "first".to_owned()))
            .child(Child::supervisor::<Branch>("branch", "branch".to_owned()))
            .child(Child::actor::<Worker>("last", "last".to_owned()))
    }
}

fn a_tree() {
    let _tree = Supervisor::<Tree>::start(()).unwrap();
    ready();
}

/// Does nothing, and ends when it is told to.
struct Idle;

impl Actor for Idle {
    type Args = ();
    type Call = ();
    type Cast = ();

    fn init((): ()) -> Result<Self, ExitReason> {
        Ok(Self)
    }
}

struct Crowd;

impl Supervise for Crowd {
    type Args = u32;

    fn init(children: u32) -> Spec {
        (0..children).fold(Spec::one_for_one(), |spec, number| {
            spec.child(Child::actor::<Idle>(number.to_string(), ()))
        })
    }
}

/// A supervisor of as many children as the second argument says.
fn many() {
    let children = std::env::args().nth(2).unwrap().parse().unwrap();
    let _crowd = Supervisor::<Crowd>::start(children).unwrap();
    ready();
}

/// One process sends a message to another every few milliseconds. Beside them as many pairs as the second argument says play ball,
/// each so many rounds as the third says, or for ever.
fn talking() {
    let number = |at| std::env::args().nth(at).and_then(|number| number.parse().ok());
    let (pairs, rounds) = (number(2).unwrap_or(0), number(3));
    let hello = Channel::new(1);
    let listener = Process::spawn(move || {
        let mailbox = Mailbox::<u32>::new();
        hello.send(mailbox.address());
        loop {
            mailbox.receive();
        }
    });
    register("listener", listener.unwrap()).unwrap();
    let listener = hello.receive();
    Process::spawn(move || {
        loop {
            listener.send(7);
            sleep(Duration::from_millis(5));
        }
    })
    .unwrap();
    println!("ready");
    let start = Instant::now();
    let players = (0..pairs).map(|_| Process::spawn(move || play(rounds.unwrap_or(u64::MAX))).unwrap());
    let players: Vec<_> = players.collect();
    if rounds.is_some() {
        players.iter().for_each(|player| _ = player.join());
        println!("{} ns", start.elapsed().as_nanos());
        return;
    }
    ready();
}

fn play(rounds: u64) {
    let (there, back) = (Channel::<u64>::new(0), Channel::<u64>::new(0));
    Process::spawn(move || {
        for _ in 0..rounds {
            back.send(there.receive());
        }
    })
    .unwrap();
    for round in 0..rounds {
        there.send(round);
        back.receive();
    }
}

fn nobody_listens() {
    Process::spawn(|| {
        loop {
            sleep(LONG)
        }
    })
    .unwrap();
    ready();
}

fn one_returns() {
    let Mail::Exit { from, reason } = ready_for_a_signal() else {
        panic!("it was a message")
    };
    assert_eq!((from, reason), (this_process(), ExitReason::Shutdown));
    println!("it heard of that");
}

fn one_ignores_it() {
    trap_exit(true);
    ready();
}

fn one_fails() {
    ready_for_a_signal();
    panic!("it was about to end anyway");
}

fn serve() {
    let server = Server::bind("127.0.0.1:0").unwrap();
    println!("ready {}", server.local_addr().unwrap());
    let slow = |_| {
        Body::stream(|out| {
            out.write_all(b"begun")?;
            out.flush()?;
            sleep(Duration::from_millis(300));
            out.write_all(b", done")
        })
    };
    server.serve(slow).unwrap();
    println!("drained");
}

fn a_server() {
    serve();
}

struct Site;

impl Supervise for Site {
    type Args = ();

    fn init((): ()) -> Spec {
        Spec::one_for_one()
            .child(Child::actor::<Worker>("database", "database".to_owned()))
            .child(Child::process("server", serve).shutdown(Shutdown::Infinity))
    }
}

fn a_supervised_server() {
    let site = Supervisor::<Site>::start(()).unwrap();
    site.process().join();
    unreachable!("this process ends before its supervisor");
}

/// Processes of one name, one after the other, each for half a second.
fn one_after_the_other() {
    for number in 0_u64.. {
        let heir = Process::spawn(|| sleep(Duration::from_millis(500))).unwrap();
        register("heir", heir).unwrap();
        if number == 0 {
            println!("ready");
        }
        heir.join();
    }
}
