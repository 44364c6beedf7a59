//! Channels, from the inside: run with `cargo lunatic test`.

use std::error::Error;
use std::time::{Duration, Instant};

use lunatic::channel::{Message, ReceiveError, ReceiveTimeoutError, SendTimeoutError, TryReceiveError, TrySendError};
use lunatic::codec::{Codec, DefaultCodec, Scratch};
use lunatic::{Channel, ExitReason, Process};

const SHORT: Duration = Duration::from_millis(2);
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

/// A channel whose owner has exited.
fn closed<T: Message>() -> Channel<T> {
    let handles = Channel::new(0);
    let owner = Process::spawn(move || {
        let channel = Channel::<T>::new(1);
        handles.send(channel);
    })
    .unwrap();
    assert_eq!(owner.join(), ExitReason::Normal);
    handles.receive()
}

/// Reinterprets the encoding of one value as another.
fn recode<T: Message, U: Message>(value: &T) -> U {
    let mut bytes = Scratch::new();
    DefaultCodec::encode(value, &mut bytes).unwrap();
    DefaultCodec::decode(bytes.as_slice()).unwrap()
}

/// A handle that the host never gave out.
fn forged<T: Message>() -> Channel<T> {
    let (id, key): (u64, u64) = recode(&Channel::<T>::new(0));
    recode(&(id, key.wrapping_add(1)))
}

#[lunatic::test]
fn messages_keep_their_order() {
    let channel = Channel::new(0);
    for i in 0..10_000_u32 {
        channel.send(i);
    }
    for i in 0..10_000 {
        assert_eq!(channel.receive(), i);
    }
    assert!(matches!(channel.try_receive(), Err(TryReceiveError::Empty)));
}

#[lunatic::test]
fn the_order_of_each_sender_is_kept() {
    const SENDERS: u32 = 20;
    const MESSAGES: u32 = 200;
    let channel = Channel::new(3);
    for sender in 0..SENDERS {
        Process::spawn(move || (0..MESSAGES).for_each(|i| channel.send((sender, i)))).unwrap();
    }
    let mut next = [0; SENDERS as usize];
    for _ in 0..SENDERS * MESSAGES {
        let (sender, i) = channel.receive();
        assert_eq!(i, next[sender as usize]);
        next[sender as usize] += 1;
    }
    assert_eq!(next, [MESSAGES; SENDERS as usize]);
}

#[lunatic::test]
fn messages_of_all_sizes_arrive() {
    let channel = Channel::new(0);
    // Sizes around the change from stack to heap, on both sides, and a large one.
    let lens = [0, 1, 247, 248, 249, 503, 504, 505, 1_000, 65_536, 3_000_000];
    Process::spawn(move || {
        for len in lens {
            channel.send(vec![len as u8; len]);
        }
    })
    .unwrap();
    for len in lens {
        assert_eq!(channel.receive(), vec![len as u8; len]);
    }
}

#[lunatic::test]
fn a_full_channel_makes_senders_wait() {
    let bounded = Channel::new(2);
    let sent = Channel::new(0);
    Process::spawn(move || {
        for i in 0..5_u8 {
            bounded.send(i);
            sent.send(i);
        }
    })
    .unwrap();
    assert_eq!((sent.receive(), sent.receive()), (0, 1));
    assert!(matches!(
        sent.receive_timeout(SHORT),
        Err(ReceiveTimeoutError::TimedOut)
    ));

    let error = bounded.try_send(9).unwrap_err();
    assert!(matches!(error, TrySendError::Full(9)), "{error}");
    let error = bounded.send_timeout(9, SHORT).unwrap_err();
    assert!(matches!(error, SendTimeoutError::TimedOut(9)), "{error}");

    for i in 0..5 {
        assert_eq!(bounded.receive(), i);
    }
    assert_eq!((sent.receive(), sent.receive(), sent.receive()), (2, 3, 4));
    bounded.try_send(9).unwrap();
    bounded.send_timeout(10, LONG).unwrap();
    assert_eq!((bounded.receive(), bounded.receive()), (9, 10));
}

#[lunatic::test]
fn sending_to_a_closed_channel_drops_the_message() {
    let closed = closed::<String>();
    closed.send("nobody hears this".into());
    let error = closed.try_send("back".into()).unwrap_err();
    assert!(
        matches!(&error, TrySendError::Closed(message) if message == "back"),
        "{error}"
    );
    let error = closed.send_timeout("back".into(), LONG).unwrap_err();
    assert!(
        matches!(&error, SendTimeoutError::Closed(message) if message == "back"),
        "{error}"
    );
}

#[lunatic::test]
fn receiving_from_a_closed_channel_is_an_error() {
    let closed = closed::<u8>();
    assert!(matches!(closed.try_receive(), Err(TryReceiveError::Closed)));
    assert!(matches!(closed.receive_checked(), Err(ReceiveError::Closed)));
    assert!(matches!(closed.receive_timeout(LONG), Err(ReceiveTimeoutError::Closed)));
}

#[lunatic::test]
#[should_panic(expected = "is closed: the process that made it has ended")]
fn receive_panics_on_a_closed_channel() {
    let _ = closed::<u8>().receive();
}

#[lunatic::test]
fn messages_of_a_closed_channel_are_gone() {
    let handles = Channel::<Channel<u8>>::new(0);
    let owner = Process::spawn(move || {
        let channel = Channel::new(0);
        channel.send(1);
        handles.send(channel);
    })
    .unwrap();
    let channel = handles.receive();
    owner.join();
    assert!(matches!(channel.try_receive(), Err(TryReceiveError::Closed)));
}

#[lunatic::test]
fn whoever_waits_is_woken_when_a_channel_closes() {
    let handles = Channel::<Channel<u8>>::new(0);
    let go = Channel::<()>::new(0);
    let owner = Process::spawn(move || {
        handles.send(Channel::new(0));
        let full = Channel::new(1);
        full.send(0);
        handles.send(full);
        go.receive();
    })
    .unwrap();
    let (empty, full) = (handles.receive(), handles.receive());

    let woken = Channel::new(0);
    Process::spawn(move || woken.send(matches!(empty.receive_checked(), Err(ReceiveError::Closed)))).unwrap();
    Process::spawn(move || {
        full.send(1);
        woken.send(true);
    })
    .unwrap();
    Process::spawn(move || {
        woken.send(matches!(
            full.send_timeout(1, Duration::MAX),
            Err(SendTimeoutError::Closed(1))
        ));
    })
    .unwrap();
    assert!(
        matches!(woken.receive_timeout(SHORT), Err(ReceiveTimeoutError::TimedOut)),
        "all three wait"
    );

    owner.kill();
    assert_eq!([woken.receive(), woken.receive(), woken.receive()], [true; 3]);
}

#[lunatic::test]
fn timeouts_last_long_enough_and_not_for_ever() {
    let channel = Channel::<u8>::new(0);
    for timeout in [Duration::ZERO, SHORT] {
        let start = Instant::now();
        assert!(matches!(
            channel.receive_timeout(timeout),
            Err(ReceiveTimeoutError::TimedOut)
        ));
        assert!(start.elapsed() >= timeout);
    }
    channel.send(7);
    assert_eq!(
        channel.receive_timeout(Duration::ZERO).unwrap(),
        7,
        "a timeout of zero still looks"
    );
}

#[lunatic::test]
fn a_timed_out_receive_takes_nothing_with_it() {
    let channel = Channel::<u8>::new(0);
    assert!(channel.receive_timeout(SHORT).is_err());
    Process::spawn(move || channel.send(1)).unwrap();
    assert_eq!(channel.receive(), 1);
}

#[lunatic::test]
fn bytes_of_another_type_are_an_error_and_the_channel_works_on() {
    let numbers = Channel::<u32>::new(0);
    let words: Channel<String> = recode(&numbers);
    words.send("four and more".into());
    numbers.send(7);

    let error = numbers.try_receive().unwrap_err();
    let TryReceiveError::Decode(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.type_name(), "u32");
    assert_eq!(numbers.receive(), 7);

    numbers.send(u32::MAX);
    let error = words.receive_checked().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a message of 4 bytes is not a `alloc::string::String`"),
        "{error}"
    );
    numbers.send(1);
    assert!(matches!(
        words.receive_timeout(LONG),
        Err(ReceiveTimeoutError::Decode(_))
    ));
}

#[lunatic::test]
#[should_panic(expected = "a message of 1 byte is not a `u64`")]
fn receive_panics_on_bytes_of_another_type() {
    let bytes = Channel::<u8>::new(0);
    bytes.send(1);
    let numbers: Channel<u64> = recode(&bytes);
    let _ = numbers.receive();
}

#[lunatic::test]
fn forged_handles_are_recognised() {
    let forged = forged::<u8>();
    assert!(matches!(forged.try_send(7), Err(TrySendError::Invalid(7))));
    assert!(matches!(
        forged.send_timeout(7, LONG),
        Err(SendTimeoutError::Invalid(7))
    ));
    assert!(matches!(forged.try_receive(), Err(TryReceiveError::Invalid)));
    assert!(matches!(forged.receive_checked(), Err(ReceiveError::Invalid)));
    assert!(matches!(
        forged.receive_timeout(LONG),
        Err(ReceiveTimeoutError::Invalid)
    ));
}

#[lunatic::test]
#[should_panic(expected = "is not a channel: the handle was not given out by this host")]
fn send_panics_on_a_forged_handle() {
    forged::<u8>().send(1);
}

#[lunatic::test]
#[should_panic(expected = "is not a channel")]
fn a_process_is_no_channel() {
    let channel: Channel<u8> = recode(&lunatic::this_process());
    channel.send(1);
}

#[lunatic::test]
fn handles_travel() {
    let first = Channel::<Channel<Channel<u8>>>::new(0);
    let second = Channel::new(0);
    let third = Channel::new(0);
    first.send(second);
    second.send(third);
    Process::spawn(move || first.receive().receive().send(7)).unwrap();
    assert_eq!(third.receive(), 7);
}

#[lunatic::test]
fn what_cannot_be_written_comes_back() {
    #[derive(Debug)]
    struct Refuses;
    impl serde::Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    impl<'de> serde::Deserialize<'de> for Refuses {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }
    let channel = Channel::new(0);
    assert!(matches!(
        channel.try_send(Refuses),
        Err(TrySendError::Encode(Refuses, _))
    ));
    assert!(matches!(
        channel.send_timeout(Refuses, LONG),
        Err(SendTimeoutError::Encode(Refuses, _))
    ));
}

#[lunatic::test]
fn what_is_too_large_comes_back() {
    /// Encoded in one step, whereas a `Vec<u8>` is encoded byte by byte.
    struct Bytes(Vec<u8>);
    impl serde::Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    impl<'de> serde::Deserialize<'de> for Bytes {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Vec::deserialize(deserializer).map(Self)
        }
    }
    let channel = Channel::new(0);
    // Eight bytes too many, because the length is encoded, too.
    let error = channel.try_send(Bytes(vec![0; 256 << 20])).unwrap_err();
    let TrySendError::Encode(message, error) = error else {
        panic!("{error}")
    };
    assert_eq!(message.0.len(), 256 << 20);
    assert_eq!(error.source().unwrap().to_string(), "it has more than 256 MiB");
    drop(message);
    channel.send(Bytes(vec![1]));
    assert_eq!(channel.receive().0, [1]);
}
