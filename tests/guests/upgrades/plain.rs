//! Processes that are no actors.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use lunatic::actor::{Actor as _, ActorRef};
use lunatic::code::{self, Version};
use lunatic::mailbox::ReplyTo;
use lunatic::net::{TcpListener, TcpStream};
use lunatic::{Address, Channel, ExitReason, Mailbox, Process};
use serde::{Deserialize, Serialize};

use crate::exact::Exact;
use crate::{LONG, OWN, is_done, ready, say_ready};

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
pub(crate) fn plain() {
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

/// Many loops that wait behind their points of change, and actors that need not wait for them.
pub(crate) fn behind() {
    for _ in 0..64 {
        let adder = Process::spawn(|| add_up(Sum { total: 0 })).unwrap();
        let numbers = Address::<(u64, ReplyTo<(u32, u64)>)>::of(adder);
        assert_eq!(numbers.call(|reply| (1, reply)).unwrap(), (1, 1));
    }
    let actors: Vec<ActorRef<Exact>> = (0..8).map(|_| Exact::start(()).unwrap()).collect();
    ready();
    for actor in actors {
        assert_eq!(actor.call(|reply| reply).unwrap(), (2, 0));
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

pub(crate) fn serving() {
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

#[derive(Serialize, Deserialize)]
struct Brief;

/// Offers its point of change again and again, but not for as long as a time slice.
fn brief(mut state: Brief) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(800) {
        state = code::upgrade_here(state, brief);
    }
}

/// A process ends, and its instance runs the next one immediately, which changes in the same time slice.
pub(crate) fn following() {
    say_ready();
    while !is_done(Duration::ZERO) {
        let children = [Process::spawn(|| ()), Process::spawn(|| brief(Brief))];
        for child in children {
            assert_eq!(child.unwrap().join(), ExitReason::Normal);
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Patient {
    /// Where it tells its version.
    pub(crate) told: Channel<u32>,
    pub(crate) go_on: Channel<()>,
}

pub(crate) fn wait_behind_the_point(mut patient: Patient) {
    loop {
        patient = code::upgrade_here(patient, wait_behind_the_point);
        patient.told.send(OWN);
        patient.go_on.receive();
    }
}

/// A process that reaches its point of change only after the test is done: it changes then.
pub(crate) fn busy() {
    let (told, go_on) = (Channel::new(0), Channel::new(0));
    Process::spawn_with(Patient { told, go_on }, wait_behind_the_point).unwrap();
    assert_eq!(told.receive(), 1);
    ready();
    go_on.send(());
    assert_eq!(told.receive(), 2);
}
