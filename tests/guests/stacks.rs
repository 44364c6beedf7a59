//! Processes that wait for each kind of thing, each in a function of its own, for whoever looks at their stacks.

use std::hint::black_box;
use std::time::Duration;

use lunatic::mailbox::{ReplyTo, Select};
use lunatic::{Address, Channel, Mailbox, Process, sleep};
use lunatic_test_guests::listener;

lunatic_test_guests::scenarios![every_kind_of_wait, one_computes, one_calls];

/// Longer than a test waits; to wait for ever would be a deadlock.
const LONG: Duration = Duration::from_secs(3600);

fn every_kind_of_wait() {
    let entries: [fn(); 10] = [
        receives,
        sends,
        receives_mail,
        calls,
        joins,
        sleeps,
        selects,
        accepts,
        computes,
        sleeps_by_wasi,
    ];
    for entry in entries {
        Process::spawn(entry).unwrap();
    }
    sleep(LONG);
}

fn one_computes() {
    computes();
}

/// Spends its time in a function of the host.
fn one_calls() {
    asks();
}

fn asks() {
    // To take a long message out of the channel and put it back copies it twice.
    let channel = Channel::<Vec<u8>>::new(0);
    channel.send(vec![7; 900_000]);
    loop {
        let message = channel.receive();
        channel.send(black_box(message));
    }
}

fn receives() {
    let channel = Channel::<u8>::new(1);
    let _ = channel.receive_timeout(LONG);
}

fn sends() {
    let channel = Channel::new(1);
    channel.send(1_u8);
    let _ = channel.send_timeout(2, LONG);
}

fn receives_mail() {
    let _ = Mailbox::<u8>::new().receive_timeout(LONG);
}

fn calls() {
    let silent = Process::spawn(|| sleep(LONG)).unwrap();
    let _ = Address::<ReplyTo<()>>::of(silent).call(|reply| reply);
}

fn joins() {
    let silent = Process::spawn(|| sleep(LONG)).unwrap();
    let _ = silent.join_timeout(LONG);
}

fn sleeps() {
    sleep(LONG);
}

fn selects() {
    let (channel, mailbox) = (Channel::<u8>::new(1), Mailbox::<u8>::new());
    let _ = Select::new().channel(&channel).mailbox(&mailbox).wait_timeout(LONG);
}

fn accepts() {
    let (listener, _) = listener();
    let _ = listener.accept();
}

fn computes() {
    for round in 0.. {
        black_box(fibonacci(black_box(round % 20)));
    }
}

fn fibonacci(number: u64) -> u64 {
    if number < 2 {
        return number;
    }
    fibonacci(number - 1) + fibonacci(number - 2)
}

fn sleeps_by_wasi() {
    std::thread::sleep(LONG);
}
