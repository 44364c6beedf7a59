//! Channels.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lunatic::channel::{ReceiveError, ReceiveTimeoutError, SendTimeoutError, TryReceiveError, TrySendError};
use lunatic::codec::{Bincode, Codec, Scratch};
use lunatic::mailbox::ReplyTo;
use lunatic::registry::Group;
use lunatic::timer::{self, TimerError};
use lunatic::{Address, Channel, ExitReason, Mailbox, Process, yield_now};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

lunatic_test_guests::scenarios![
    a_full_channel_makes_send_wait,
    try_send_on_a_full_channel_gives_the_message_back,
    send_timeout_on_a_full_channel_gives_the_message_back,
    every_call_on_a_closed_channel_says_so,
    messages_in_a_closed_channel_are_gone,
    whoever_waits_for_a_channel_that_closes_stops_waiting,
    a_channel_closes_however_its_maker_ends,
    receive_timeout_waits_as_long_as_it_says,
    receive_timeout_takes_a_message_that_comes_in_time,
    no_message_is_lost_or_doubled_when_timeouts_come_first,
    an_empty_channel_says_so,
    a_forged_handle_is_an_error_for_every_call,
    what_is_no_message_of_the_type_is_an_error_that_names_it,
    messages_of_one_sender_keep_their_order,
    each_message_is_received_once,
    what_was_sent_is_there_for_who_hears_of_it,
    channels_travel_in_messages,
    messages_of_all_sizes_arrive_whole,
    long_messages_arrive_whole_however_they_are_sent,
    a_process_can_have_many_channels,
    a_process_has_only_so_many_channels,
];

/// No end of time for what must happen; the test's own limit ends a hang.
const LONG: Duration = Duration::from_secs(3600);

/// The same handle, for messages of another type.
fn retyped<T: Serialize + DeserializeOwned, U: Serialize + DeserializeOwned>(channel: Channel<T>) -> Channel<U> {
    from_bytes(&to_bytes(&channel))
}

fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Scratch::new();
    Bincode::encode(value, &mut bytes).unwrap();
    bytes.as_slice().to_vec()
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> T {
    Bincode::decode(bytes).unwrap()
}

/// A channel whose maker has ended, with `messages` in it when it did.
fn closed(bound: usize, messages: u32) -> Channel<u32> {
    let told = Channel::new(1);
    let maker = Process::spawn(move || {
        let channel = Channel::new(bound);
        (0..messages).for_each(|number| channel.send(number));
        told.send(channel);
    })
    .unwrap();
    assert_eq!(maker.join(), ExitReason::Normal);
    told.receive()
}

/// How a process ends that does this with a channel.
fn end_of<T: 'static>(channel: Channel<T>, call: fn(Channel<T>)) -> ExitReason {
    Process::spawn(move || call(channel)).unwrap().join()
}

#[track_caller]
fn assert_panics(reason: ExitReason, text: &str) {
    assert!(
        matches!(&reason, ExitReason::Panic(message) if message.contains(text)),
        "{reason}"
    );
}

/// A sender is never further ahead than the bound: what it has sent and nobody has received is at most two messages.
fn a_full_channel_makes_send_wait() {
    const BOUND: usize = 2;
    const MESSAGES: usize = 200;
    let (numbers, sent) = (Channel::new(BOUND), Channel::new(0));
    Process::spawn(move || {
        for number in 0..MESSAGES {
            numbers.send(number);
            sent.send(number + 1);
        }
    })
    .unwrap();
    let mut ahead = 0;
    for received in 0..MESSAGES {
        while ahead < (received + BOUND).min(MESSAGES) {
            ahead = sent.receive();
        }
        // If it did not wait, it could well be further by now.
        for _ in 0..10 {
            yield_now();
        }
        assert!(
            matches!(sent.try_receive(), Err(TryReceiveError::Empty)),
            "{received} received, {ahead} sent"
        );
        assert_eq!(numbers.receive(), received);
    }
}

fn try_send_on_a_full_channel_gives_the_message_back() {
    let words = Channel::new(2);
    for word in ["one", "two"] {
        words.try_send(word.to_owned()).unwrap();
    }
    for _ in 0..3 {
        match words.try_send("three".to_owned()) {
            Err(TrySendError::Full(word)) => assert_eq!(word, "three"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(words.receive(), "one");
    words.try_send("three".to_owned()).unwrap();
    assert_eq!([words.receive(), words.receive()], ["two", "three"]);
    assert!(matches!(words.try_receive(), Err(TryReceiveError::Empty)));
}

fn send_timeout_on_a_full_channel_gives_the_message_back() {
    let numbers = Channel::new(1);
    numbers.send_timeout(1, Duration::ZERO).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(30)] {
        let start = Instant::now();
        match numbers.send_timeout(2, timeout) {
            Err(SendTimeoutError::TimedOut(number)) => assert_eq!(number, 2),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() >= timeout);
    }
    // A place that gets free in time is taken.
    let ready = Channel::new(1);
    let sender = Process::spawn(move || {
        ready.send(());
        numbers.send_timeout(2, LONG).unwrap();
    })
    .unwrap();
    ready.receive();
    assert_eq!([numbers.receive(), numbers.receive()], [1, 2]);
    assert_eq!(sender.join(), ExitReason::Normal);
}

fn every_call_on_a_closed_channel_says_so() {
    for (bound, messages) in [(0, 0), (0, 3), (1, 1)] {
        let channel = closed(bound, messages);
        for _ in 0..2 {
            channel.send(1);
            assert!(matches!(channel.try_send(2), Err(TrySendError::Closed(2))));
            assert!(matches!(
                channel.send_timeout(3, Duration::ZERO),
                Err(SendTimeoutError::Closed(3))
            ));
            assert!(matches!(
                channel.send_timeout(3, Duration::MAX),
                Err(SendTimeoutError::Closed(3))
            ));
            assert!(matches!(channel.receive_checked(), Err(ReceiveError::Closed)));
            assert!(matches!(channel.try_receive(), Err(TryReceiveError::Closed)));
            assert!(matches!(
                channel.receive_timeout(Duration::ZERO),
                Err(ReceiveTimeoutError::Closed)
            ));
            assert!(matches!(
                channel.receive_timeout(Duration::MAX),
                Err(ReceiveTimeoutError::Closed)
            ));
            assert_panics(end_of(channel, |channel| _ = channel.receive()), "is closed");
        }
    }
}

fn messages_in_a_closed_channel_are_gone() {
    let channel = closed(0, 1000);
    assert!(matches!(channel.try_receive(), Err(TryReceiveError::Closed)));
}

/// Ten processes wait for each kind of room or message; then the maker of the channels ends.
fn whoever_waits_for_a_channel_that_closes_stops_waiting() {
    let (told, end, ready, answers) = (Channel::new(1), Channel::new(1), Channel::new(0), Channel::new(0));
    let maker = Process::spawn(move || {
        let (empty, full) = (Channel::<u32>::new(0), Channel::<u32>::new(1));
        full.send(0);
        told.send((empty, full));
        let () = end.receive();
    })
    .unwrap();
    let (empty, full) = told.receive();
    for _ in 0..10 {
        let wait = move |answer: fn(Channel<u32>, Channel<u32>) -> &'static str| {
            Process::spawn(move || {
                ready.send(());
                answers.send(answer(empty, full).to_owned());
            })
            .unwrap();
        };
        wait(|empty, _| match empty.receive_checked() {
            Err(ReceiveError::Closed) => "receive_checked",
            other => panic!("{other:?}"),
        });
        wait(|empty, _| match empty.receive_timeout(LONG) {
            Err(ReceiveTimeoutError::Closed) => "receive_timeout",
            other => panic!("{other:?}"),
        });
        wait(|_, full| {
            full.send(1);
            "send"
        });
        wait(|_, full| match full.send_timeout(1, LONG) {
            Err(SendTimeoutError::Closed(1)) => "send_timeout",
            other => panic!("{other:?}"),
        });
    }
    (0..40).for_each(|_| ready.receive());
    end.send(());
    assert_eq!(maker.join(), ExitReason::Normal);
    let mut heard: Vec<_> = (0..40).map(|_| answers.receive()).collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard, ["receive_checked", "receive_timeout", "send", "send_timeout"]);
}

fn a_channel_closes_however_its_maker_ends() {
    let ends: [fn(); 4] = [
        || {},
        || panic!("this was meant to be"),
        || std::process::exit(3),
        || std::process::abort(),
    ];
    let told = Channel::<Channel<u32>>::new(1);
    for end in ends {
        let maker = Process::spawn(move || {
            told.send(Channel::new(0));
            end();
        })
        .unwrap();
        let channel = told.receive();
        assert!(matches!(channel.receive_checked(), Err(ReceiveError::Closed)));
        maker.join();
    }
    let maker = Process::spawn(move || {
        told.send(Channel::new(0));
        loop {
            yield_now();
        }
    })
    .unwrap();
    let channel = told.receive();
    assert!(matches!(
        channel.receive_timeout(Duration::ZERO),
        Err(ReceiveTimeoutError::TimedOut)
    ));
    maker.kill();
    assert!(matches!(channel.receive_checked(), Err(ReceiveError::Closed)));
}

fn receive_timeout_waits_as_long_as_it_says() {
    let nothing = Channel::<u32>::new(0);
    for timeout in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(1),
        Duration::from_millis(50),
    ] {
        let start = Instant::now();
        assert!(matches!(
            nothing.receive_timeout(timeout),
            Err(ReceiveTimeoutError::TimedOut)
        ));
        assert!(
            start.elapsed() >= timeout,
            "{:?} instead of {timeout:?}",
            start.elapsed()
        );
    }
}

fn receive_timeout_takes_a_message_that_comes_in_time() {
    let (numbers, ready) = (Channel::new(0), Channel::new(0));
    let receiver = Process::spawn(move || {
        for expected in 0..100 {
            ready.send(());
            assert_eq!(numbers.receive_timeout(LONG).unwrap(), expected);
        }
    })
    .unwrap();
    for number in 0..100 {
        ready.receive();
        numbers.send(number);
    }
    assert_eq!(receiver.join(), ExitReason::Normal);
    // One that is there already is taken, even if there is no time to wait.
    numbers.send(7);
    assert_eq!(numbers.receive_timeout(Duration::ZERO).unwrap(), 7);
}

/// Both sides have so little patience that about as many calls time out as succeed.
fn no_message_is_lost_or_doubled_when_timeouts_come_first() {
    const MESSAGES: u64 = 3_000;
    let numbers = Channel::new(1);
    let patience = |number: u64| Duration::from_micros(number % 30);
    let sender = Process::spawn(move || {
        for number in 0..MESSAGES {
            let mut message = number;
            while let Err(error) = numbers.send_timeout(message, patience(number)) {
                message = match error {
                    SendTimeoutError::TimedOut(message) => message,
                    other => panic!("{other:?}"),
                };
            }
        }
    })
    .unwrap();
    for expected in 0..MESSAGES {
        let number = loop {
            match numbers.receive_timeout(patience(expected * 7)) {
                Ok(number) => break number,
                Err(ReceiveTimeoutError::TimedOut) => {}
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(number, expected);
    }
    assert_eq!(sender.join(), ExitReason::Normal);
    assert!(matches!(numbers.try_receive(), Err(TryReceiveError::Empty)));
}

fn an_empty_channel_says_so() {
    let numbers = Channel::<u32>::new(0);
    assert!(matches!(numbers.try_receive(), Err(TryReceiveError::Empty)));
    numbers.send(1);
    assert_eq!(numbers.try_receive().unwrap(), 1);
    assert!(matches!(numbers.try_receive(), Err(TryReceiveError::Empty)));
}

fn a_forged_handle_is_an_error_for_every_call() {
    let real = Channel::<u32>::new(0);
    real.send(1);
    let (id, key): (u64, u64) = from_bytes(&to_bytes(&real));
    assert_eq!(id, real.id());
    for forged in [
        (id, key ^ 1),
        (id, !key),
        (id, 0),
        (id + 1, key),
        (id ^ 1 << 32, key),
        (0, 0),
        (u64::MAX, u64::MAX),
        (key, id),
    ] {
        let channel: Channel<u32> = from_bytes(&to_bytes(&forged));
        assert!(
            matches!(channel.try_send(2), Err(TrySendError::Invalid(2))),
            "{forged:?}"
        );
        assert!(
            matches!(channel.send_timeout(3, LONG), Err(SendTimeoutError::Invalid(3))),
            "{forged:?}"
        );
        assert!(
            matches!(channel.receive_checked(), Err(ReceiveError::Invalid)),
            "{forged:?}"
        );
        assert!(
            matches!(channel.try_receive(), Err(TryReceiveError::Invalid)),
            "{forged:?}"
        );
        assert!(
            matches!(channel.receive_timeout(LONG), Err(ReceiveTimeoutError::Invalid)),
            "{forged:?}"
        );
        assert_panics(end_of(channel, |channel| channel.send(1)), "is not a channel");
        assert_panics(end_of(channel, |channel| _ = channel.receive()), "is not a channel");
    }
    assert_eq!(real.try_receive().unwrap(), 1);
    assert!(matches!(real.try_receive(), Err(TryReceiveError::Empty)));
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Coordinates {
    x: u32,
    y: u32,
}

fn what_is_no_message_of_the_type_is_an_error_that_names_it() {
    let texts = Channel::<String>::new(0);
    let coordinates: Channel<Coordinates> = retyped(texts);
    texts.send("no coordinates".to_owned());
    match coordinates.receive_checked() {
        Err(ReceiveError::Decode(error)) => assert!(error.to_string().contains("Coordinates"), "{error}"),
        other => panic!("{other:?}"),
    }
    // That message is gone, and the channel works on.
    coordinates.send(Coordinates { x: 1, y: 2 });
    assert_eq!(coordinates.receive(), Coordinates { x: 1, y: 2 });

    texts.send("again".to_owned());
    assert!(matches!(coordinates.try_receive(), Err(TryReceiveError::Decode(_))));
    texts.send("again".to_owned());
    assert!(matches!(
        coordinates.receive_timeout(LONG),
        Err(ReceiveTimeoutError::Decode(_))
    ));
    texts.send("again".to_owned());
    assert_panics(
        end_of(coordinates, |coordinates| _ = coordinates.receive()),
        "Coordinates",
    );
    assert!(matches!(coordinates.try_receive(), Err(TryReceiveError::Empty)));
}

fn messages_of_one_sender_keep_their_order() {
    const SENDERS: usize = 20;
    const MESSAGES: u32 = 500;
    for bound in [0, 1, 7] {
        let channel = Channel::<(usize, u32)>::new(bound);
        for sender in 0..SENDERS {
            Process::spawn(move || (0..MESSAGES).for_each(|number| channel.send((sender, number)))).unwrap();
        }
        let mut next = [0; SENDERS];
        for _ in 0..SENDERS * MESSAGES as usize {
            let (sender, number) = channel.receive();
            assert_eq!(number, next[sender], "sender {sender}, bound {bound}");
            next[sender] += 1;
        }
    }
}

fn each_message_is_received_once() {
    const SENDERS: u32 = 10;
    const RECEIVERS: u32 = 10;
    const MESSAGES: u32 = 1000;
    for bound in [0, 1, 16] {
        let (channel, received) = (Channel::new(bound), Channel::new(0));
        for _ in 0..RECEIVERS {
            Process::spawn(move || {
                loop {
                    received.send(channel.receive());
                }
            })
            .unwrap();
        }
        for sender in 0..SENDERS {
            Process::spawn(move || (0..MESSAGES).for_each(|number| channel.send(sender * MESSAGES + number))).unwrap();
        }
        let all: BTreeSet<u32> = (0..SENDERS * MESSAGES).map(|_| received.receive()).collect();
        assert_eq!(all.len(), (SENDERS * MESSAGES) as usize, "bound {bound}");
        assert_eq!(all.last(), Some(&(SENDERS * MESSAGES - 1)));
        assert!(matches!(channel.try_receive(), Err(TryReceiveError::Empty)));
        assert!(matches!(received.try_receive(), Err(TryReceiveError::Empty)));
    }
}

/// Through another channel, by a join, or by a third process.
fn what_was_sent_is_there_for_who_hears_of_it() {
    for number in 0..2_000 {
        let (numbers, heard) = (Channel::new(0), Channel::new(0));
        let sender = Process::spawn(move || {
            numbers.send(number);
            heard.send(());
            numbers.send(number + 1);
        })
        .unwrap();
        heard.receive();
        assert_eq!(numbers.try_receive().unwrap(), number);
        sender.join();
        assert_eq!(numbers.try_receive().unwrap(), number + 1);
    }
}

fn channels_travel_in_messages() {
    let questions = Channel::<(u32, Channel<u32>)>::new(0);
    Process::spawn(move || {
        loop {
            let (number, answer) = questions.receive();
            answer.send(number * 2);
        }
    })
    .unwrap();
    for number in 0..100 {
        let answer = Channel::new(1);
        questions.send((number, answer));
        assert_eq!(answer.receive(), number * 2);
    }
}

/// Around the sizes where the way of a message changes: what a queue holds itself, what is received on the stack.
fn messages_of_all_sizes_arrive_whole() {
    let (there, back) = (Channel::<Vec<u8>>::new(0), Channel::<Vec<u8>>::new(0));
    Process::spawn(move || {
        loop {
            back.send(there.receive());
        }
    })
    .unwrap();
    for len in (0..600).chain([1000, 4095, 4096, 65_535, 65_536, 1 << 20, 5_000_000]) {
        let message: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        there.send(message.clone());
        assert!(back.receive() == message, "{len} bytes");
    }
    let empty = Channel::<()>::new(3);
    empty.send(());
    empty.receive();
}

/// Longer than what a host call copies in one go: by each way of sending, and of being refused.
fn long_messages_arrive_whole_however_they_are_sent() {
    let message: Vec<u8> = (0..3_000_001).map(|at| (at / 5) as u8).collect();
    let (mail, channel) = (Mailbox::<Vec<u8>>::new(), Channel::<Vec<u8>>::new(1));
    let check = |what: &str, arrived: Vec<u8>| assert!(arrived == message, "{what}");
    mail.address().send(message.clone());
    check("mail", mail.receive());
    channel.try_send(message.clone()).unwrap();
    let refused = channel.try_send(message.clone()).unwrap_err();
    assert!(matches!(refused, TrySendError::Full(_)));
    check("what a full channel refuses", refused.into_message());
    check("a channel", channel.receive());
    timer::send_after(mail.address(), message.clone(), Duration::from_millis(1));
    check("a timer", mail.receive());
    let refused = timer::try_send_interval(mail.address(), &message, Duration::from_millis(1));
    assert!(
        matches!(refused, Err(TimerError::Limit(_))),
        "an interval is copied each time"
    );
    let group = Group::named("all");
    let address = mail.address();
    let members: Vec<_> = (0..3)
        .map(|_| {
            let joined = Channel::<()>::new(0);
            let member = Process::spawn(move || {
                let mail = Mailbox::<Vec<u8>>::new();
                joined.send(());
                address.send(mail.receive());
            });
            joined.receive();
            group.join(member.unwrap()).unwrap();
        })
        .collect();
    assert_eq!(group.broadcast(&message), members.len());
    members.iter().for_each(|()| check("a broadcast", mail.receive()));
    // A channel that is full takes the message when there is room.
    let waiting = Process::spawn(move || {
        let message = channel.receive();
        channel.send(message.clone());
        channel.send(message);
    });
    channel.send(message.clone());
    waiting.unwrap();
    check("a send that waits", channel.receive());
    check("another one", channel.receive());
    check("a call", echo().call(|reply| (message.clone(), reply)).unwrap());
}

fn echo() -> Address<(Vec<u8>, ReplyTo<Vec<u8>>)> {
    let told = Channel::new(1);
    Process::spawn(move || {
        let requests = Mailbox::<(Vec<u8>, ReplyTo<Vec<u8>>)>::new();
        told.send(requests.address());
        let (bytes, reply) = requests.receive();
        reply.send(bytes);
    })
    .unwrap();
    told.receive()
}

fn a_process_has_only_so_many_channels() {
    let child = Process::spawn(|| {
        let opened = std::iter::from_fn(|| Channel::<()>::try_new(0).ok()).count();
        assert_eq!(opened, 65_536);
        let refused = Channel::<()>::try_new(0).unwrap_err().to_string();
        assert!(refused.contains("65536 channels"), "{refused}");
    });
    // All of them close, on a thread that is not a worker's, before the end is told.
    assert_eq!(child.unwrap().join(), ExitReason::Normal);
    Channel::<()>::try_new(0).unwrap();
}

fn a_process_can_have_many_channels() {
    let channels: Vec<Channel<usize>> = (0..50_000).map(|_| Channel::new(1)).collect();
    let ids: BTreeSet<u64> = channels.iter().map(Channel::id).collect();
    assert_eq!(ids.len(), channels.len());
    channels
        .iter()
        .enumerate()
        .for_each(|(number, channel)| channel.send(number));
    for (number, channel) in channels.iter().enumerate() {
        assert_eq!(channel.receive(), number);
    }
}
