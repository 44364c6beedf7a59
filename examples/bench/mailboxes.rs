//! Many messages in one mailbox, and messages to many mailboxes.

use std::time::Duration;

use lunatic::registry::Group;
use lunatic::{Address, Mailbox, Process, this_process};
use serde::{Deserialize, Serialize};

use super::timed;

/// How many answers are received past the other messages.
pub(crate) const ANSWERS: u64 = 1000;

/// How many lines are said in the chat.
pub(crate) const LINES: u64 = 20;

/// The length of a line in bytes.
const LINE_LEN: usize = 64;

/// Receives `n` messages that another process sends as fast as it can.
pub(crate) fn send(n: u64) -> Duration {
    let numbers = Mailbox::<u64>::new();
    let here = numbers.address();
    timed(|| {
        Process::spawn(move || (0..n).for_each(|number| here.send(number))).unwrap();
        let sum: u64 = (0..n).map(|_| numbers.receive()).sum();
        assert_eq!(sum, n * (n - 1) / 2);
    })
}

#[derive(Serialize, Deserialize)]
struct Filled;

#[derive(Serialize, Deserialize)]
struct Question(u64, Address<Answer>);

#[derive(Serialize, Deserialize)]
struct Answer(u64);

/// Asks another process a thousand times while `n` messages of another type wait in the mailbox.
pub(crate) fn selective(n: u64) -> Duration {
    let (backlog, filled, answers) = (
        Mailbox::<u64>::new(),
        Mailbox::<Filled>::new(),
        Mailbox::<Answer>::new(),
    );
    let (to_backlog, to_filled) = (backlog.address(), filled.address());
    Process::spawn(move || {
        (0..n).for_each(|number| to_backlog.send(number));
        to_filled.send(Filled);
    })
    .unwrap();
    let server = Process::spawn(|| {
        let questions = Mailbox::<Question>::new();
        loop {
            let Question(number, from) = questions.receive();
            from.send(Answer(number + 1));
        }
    });
    let (server, here) = (Address::of(server.unwrap()), answers.address());
    // Messages of one sender arrive in their order, so all others wait in the mailbox now.
    let Filled = filled.receive();
    let time = timed(|| {
        let last = (0..ANSWERS).fold(0, |number, _| {
            server.send(Question(number, here));
            let Answer(next) = answers.receive();
            next
        });
        assert_eq!(last, ANSWERS);
    });
    for number in 0..n {
        assert_eq!(backlog.try_receive(), Ok(number));
    }
    assert!(backlog.try_receive().is_err());
    time
}

#[derive(Serialize, Deserialize)]
struct Joined;

/// A line with its number.
#[derive(Serialize, Deserialize)]
struct Said(u64, String);

#[derive(Serialize, Deserialize)]
enum ToClient {
    /// The client is to say a line with this number.
    Speak(u64),
    Line(u64, String),
}

/// Lets some of `n` clients of a chat room say a line each, which the room sends to all.
pub(crate) fn broadcast(n: u64) -> Duration {
    let (joined, sums) = (Mailbox::<Joined>::new(), Mailbox::<u64>::new());
    let (to_joined, to_sums) = (joined.address(), sums.address());
    let room = Address::of(Process::spawn(room).unwrap());
    let client = |_| Address::of(Process::spawn(move || client(room, to_joined, to_sums)).unwrap());
    let clients: Vec<Address<ToClient>> = (0..n).map(client).collect();
    for _ in 0..n {
        let Joined = joined.receive();
    }
    timed(|| {
        for line in 0..LINES {
            clients[(line * n / LINES) as usize].send(ToClient::Speak(line));
        }
        for _ in 0..n {
            assert_eq!(sums.receive(), LINES * (LINES - 1) / 2);
        }
    })
}

fn room() {
    let (lines, members) = (Mailbox::<Said>::new(), Group::named("room"));
    loop {
        let Said(number, text) = lines.receive();
        members.broadcast(&ToClient::Line(number, text));
    }
}

/// Reports the sum of the numbers of all lines when it has received the last one.
fn client(room: Address<Said>, joined: Address<Joined>, sums: Address<u64>) {
    let mail = Mailbox::<ToClient>::new();
    Group::named("room").join(this_process()).unwrap();
    joined.send(Joined);
    let (mut lines, mut sum) = (0, 0);
    while lines < LINES {
        match mail.receive() {
            ToClient::Speak(number) => room.send(Said(number, format!("{number:0LINE_LEN$}"))),
            ToClient::Line(number, text) => {
                assert_eq!(text.len(), LINE_LEN);
                lines += 1;
                sum += number;
            }
        }
    }
    sums.send(sum);
}
