//! Programs with a problem that the host should notice, and others that look alike and are well. Each prints `ready`, and goes on until
//! it is ended.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lunatic::mailbox::ReplyTo;
use lunatic::{Address, Channel, Mailbox, Process, sleep};

lunatic_test_guests::scenarios![
    a_mailbox_grows,
    a_mailbox_is_full,
    one_never_waits,
    one_waits_now_and_then,
    memory_is_short,
    children_crash,
    children_crash_once,
    a_cycle,
    a_chain,
];

/// Longer than a test waits.
const LONG: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_millis(1);

fn ready() -> ! {
    println!("ready");
    loop {
        sleep(LONG);
    }
}

/// The mailbox of a process that does not read it.
fn a_reader_that_sleeps() -> Address<u64> {
    let hello = Channel::new(0);
    Process::spawn(move || {
        hello.send(Mailbox::<u64>::new().address());
        sleep(LONG);
    })
    .unwrap();
    hello.receive()
}

fn a_mailbox_grows() {
    let reader = a_reader_that_sleeps();
    println!("ready");
    loop {
        (0..20).for_each(|number| reader.send(number));
        sleep(TICK);
    }
}

/// It has many messages, and no more come.
fn a_mailbox_is_full() {
    let reader = a_reader_that_sleeps();
    (0..5000).for_each(|number| reader.send(number));
    keep_busy();
    ready();
}

/// A process that does a little now and then, so that time slices pass.
fn keep_busy() {
    Process::spawn(|| {
        loop {
            sleep(TICK);
        }
    })
    .unwrap();
}

fn one_never_waits() {
    Process::spawn(|| {
        loop {
            black_box(0);
        }
    })
    .unwrap();
    ready();
}

/// It computes for some milliseconds at a time.
fn one_waits_now_and_then() {
    Process::spawn(|| {
        loop {
            let start = Instant::now();
            while start.elapsed() < 20 * TICK {
                black_box(0);
            }
            sleep(TICK);
        }
    })
    .unwrap();
    ready();
}

/// As many bytes as the second argument says are used.
fn memory_is_short() {
    let len: usize = std::env::args().nth(2).and_then(|len| len.parse().ok()).unwrap();
    black_box(vec![1_u8; len].leak());
    keep_busy();
    ready();
}

fn crash() {
    Process::spawn(|| std::process::abort()).unwrap().join();
}

fn children_crash() {
    println!("ready");
    loop {
        (0..5).for_each(|_| crash());
        sleep(TICK);
    }
}

/// Many at once, and then no more.
fn children_crash_once() {
    (0..200).for_each(|_| crash());
    keep_busy();
    ready();
}

type Request = ((), ReplyTo<()>);

/// A process that calls another as soon as it knows it.
fn a_caller(next: Channel<Address<Request>>) -> Address<Request> {
    let hello = Channel::new(0);
    Process::spawn(move || {
        hello.send(Mailbox::<Request>::new().address());
        let _ = next.receive().call(|reply| ((), reply));
    })
    .unwrap();
    hello.receive()
}

/// Three processes each of which waits for the answer of the next.
fn a_cycle() {
    let nexts = [0, 1, 2].map(|_| Channel::new(1));
    let [a, b, c] = nexts.map(a_caller);
    nexts[0].send(b);
    nexts[1].send(c);
    nexts[2].send(a);
    keep_busy();
    ready();
}

/// Each waits for the next, and the last for a message.
fn a_chain() {
    let nexts = [0, 1].map(|_| Channel::new(1));
    let [_, b] = nexts.map(a_caller);
    nexts[0].send(b);
    nexts[1].send(a_caller(Channel::new(0)));
    keep_busy();
    ready();
}
