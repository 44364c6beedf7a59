//! What processes of a component do with the functions of Lunatic: messages, channels, names and timers.

use std::time::Duration;

use super::channel::Channel;
use super::host::{
    Mail, Options, Process, Refusal, broadcast, cancel, close, join_group, leave_group, lookup, members, receive,
    reference, register, rest, spawn, unregister,
};
use super::parts::{address_in, with_address};
use super::scenarios::{child, nanoseconds};

pub(super) fn messages() {
    let (echo, this) = (child("echoes"), Process::this());
    for (tag, text) in [(10, "one"), (20, "two"), (30, "three")] {
        echo.send(tag, &with_address(this.address(), text.as_bytes())).unwrap();
    }
    let message = |tag, text: &str| {
        Some(Mail::Message {
            tag,
            body: text.into(),
            more: 0,
        })
    };
    assert_eq!(receive(&[21], None), message(21, "two"));
    assert_eq!(receive(&[], None), message(11, "one"));
    assert_eq!(receive(&[1, 31, 3], None), message(31, "three"));
    assert_eq!(receive(&[], Some(0)), None);
    assert_eq!(receive(&[1], nanoseconds(Duration::from_millis(5))), None);
    // To itself, and under references.
    let answer = reference();
    this.send(answer, b"answer").unwrap();
    assert_eq!(receive(&[answer], None), message(answer, "answer"));
    close(answer);
    this.send(answer, b"too late").unwrap();
    assert_eq!(receive(&[], Some(0)), None);
    assert!(Process::of_address((this.address().0, 1)).is_none());
    echo.kill().unwrap();
    echo.join(None).unwrap();
    assert_eq!(echo.send(1, b""), Err(Refusal::Closed));
}

pub(super) fn long_messages() {
    const LEN: usize = (5 << 19) + 3;
    let body: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
    let this = Process::this();
    this.send(1, &body).unwrap();
    this.send(2, &body).unwrap();
    assert_eq!(rest(1), b"");
    let Some(Mail::Message {
        tag: 1,
        body: mut read,
        more,
    }) = receive(&[], None)
    else {
        panic!("no message")
    };
    assert_eq!((read.len(), more), (1 << 20, (LEN - (1 << 20)) as u64));
    for len in [0, 5, u32::MAX, u32::MAX, u32::MAX] {
        read.extend(rest(len));
    }
    assert!(read == body);
    // What is left is dropped.
    assert!(matches!(receive(&[], None), Some(Mail::Message { tag: 2, .. })));
    assert_eq!(receive(&[], Some(0)), None);
    assert_eq!(rest(1), b"");
}

pub(super) fn channels() {
    let channel = Channel::new(Some(1)).unwrap();
    assert_eq!(channel.receive(Some(0)), Ok(None));
    assert_eq!(channel.receive(nanoseconds(Duration::from_millis(5))), Ok(None));
    // The child waits until the first message is received; so does this process, for each of them.
    let argument = with_address(channel.address(), b"");
    let (child, _) = spawn("fills", &argument, &Options::default()).unwrap();
    for text in [b"first", b"other"] {
        assert_eq!(channel.receive(None), Ok(Some((text.to_vec(), 0))));
    }
    assert_eq!(child.join(None).unwrap(), "normal");
    channel.send(b"there is room for one", Some(0)).unwrap();
    assert_eq!(channel.send(b"", Some(0)), Err(Refusal::Full));
    assert_eq!(
        channel.send(b"", nanoseconds(Duration::from_millis(5))),
        Err(Refusal::Full)
    );
    let again = Channel::of_address(channel.address()).unwrap();
    drop(channel);
    assert!(again.receive(None).is_ok());
    let long = vec![3; (1 << 20) + 2];
    again.send(&long, None).unwrap();
    let (mut read, more) = again.receive(None).unwrap().unwrap();
    assert_eq!((read.len(), more), (1 << 20, 2));
    read.extend(rest(100));
    assert!(read == long);
    assert!(Channel::of_address(Process::this().address()).is_none());
    // The channel of a process that has ended.
    let (child, _) = spawn(
        "makes_a_channel",
        &with_address(Process::this().address(), b""),
        &Options::default(),
    )
    .unwrap();
    let Some(Mail::Message { body, .. }) = receive(&[], None) else {
        panic!("no address")
    };
    let theirs = Channel::of_address(address_in(&body).0).unwrap();
    child.kill().unwrap();
    child.join(None).unwrap();
    assert_eq!(theirs.receive(None), Err(Refusal::Closed));
    assert_eq!(theirs.send(b"", None), Err(Refusal::Closed));
}

pub(super) fn floods_channels() {
    let refusal = loop {
        match Channel::new(None) {
            Ok(channel) => drop(channel),
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, Refusal::Limit(_)), "{refusal:?}");
    println!("refused");
}

pub(super) fn groups() {
    let this = Process::this();
    assert!(members("workers").is_empty());
    let (one, other) = (child("waits"), child("waits"));
    for member in [&one, &other, &this, &other] {
        join_group("workers", member).unwrap();
    }
    let mut found = members("workers");
    let mut expected = [&one, &other, &this].map(Process::address);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    leave_group("workers", &this).unwrap();
    assert_eq!(leave_group("workers", &this), Err(Refusal::Closed));
    assert_eq!(broadcast("workers", 1, b"to all"), Ok(2));
    for member in [one, other] {
        assert_eq!(member.join(None).unwrap(), "normal");
        assert_eq!(join_group("workers", &member), Err(Refusal::Closed));
    }
    assert_eq!(broadcast("workers", 1, b"to nobody"), Ok(0));
    assert!(matches!(
        broadcast("workers", 1, &vec![0; (1 << 20) + 1]),
        Err(Refusal::Limit(_))
    ));
}

pub(super) fn timers() {
    let this = Process::this();
    let hour = 3_600_000_000_000;
    let late = this.send_after(1, b"late", hour, None).unwrap();
    this.send_after(2, b"soon", 1_000_000, None).unwrap();
    let repeated = this.send_after(3, b"again", 0, Some(1_000_000)).unwrap();
    assert!(matches!(receive(&[2], None), Some(Mail::Message { .. })));
    for _ in 0..3 {
        assert!(matches!(receive(&[3], None), Some(Mail::Message { .. })));
    }
    assert!(cancel(late) && !cancel(late) && cancel(repeated));
    let waits = child("waits");
    waits.kill().unwrap();
    waits.join(None).unwrap();
    assert_eq!(waits.send_after(1, b"", 0, None), Err(Refusal::Closed));
}

pub(super) fn names() {
    assert!(lookup("store").is_none());
    let options = Options {
        name: Some("store"),
        ..Options::default()
    };
    let (store, _) = spawn("echoes", b"", &options).unwrap();
    assert_eq!(lookup("store").unwrap().address(), store.address());
    assert_eq!(spawn("echoes", b"", &options).unwrap_err(), Refusal::NameTaken);
    let this = Process::this();
    assert_eq!(register("store", &this), Err(Refusal::NameTaken));
    register("also", &this).unwrap();
    unregister("also").unwrap();
    assert_eq!(unregister("also"), Err(Refusal::Closed));
    let options = Options {
        new_names: true,
        name: Some("store"),
        ..Options::default()
    };
    let (other, _) = spawn("waits", b"", &options).unwrap();
    other.kill().unwrap();
    store.kill().unwrap();
    store.join(None).unwrap();
    assert!(lookup("store").is_none());
    assert_eq!(register("store", &store), Err(Refusal::Closed));
}
